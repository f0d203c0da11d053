"""Semantic models: kept in layers, read as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, select

from towpath.ai.domain.semantics.content import read_model
from towpath.ai.domain.semantics.overlay import overlay
from towpath.ai.semantic_types import Content
from towpath.ai.store.tables import ConnectionRow, ModelRow
from towpath.ai.types import ModelKind
from towpath.core.errors import BadInputError, NotFoundError
from towpath.core.json_values import parse_json, write_json
from towpath.db.engine import Connection, Database

MAX_LAYERS = 5
ASKABLE = frozenset({ModelKind.SHARED, ModelKind.SHARED_EXTENSION})
"""Kinds that a question may name; a branch goes beside the one that it belongs to."""
SORTS: dict[str, Any] = {
    "name": ModelRow.name,
    "createdAt": ModelRow.created_at,
    "updatedAt": ModelRow.updated_at,
    "modelKind": ModelRow.kind,
    "connectionId": ModelRow.connection_id,
    "baseModelId": ModelRow.base_model_id,
}


async def add_model(database: Database, row: ModelRow) -> ModelRow:
    """Keep a model; one that is there already under its id stays as it is."""
    async with database.session() as session:
        known = await session.get(ModelRow, row.id)
        if known is not None:
            return known
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return row


async def get_model(
    database: Database, organization: str, model_id: UUID, *, kinds: Sequence[ModelKind] | frozenset[ModelKind] = ()
) -> ModelRow:
    """One model.

    Args:
        kinds: Only of these kinds; none: of any.

    Raises:
        NotFoundError: It is not there, was deleted, is of another kind or another organization's.
    """
    query = select(ModelRow).where(
        ModelRow.id == model_id, ModelRow.organization == organization, col(ModelRow.deleted_at).is_(None)
    )
    async with database.session() as session:
        row = (await session.exec(query)).one_or_none()
    if row is None or (kinds and row.kind not in kinds):
        raise NotFoundError(f"no model {model_id}" if row is None else f"the model {model_id} is {row.kind}")
    return row


async def list_models(
    database: Database,
    organization: str,
    given: dict[str, Any],
    *,
    include_deleted: bool,
    sort: str,
    descending: bool,
    offset: int,
    limit: int,
) -> tuple[Sequence[ModelRow], int]:
    """A page of models.

    Args:
        given: Columns with the values that they must have.
        sort: A name of `SORTS`.

    Returns:
        The page, and how many there are in all.
    """
    query = select(ModelRow).where(ModelRow.organization == organization)
    count = select(func.count()).select_from(ModelRow).where(ModelRow.organization == organization)
    conditions = [getattr(ModelRow, name) == value for name, value in given.items()]
    if not include_deleted:
        conditions.append(col(ModelRow.deleted_at).is_(None))
    order = col(SORTS[sort])
    query = query.where(*conditions).order_by(order.desc() if descending else order, col(ModelRow.id))
    async with database.session() as session:
        rows = (await session.exec(query.offset(offset).limit(limit))).all()
        return rows, (await session.exec(count.where(*conditions))).one()


async def models_over(database: Database, organization: str, model_ids: Sequence[UUID]) -> Sequence[ModelRow]:
    """The live models that are laid over some others, branches and extensions."""
    query = select(ModelRow).where(
        ModelRow.organization == organization,
        col(ModelRow.base_model_id).in_(model_ids),
        col(ModelRow.deleted_at).is_(None),
    )
    async with database.session() as session:
        return (await session.exec(query.order_by(col(ModelRow.created_at)))).all()


async def models_of(
    database: Database, organization: str, connection_id: UUID, *, kind: ModelKind | None = None
) -> Sequence[ModelRow]:
    """The live models over a connection, of one kind or of any, the newest first."""
    query = select(ModelRow).where(
        ModelRow.organization == organization,
        ModelRow.connection_id == connection_id,
        col(ModelRow.deleted_at).is_(None),
    )
    if kind is not None:
        query = query.where(ModelRow.kind == kind)
    async with database.session() as session:
        return (await session.exec(query.order_by(col(ModelRow.created_at).desc(), col(ModelRow.id)))).all()


async def change_model(database: Database, organization: str, model_id: UUID, changed: dict[str, Any]) -> ModelRow:
    """Change a model's columns.

    Raises:
        NotFoundError: It is not there.
    """
    row = await get_model(database, organization, model_id)
    async with database.session() as session:
        for name, value in {**changed, "updated_at": datetime.now(UTC)}.items():
            setattr(row, name, value)
        session.add(row)
    return row


async def layers_of(database: Database, row: ModelRow) -> list[ModelRow]:
    """A model and those below it, the lowest first.

    Raises:
        NotFoundError: One of them was deleted.
        BadInputError: There are too many.
    """
    found = [row]
    while found[0].base_model_id is not None and len(found) < MAX_LAYERS:
        found.insert(0, await get_model(database, row.organization, found[0].base_model_id))
    if found[0].base_model_id is not None:
        raise BadInputError(f"baseModelId: a model has at most {MAX_LAYERS} layers", field="baseModelId")
    return found


async def read_layers(
    connection: Connection, organization: str, model_id: UUID
) -> tuple[ConnectionRow | None, list[dict[str, Any]]]:
    """A model's connection and what its layers say, the lowest first, in one statement.

    Returns:
        No connection: it is gone.

    Raises:
        NotFoundError: The model, or one below it, is not there.
    """
    found = await connection.execute(
        """
        WITH RECURSIVE layers AS (
            SELECT m.*, 1 AS depth FROM semantic_models m
            WHERE m.id = %(id)s AND m.organization = %(org)s AND m.deleted_at IS NULL
            UNION ALL
            SELECT m.*, l.depth + 1 FROM semantic_models m JOIN layers l ON m.id = l.base_model_id
            WHERE m.organization = %(org)s AND m.deleted_at IS NULL AND l.depth < %(most)s
        )
        SELECT l.content, l.base_model_id, c.id, c.name, c.kind, c.config, c.path FROM layers l
        LEFT JOIN connections c ON c.id = l.connection_id AND c.organization = %(org)s AND c.deleted_at IS NULL
        ORDER BY l.depth DESC
        """,
        {"id": model_id, "org": organization, "most": MAX_LAYERS},
    )
    rows = await found.fetchall()
    if not rows or rows[0][1] is not None:
        raise NotFoundError(f"no model {model_id}, or one that it is laid over is gone")
    _, _, connection_id, name, kind, config, path = rows[-1]
    reached = None
    if connection_id is not None:
        reached = ConnectionRow(
            id=connection_id, organization=organization, name=name, kind=kind, config=config, path=path
        )
    return reached, [row[0] for row in rows]


def made_of(layers: Sequence[dict[str, Any]]) -> Content:
    """The model that some layers make, the lowest first.

    Raises:
        BadInputError: They do not make a valid one; the place is named.
    """
    return _merged(tuple(write_json(one) for one in layers))


async def whole_model(database: Database, row: ModelRow, own: dict[str, Any] | None = None) -> Content:
    """A model with all that it is laid over.

    Args:
        row: The model.
        own: Takes the place of its own content, to see whether it fits.

    Raises:
        BadInputError: The layers do not make a valid model; the place is named.
    """
    layers = await layers_of(database, row)
    said = [own if own is not None and layer is layers[-1] else layer.content for layer in layers]
    # Some thousand expressions may have to be parsed.
    return await asyncio.to_thread(made_of, said)


@lru_cache(maxsize=64)
def _merged(layers: tuple[bytes, ...]) -> Content:
    """The same layers make the same model: every expression in it need not be parsed anew for every question."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = overlay(merged, parse_json(layer))
    return read_model(merged)
