"""Connections and semantic models behind their routes: made, read, changed, merged."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from towpath.accounts.types import Principal
from towpath.ai.databases.postgres import read_url
from towpath.ai.databases.types import DatabaseConfig, DatabaseKind
from towpath.ai.domain.semantics.content import parse_model, views_of
from towpath.ai.domain.semantics.overlay import overlay
from towpath.ai.semantic_types import Content
from towpath.ai.store.connections import change_connection, get_connection, sealed_config
from towpath.ai.store.models import ASKABLE, add_model, change_model, get_model, models_of, models_over, whole_model
from towpath.ai.store.tables import ConnectionRow, ModelRow
from towpath.ai.types import ConnectionBody, ConnectionView, ModelBody, ModelKind
from towpath.api.http.idempotency import Slot, job_once
from towpath.api.http.responses import moment
from towpath.api.http.state import AppState
from towpath.core.errors import BadInputError, ConflictError, NotFoundError, UnavailableError
from towpath.core.folders import own_file
from towpath.db.tables import JobRow
from towpath.jobs.store.jobs import create_job
from towpath.jobs.types import JobKind, JobState

WAIT_SECONDS = 60.0
READ_FOR_SHARED = "POST /v1/models, its base"
FIELDS = {DatabaseKind.DUCKDB: ("path", "url"), DatabaseKind.POSTGRES: ("url", "path")}


async def connection_columns(state: AppState, organization: str, body: ConnectionBody) -> dict[str, Any]:
    """The columns of a connection, its configuration sealed.

    Raises:
        BadInputError: No such kind, the wrong one of `path` and `url`, or a path that leads to no file of the folder.
    """
    try:
        kind = DatabaseKind(body.kind)
    except ValueError as error:
        raise BadInputError(f"kind: {body.kind!r} is not one of {', '.join(DatabaseKind)}", field="kind") from error
    needed, other = FIELDS[kind]
    if getattr(body, needed) is None:
        raise BadInputError(f"{needed} is required for {kind}", field=needed)
    if getattr(body, other) is not None:
        raise BadInputError(f"{other} does not go with {kind}", field=other)
    if body.path is not None:
        await asyncio.to_thread(_assert_path, state.settings.databases_root, organization, body.path)
    host = database = None
    if body.url is not None:
        parts = read_url(body.url)
        host = parts["host"] if "port" not in parts else f"{parts['host']}:{parts['port']}"
        database = parts.get("dbname")
    config = DatabaseConfig(kind=kind, path=body.path, url=body.url)
    return {
        "name": body.name,
        "kind": kind,
        "config": sealed_config(state.vault, config),
        "path": body.path,
        "host": host,
        "database": database,
    }


def _assert_path(root: Path | None, organization: str, path: str) -> None:
    """Refuse what could never be opened.

    The façade may run where the workers' folder is not: then only where the path leads is looked at.
    """
    try:
        own_file(root or Path("/databases"), organization, path, must_exist=root is not None and root.is_dir())
    except NotFoundError as error:
        raise BadInputError(f"path: {error.detail}", field="path") from error


def connection_view(row: ConnectionRow) -> ConnectionView:
    """A connection without its credentials."""
    return ConnectionView.model_validate(row, from_attributes=True)


def model_view(row: ModelRow) -> dict[str, Any]:
    """A model without its content."""
    return {
        "id": str(row.id),
        "name": row.name,
        "modelKind": row.kind,
        "connectionId": str(row.connection_id),
        "baseModelId": None if row.base_model_id is None else str(row.base_model_id),
        "createdAt": moment(row.created_at),
        "updatedAt": moment(row.updated_at),
        "deletedAt": moment(row.deleted_at),
    }


async def with_base(state: AppState, caller: Principal, body: ModelBody) -> ModelBody:
    """The body with what a SHARED model is made over where it does not say: the schema model of its connection.

    Raises:
        NotFoundError: No such connection.
        BadInput, Unavailable: There is no schema model, and the database cannot be read.
    """
    if body.model_kind is not ModelKind.SHARED or body.base_model_id is not None or body.content is not None:
        return body
    known = await models_of(state.db, caller.organization, body.connection_id, kind=ModelKind.SCHEMA)
    if known:
        return body.model_copy(update={"base_model_id": known[0].id})
    connection = await get_connection(state.db, caller.organization, body.connection_id)
    job = _reading(caller, connection.id, uuid4(), name=None)
    slot = Slot(caller.organization, READ_FOR_SHARED, None)
    base = await _read(state, await job_once(state, slot, b"", job, create_job))
    return body.model_copy(update={"base_model_id": base.id})


async def forget_connection(state: AppState, caller: Principal, connection_id: UUID) -> None:
    """Forget a connection and what it was reached by.

    Raises:
        NotFoundError: No such connection.
        ConflictError: There are models over it, which could not be asked any more.
    """
    row = await get_connection(state.db, caller.organization, connection_id)
    over = await models_of(state.db, caller.organization, row.id)
    if over:
        raise ConflictError(
            f"{over[0].kind} {over[0].name or over[0].id} is over this connection; delete its models first"
        )
    changed: dict[str, object] = {"deleted_at": datetime.now(UTC), "config": b""}
    await change_connection(state.db, caller.organization, connection_id, changed)


async def make_model(state: AppState, caller: Principal, body: ModelBody) -> ModelRow:
    """Make a model of its content over its base.

    Raises:
        BadInputError: The kinds do not fit, or the layers do not make a valid model.
        NotFoundError: No such connection or base.
    """
    connection = await get_connection(state.db, caller.organization, body.connection_id)
    if body.base_model_id is None and (body.model_kind is not ModelKind.SHARED or body.content is None):
        raise BadInputError(f"baseModelId is required for {body.model_kind}", field="baseModelId")
    if body.base_model_id is not None:
        kinds = (ModelKind.SCHEMA,) if body.model_kind is ModelKind.SHARED else ASKABLE
        base = await get_model(state.db, caller.organization, body.base_model_id)
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
        content={} if body.content is None else await state.checks.run(caller.organization, parse_model, body.content),
    )
    await whole_model(state.db, row)
    return await add_model(state.db, row)


async def make_schema_model(state: AppState, caller: Principal, body: ModelBody, slot: Slot, digest: bytes) -> ModelRow:
    """Make a model of kind SCHEMA, by reading its database.

    Raises:
        BadInputError: It comes with what is read from the database, or the database refuses.
        NotFoundError: No such connection.
        UnavailableError: The database does not answer in time.
    """
    connection = await get_connection(state.db, caller.organization, body.connection_id)
    if body.base_model_id is not None or body.content is not None:
        given = "content" if body.content is not None else "baseModelId"
        raise BadInputError(f"{given}: a model of kind SCHEMA is read from the database", field=given)
    job = _reading(caller, connection.id, uuid4(), name=body.model_name)
    return await _read(state, await job_once(state, slot, digest, job, create_job))


async def refresh_schema_model(
    state: AppState, caller: Principal, model_id: UUID, slot: Slot, digest: bytes
) -> ModelRow:
    """Bring a model of kind SCHEMA up to date with its database.

    Raises:
        NotFoundError: No such model of that kind.
        BadInputError: The database refuses.
        UnavailableError: It does not answer in time.
    """
    row = await get_model(state.db, caller.organization, model_id, kinds=(ModelKind.SCHEMA,))
    job = _reading(caller, row.connection_id, row.id, name=row.name, refresh=True)
    return await _read(state, await job_once(state, slot, digest, job, create_job))


def _reading(
    caller: Principal, connection_id: UUID, model_id: UUID, *, name: str | None, refresh: bool = False
) -> JobRow:
    params = {"connection_id": str(connection_id), "model_id": str(model_id), "name": name or "", "refresh": refresh}
    return JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=JobKind.SCHEMA_READING,
        params=params,
        created_by=caller.key_id,
    )


async def _read(state: AppState, job: JobRow) -> ModelRow:
    job = await state.events.wait_for_end(job, seconds=WAIT_SECONDS)
    if not job.state.final:
        raise UnavailableError(f"the database is still being read by the job /v1/jobs/{job.id}", retry_after=10)
    if job.state is not JobState.COMPLETED:
        raise BadInputError(f"the database cannot be read: {job.error_message}")
    return await get_model(state.db, job.organization, UUID(job.params["model_id"]))


async def change_content(state: AppState, caller: Principal, model_id: UUID, given: str | dict[str, Any]) -> ModelRow:
    """Replace a model's own content.

    Raises:
        BadInputError: With what lies below it, it does not make a valid model; nothing was changed.
    """
    row = await get_model(state.db, caller.organization, model_id)
    if row.kind is ModelKind.SCHEMA:
        raise BadInputError("a model of kind SCHEMA is read from the database; make a SHARED one over it")
    own = await state.checks.run(caller.organization, parse_model, given)
    await whole_model(state.db, row, own)
    return await change_model(state.db, caller.organization, model_id, {"content": own})


async def merge_branch(state: AppState, caller: Principal, branch_id: UUID) -> ModelRow:
    """Put what a branch says into the model that it belongs to, and end the branch.

    Raises:
        NotFoundError: No such branch.
    """
    branch = await get_model(state.db, caller.organization, branch_id, kinds=(ModelKind.BRANCH,))
    assert branch.base_model_id is not None
    base = await get_model(state.db, caller.organization, branch.base_model_id)
    own = overlay_of(base, branch)
    await whole_model(state.db, base, own)
    changed = await change_model(state.db, caller.organization, base.id, {"content": own})
    await change_model(state.db, caller.organization, branch.id, {"deleted_at": changed.updated_at})
    return changed


def overlay_of(base: ModelRow, branch: ModelRow) -> dict[str, Any]:
    """A base's own content with a branch's over it; what the branch takes away stays taken away."""
    merged = overlay(base.content, branch.content)
    return _with_nulls(merged, branch.content)


def _with_nulls(merged: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    for name, value in own.items():
        if value is None:
            merged[name] = None
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _with_nulls(dict(merged[name]), value)
    return merged


async def forget_model(state: AppState, caller: Principal, model_id: UUID) -> None:
    """Delete a model; it can still be listed with `includeDeleted`.

    Raises:
        ConflictError: Others are laid over it.
    """
    row = await get_model(state.db, caller.organization, model_id)
    over = await models_over(state.db, caller.organization, [row.id])
    if over:
        raise ConflictError(f"{over[0].kind} {over[0].name or over[0].id} is laid over it; delete that first")
    await change_model(state.db, caller.organization, row.id, {"deleted_at": datetime.now(UTC)})


async def content_of(
    state: AppState, organization: str, model_id: UUID, branch_id: UUID | None
) -> tuple[ModelRow, Content]:
    """A model of any kind, or its branch, with its whole content.

    Raises:
        NotFoundError: It is not there, or the branch is another model's.
        BadInputError: Its layers do not make a valid model.
    """
    row = await get_model(state.db, organization, model_id)
    if branch_id is not None:
        branch = await get_model(state.db, organization, branch_id, kinds=(ModelKind.BRANCH,))
        if branch.base_model_id != row.id:
            raise NotFoundError(f"branch_id: {branch_id} is no branch of the model {model_id}")
        row = branch
    return row, await whole_model(state.db, row)


def topic_answer(content: Content, name: str, *, full: bool) -> dict[str, Any]:
    """A topic; `full`: with the views that it reaches and how."""
    topic = content.topics[name]
    found: dict[str, Any] = {"name": name, "base_view_name": topic.base_view}
    for key in ("label", "description", "group_label"):
        if (value := getattr(topic, key)) is not None:
            found[key] = value
    if topic.hidden:
        found["hidden"] = True
    if full:
        ways = views_of(content, topic)
        used = {id(one): one for way in ways.values() for one in way}
        found["views"] = [
            {"name": view, **content.views[view].model_dump(mode="json", exclude_none=True)} for view in ways
        ]
        found["relationships"] = [
            one.model_dump(mode="json", by_alias=True)
            for one in content.relationships
            if id(one) in used or {one.from_, one.to} <= ways.keys()
        ]
    return found
