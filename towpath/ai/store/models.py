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
from towpath.ai.types import ModelFilter, ModelKind
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
    """Store a model; one that is there already under its id stays as it is."""
    async with database.session() as session:
        stored = await session.get(ModelRow, row.id)
        if stored is not None:
            return stored
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return row


async def get_model(
    database: Database, organization: str, model_id: UUID, *, kinds: Sequence[ModelKind] | frozenset[ModelKind] = ()
) -> ModelRow:
    """Load one model, without what it is laid over.

    Args:
        database: Where it is.
        organization: Whose.
        model_id: The model.
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
    database: Database, organization: str, model_filter: ModelFilter, *, offset: int, limit: int
) -> tuple[Sequence[ModelRow], int]:
    """List models.

    Returns:
        The page, and how many there are in all.
    """
    query = select(ModelRow).where(ModelRow.organization == organization)
    count = select(func.count()).select_from(ModelRow).where(ModelRow.organization == organization)
    conditions = [getattr(ModelRow, name) == value for name, value in model_filter.columns.items()]
    if not model_filter.include_deleted:
        conditions.append(col(ModelRow.deleted_at).is_(None))
    order = col(SORTS[model_filter.sort])
    query = query.where(*conditions).order_by(order.desc() if model_filter.descending else order, col(ModelRow.id))
    async with database.session() as session:
        rows = (await session.exec(query.offset(offset).limit(limit))).all()
        return rows, (await session.exec(count.where(*conditions))).one()


async def list_models_over(database: Database, organization: str, model_ids: Sequence[UUID]) -> Sequence[ModelRow]:
    """List the live models that are laid over some others: branches and extensions."""
    query = select(ModelRow).where(
        ModelRow.organization == organization,
        col(ModelRow.base_model_id).in_(model_ids),
        col(ModelRow.deleted_at).is_(None),
    )
    async with database.session() as session:
        return (await session.exec(query.order_by(col(ModelRow.created_at)))).all()


async def list_models_of(
    database: Database, organization: str, connection_id: UUID, *, kind: ModelKind | None = None
) -> Sequence[ModelRow]:
    """List the live models over a connection, of one kind or of any, the newest first."""
    query = select(ModelRow).where(
        ModelRow.organization == organization,
        ModelRow.connection_id == connection_id,
        col(ModelRow.deleted_at).is_(None),
    )
    if kind is not None:
        query = query.where(ModelRow.kind == kind)
    async with database.session() as session:
        return (await session.exec(query.order_by(col(ModelRow.created_at).desc(), col(ModelRow.id)))).all()


async def change_model(database: Database, organization: str, model_id: UUID, changes: dict[str, Any]) -> ModelRow:
    """Change columns of a model.

    Raises:
        NotFoundError: It is not there.
    """
    row = await get_model(database, organization, model_id)
    async with database.session() as session:
        for name, value in {**changes, "updated_at": datetime.now(UTC)}.items():
            setattr(row, name, value)
        session.add(row)
    return row


async def load_layers(database: Database, row: ModelRow) -> list[ModelRow]:
    """Load a model and those below it, the lowest first.

    Raises:
        NotFoundError: One of them was deleted.
        BadInputError: There are too many.
    """
    layers = [row]
    while layers[0].base_model_id is not None and len(layers) < MAX_LAYERS:
        layers.insert(0, await get_model(database, row.organization, layers[0].base_model_id))
    if layers[0].base_model_id is not None:
        raise BadInputError(f"baseModelId: a model has at most {MAX_LAYERS} layers", field="baseModelId")
    return layers


async def read_layers(
    connection: Connection, organization: str, model_id: UUID
) -> tuple[ConnectionRow | None, list[dict[str, Any]]]:
    """Read a model's connection and the content of its layers, the lowest first, in one statement.

    Returns:
        The connection, None where it was deleted, and the contents.

    Raises:
        NotFoundError: The model, or one below it, is not there.
    """
    cursor = await connection.execute(
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
    rows = await cursor.fetchall()
    if not rows or rows[0][1] is not None:
        raise NotFoundError(f"no model {model_id}, or one that it is laid over is gone")
    _, _, connection_id, name, kind, config, path = rows[-1]
    database_row = None
    if connection_id is not None:
        database_row = ConnectionRow(
            id=connection_id, organization=organization, name=name, kind=kind, config=config, path=path
        )
    return database_row, [row[0] for row in rows]


def merge_layers(layers: Sequence[dict[str, Any]]) -> Content:
    """Merge layers into a model; the same layers are parsed once in a process.

    Args:
        layers: What each says, the lowest first.

    Raises:
        BadInputError: They do not make a valid model; the place is named.
    """
    return _parse_merged(tuple(write_json(layer) for layer in layers))


async def load_content(database: Database, row: ModelRow, own: dict[str, Any] | None = None) -> Content:
    """Load the content of a model with all that it is laid over.

    Args:
        database: Where the layers are.
        row: The model.
        own: Takes the place of its own content, to see whether it fits.

    Raises:
        BadInputError: The layers do not make a valid model; the place is named.
    """
    layers = await load_layers(database, row)
    contents = [layer.content for layer in layers]
    if own is not None:
        contents[-1] = own
    # Some thousand expressions may have to be parsed.
    return await asyncio.to_thread(merge_layers, contents)


@lru_cache(maxsize=64)
def _parse_merged(layers: tuple[bytes, ...]) -> Content:
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = overlay(merged, parse_json(layer))
    return read_model(merged)
