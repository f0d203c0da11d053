"""Semantic models: created, read from databases, changed, merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from towpath.accounts.types import Principal
from towpath.ai.domain.semantics.content import parse_model
from towpath.ai.domain.semantics.overlay import overlay
from towpath.ai.semantic_types import Content
from towpath.ai.service.parts import AiParts
from towpath.ai.store import models as store
from towpath.ai.store.connections import get_connection
from towpath.ai.store.models import ASKABLE, load_content
from towpath.ai.store.tables import ModelRow
from towpath.ai.types import SCHEMA_READING, ModelBody, ModelFilter, ModelKind, SchemaReadingParams
from towpath.core.errors import BadInputError, ConflictError, NotFoundError, UnavailableError
from towpath.db.engine import Connection
from towpath.jobs.params import params_of
from towpath.jobs.store.jobs import create_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState

WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ModelList:
    """A page of models.

    Attributes:
        total: How many there are on all pages.
        branches: The live branches of each, by its id; where they were looked up.
    """

    rows: Sequence[ModelRow]
    total: int
    branches: dict[UUID, list[ModelRow]]


async def find_base(parts: AiParts, caller: Principal, body: ModelBody) -> ModelBody | JobRow:
    """Fill in what a SHARED model is made over where its body does not say: its connection's schema model.

    Returns:
        The body; where there is no schema model yet, the job that reads one.

    Raises:
        NotFoundError: No such connection.
    """
    if body.model_kind is not ModelKind.SHARED or body.base_model_id is not None or body.content is not None:
        return body
    known = await store.list_models_of(parts.database, caller.organization, body.connection_id, kind=ModelKind.SCHEMA)
    if known:
        return body.model_copy(update={"base_model_id": known[0].id})
    connection = await get_connection(parts.database, caller.organization, body.connection_id)
    return _draft_reading(caller, connection.id, uuid4(), name=None)


async def get_model(parts: AiParts, caller: Principal, model_id: UUID) -> ModelRow:
    """Load a model of any kind, without what it is laid over.

    Raises:
        NotFoundError: It is not there, was deleted, or is another organization's.
    """
    return await store.get_model(parts.database, caller.organization, model_id)


async def list_models(
    parts: AiParts, caller: Principal, model_filter: ModelFilter, *, offset: int, size: int, with_branches: bool
) -> ModelList:
    """List an organization's models.

    Args:
        parts: The façade's parts.
        caller: Who looks.
        model_filter: Which of them, and in which order.
        offset: How many come before the page.
        size: How many are on it, at most.
        with_branches: Whether the branches of each are looked up.
    """
    rows, total = await store.list_models(parts.database, caller.organization, model_filter, offset=offset, limit=size)
    branches: dict[UUID, list[ModelRow]] = {row.id: [] for row in rows}
    if with_branches:
        for layer in await store.list_models_over(parts.database, caller.organization, list(branches)):
            if layer.kind is ModelKind.BRANCH and layer.base_model_id is not None:
                branches[layer.base_model_id].append(layer)
    return ModelList(rows, total, branches)


async def create_model(parts: AiParts, caller: Principal, body: ModelBody) -> ModelRow:
    """Create a model of its content over its base.

    Raises:
        BadInputError: The kinds do not fit, or the layers do not make a valid model.
        NotFoundError: No such connection or base.
    """
    connection = await get_connection(parts.database, caller.organization, body.connection_id)
    if body.base_model_id is None and (body.model_kind is not ModelKind.SHARED or body.content is None):
        raise BadInputError(f"baseModelId is required for {body.model_kind}", field="baseModelId")
    if body.base_model_id is not None:
        kinds = (ModelKind.SCHEMA,) if body.model_kind is ModelKind.SHARED else ASKABLE
        base = await store.get_model(parts.database, caller.organization, body.base_model_id)
        if base.kind not in kinds:
            raise BadInputError(f"baseModelId: a {body.model_kind} is not made over a {base.kind}", field="baseModelId")
        if base.connection_id != connection.id:
            raise BadInputError("connectionId: the base has another connection", field="connectionId")
    row = ModelRow(
        organization=caller.organization,
        connection_id=connection.id,
        name=body.model_name or connection.name,
        kind=body.model_kind,
        base_model_id=body.base_model_id,
        content={} if body.content is None else await parts.checks.run(caller.organization, parse_model, body.content),
    )
    await load_content(parts.database, row)
    return await store.add_model(parts.database, row)


async def draft_schema_model(parts: AiParts, caller: Principal, body: ModelBody) -> JobRow:
    """Make the job that reads a database into a new model of kind SCHEMA.

    Raises:
        BadInputError: The body comes with what is read from the database.
        NotFoundError: No such connection.
    """
    connection = await get_connection(parts.database, caller.organization, body.connection_id)
    if body.base_model_id is not None or body.content is not None:
        field = "content" if body.content is not None else "baseModelId"
        raise BadInputError(f"{field}: a model of kind SCHEMA is read from the database", field=field)
    return _draft_reading(caller, connection.id, uuid4(), name=body.model_name)


async def draft_schema_refresh(parts: AiParts, caller: Principal, model_id: UUID) -> JobRow:
    """Make the job that brings a model of kind SCHEMA up to date with its database.

    Raises:
        NotFoundError: No such model of that kind.
    """
    row = await store.get_model(parts.database, caller.organization, model_id, kinds=(ModelKind.SCHEMA,))
    return _draft_reading(caller, row.connection_id, row.id, name=row.name, refresh=True)


async def accept_schema_reading(connection: Connection, job: JobRow) -> None:
    """Store the job that reads a database, in the caller's transaction."""
    await create_job(connection, job)


def _draft_reading(
    caller: Principal, connection_id: UUID, model_id: UUID, *, name: str | None, refresh: bool = False
) -> JobRow:
    params = SchemaReadingParams(connection_id=connection_id, model_id=model_id, name=name or "", refresh=refresh)
    return JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=SCHEMA_READING,
        params=params.model_dump(mode="json"),
        created_by=caller.key_id,
    )


async def wait_for_schema(parts: AiParts, job: JobRow) -> ModelRow:
    """Wait for a database to be read.

    Returns:
        Its model.

    Raises:
        BadInputError: The database refuses.
        UnavailableError: It does not answer in time.
    """
    job = await parts.events.wait_for_end(job, seconds=WAIT_SECONDS)
    if not job.state.final:
        raise UnavailableError(f"the database is still being read by the job /v1/jobs/{job.id}", retry_after=10)
    if job.state is not JobState.COMPLETED:
        raise BadInputError(f"the database cannot be read: {job.error_message}")
    params = params_of(job, SchemaReadingParams)
    return await store.get_model(parts.database, job.organization, params.model_id)


async def change_content(parts: AiParts, caller: Principal, model_id: UUID, content: str | dict[str, Any]) -> ModelRow:
    """Replace a model's own content.

    Raises:
        BadInputError: With what lies below it, it does not make a valid model; nothing was changed.
    """
    row = await store.get_model(parts.database, caller.organization, model_id)
    if row.kind is ModelKind.SCHEMA:
        raise BadInputError("a model of kind SCHEMA is read from the database; make a SHARED one over it")
    own = await parts.checks.run(caller.organization, parse_model, content)
    await load_content(parts.database, row, own)
    return await store.change_model(parts.database, caller.organization, model_id, {"content": own})


async def merge_branch(parts: AiParts, caller: Principal, branch_id: UUID) -> ModelRow:
    """Put what a branch says into the model that it belongs to, and end the branch.

    Raises:
        NotFoundError: No such branch.
    """
    branch = await store.get_model(parts.database, caller.organization, branch_id, kinds=(ModelKind.BRANCH,))
    if branch.base_model_id is None:
        raise NotFoundError(f"the branch {branch_id} belongs to no model")
    base = await store.get_model(parts.database, caller.organization, branch.base_model_id)
    own = overlay_branch(base, branch)
    await load_content(parts.database, base, own)
    changed = await store.change_model(parts.database, caller.organization, base.id, {"content": own})
    await store.change_model(parts.database, caller.organization, branch.id, {"deleted_at": changed.updated_at})
    return changed


def overlay_branch(base: ModelRow, branch: ModelRow) -> dict[str, Any]:
    """Lay a branch's content over its base's own; what the branch takes away stays taken away."""
    merged = overlay(base.content, branch.content)
    return _with_nulls(merged, branch.content)


def _with_nulls(merged: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    for name, value in own.items():
        if value is None:
            merged[name] = None
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _with_nulls(dict(merged[name]), value)
    return merged


async def delete_model(parts: AiParts, caller: Principal, model_id: UUID) -> None:
    """Delete a model; it can still be listed with `includeDeleted`.

    Raises:
        ConflictError: Others are laid over it.
    """
    row = await store.get_model(parts.database, caller.organization, model_id)
    over = await store.list_models_over(parts.database, caller.organization, [row.id])
    if over:
        raise ConflictError(f"{over[0].kind} {over[0].name or over[0].id} is laid over it; delete that first")
    await store.change_model(parts.database, caller.organization, row.id, {"deleted_at": datetime.now(UTC)})


async def load_model(
    parts: AiParts, caller: Principal, model_id: UUID, branch_id: UUID | None
) -> tuple[ModelRow, Content]:
    """Load a model of any kind, or its branch, with its whole content.

    Raises:
        NotFoundError: It is not there, or the branch is another model's.
        BadInputError: Its layers do not make a valid model.
    """
    row = await store.get_model(parts.database, caller.organization, model_id)
    if branch_id is not None:
        branch = await store.get_model(parts.database, caller.organization, branch_id, kinds=(ModelKind.BRANCH,))
        if branch.base_model_id != row.id:
            raise NotFoundError(f"branch_id: {branch_id} is no branch of the model {model_id}")
        row = branch
    return row, await load_content(parts.database, row)
