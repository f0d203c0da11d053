"""Saved schemas and their versions."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from towpath.core.errors import NotFoundError
from towpath.db.engine import Database
from towpath.enrichment.domain.content import Content
from towpath.enrichment.store.tables import SchemaRow, SchemaVersionRow


async def create_schema(
    database: Database,
    organization: str,
    *,
    name: str,
    content: Content,
    tags: Sequence[str] = (),
    is_pinned: bool = False,
    samples: Sequence[Any] | None = None,
    schema_id: UUID | None = None,
) -> SchemaRow:
    """Save a schema; a taken name gets a number behind it. One with this id already is answered as it is."""
    async with database.session() as session:
        if schema_id is not None and (existing := await session.get(SchemaRow, schema_id)) is not None:
            session.expunge(existing)
            return existing
        await _hold_names(session, organization)
        row = SchemaRow(
            id=schema_id or uuid4(),
            organization=organization,
            name=await _free_name(session, organization, name),
            tags=list(tags),
            is_pinned=is_pinned,
            property_count=len(content["root"]["properties"]),
        )
        session.add(row)
        await session.flush()
        session.add(
            SchemaVersionRow(
                schema_id=row.id, version=1, content=content, entity_samples=None if samples is None else list(samples)
            )
        )
        await session.flush()
        await session.refresh(row)
        session.expunge(row)
    return row


async def _hold_names(session: AsyncSession, organization: str) -> None:
    connection = await session.connection()
    await connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"schemas\n{organization}",)
    )


async def _free_name(session: AsyncSession, organization: str, requested: str, *, own: UUID | None = None) -> str:
    query = select(SchemaRow.id, SchemaRow.name).where(
        SchemaRow.organization == organization, col(SchemaRow.deleted_at).is_(None)
    )
    used_names = {name for row_id, name in (await session.exec(query)).all() if row_id != own}
    base = re.sub(r" \(\d+\)$", "", requested)
    name, number = requested, 1
    while name in used_names:
        number += 1
        name = f"{base} ({number})"
    return name


async def get_schema(
    database: Database, organization: str, schema_id: UUID, *, deleted: bool = False
) -> tuple[SchemaRow, SchemaVersionRow]:
    """Return a schema and its newest version.

    Raises:
        NotFoundError: It is not there, deleted, or another organisation's.
    """
    async with database.session() as session:
        row = await _find(session, organization, schema_id, deleted=deleted)
        version = (
            await session.exec(
                select(SchemaVersionRow).where(
                    SchemaVersionRow.schema_id == schema_id, SchemaVersionRow.version == row.version
                )
            )
        ).one()
    return row, version


async def _find(session: AsyncSession, organization: str, schema_id: UUID, *, deleted: bool = False) -> SchemaRow:
    row = await session.get(SchemaRow, schema_id)
    if row is None or row.organization != organization or (row.deleted_at is not None and not deleted):
        raise NotFoundError(f"no schema {schema_id}")
    return row


async def load_newest_versions(database: Database, organization: str, ids: Collection[UUID]) -> dict[UUID, int]:
    """Load the version that each of some schemas is at, deleted ones left out."""
    if not ids:
        return {}
    query = select(SchemaRow.id, SchemaRow.version).where(
        SchemaRow.organization == organization, col(SchemaRow.id).in_(ids), col(SchemaRow.deleted_at).is_(None)
    )
    async with database.session() as session:
        return dict((await session.exec(query)).all())


async def list_schemas(database: Database, organization: str) -> list[SchemaRow]:
    """Return all schemas, pinned first, then by name."""
    query = (
        select(SchemaRow)
        .where(SchemaRow.organization == organization, col(SchemaRow.deleted_at).is_(None))
        .order_by(col(SchemaRow.is_pinned).desc(), col(SchemaRow.name), col(SchemaRow.id))
    )
    async with database.session() as session:
        return list((await session.exec(query)).all())


async def list_versions(database: Database, organization: str, schema_id: UUID) -> list[SchemaVersionRow]:
    """Return every version of a schema, newest first.

    Raises:
        NotFoundError: It is not there.
    """
    async with database.session() as session:
        await _find(session, organization, schema_id)
        query = (
            select(SchemaVersionRow)
            .where(SchemaVersionRow.schema_id == schema_id)
            .order_by(col(SchemaVersionRow.version).desc())
        )
        return list((await session.exec(query)).all())


async def update_schema(
    database: Database,
    organization: str,
    schema_id: UUID,
    *,
    content: Content | None = None,
    name: str | None = None,
    tags: Sequence[str] | None = None,
    is_pinned: bool | None = None,
    note: str | None = None,
    at_version: int | None = None,
) -> SchemaRow:
    """Change a schema; content that differs becomes its next version.

    Args:
        at_version: Change only what still is this version: a repeat of a job's step changes nothing more.

    Raises:
        NotFoundError: It is not there.
    """
    async with database.session() as session:
        await _hold_names(session, organization)
        row = await _find(session, organization, schema_id)
        if content is not None and (at_version is None or row.version == at_version):
            row.version += 1
            row.property_count = len(content["root"]["properties"])
            session.add(SchemaVersionRow(schema_id=schema_id, version=row.version, content=content, note=note))
        if name is not None:
            row.name = await _free_name(session, organization, name, own=schema_id)
        if tags is not None:
            row.tags = list(tags)
        if is_pinned is not None:
            row.is_pinned = is_pinned
        row.updated_at = datetime.now(UTC)
        session.add(row)
        await session.flush()
        await session.refresh(row)
        session.expunge(row)
    return row


async def set_deleted(database: Database, organization: str, schema_id: UUID, *, deleted: bool) -> SchemaRow:
    """Delete a schema, or bring it back with its versions.

    Raises:
        NotFoundError: It is not there.
    """
    async with database.session() as session:
        await _hold_names(session, organization)
        row = await _find(session, organization, schema_id, deleted=not deleted)
        if not deleted:
            row.name = await _free_name(session, organization, row.name, own=schema_id)
        row.deleted_at = datetime.now(UTC) if deleted else None
        session.add(row)
        await session.flush()
        await session.refresh(row)
        session.expunge(row)
    return row
