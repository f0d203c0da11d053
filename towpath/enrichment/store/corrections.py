"""Right values that people gave for fields of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg.types.json import Json
from sqlmodel import col, select

from towpath.db.engine import Connection, Database
from towpath.enrichment.store.tables import CorrectionRow, RecordRow

MAX_RECORDS = 50_000


async def write_corrections(connection: Connection, rows: Sequence[CorrectionRow]) -> None:
    """Write right values; one for the same field is replaced."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO record_corrections (record_id, field, organization, value, user_id, key_id)
            VALUES (%(record_id)s, %(field)s, %(organization)s, %(value)s, %(user_id)s, %(key_id)s)
            ON CONFLICT (record_id, field) DO UPDATE
            SET value = excluded.value, user_id = excluded.user_id, key_id = excluded.key_id, created_at = now()
            WHERE record_corrections.value::jsonb IS DISTINCT FROM excluded.value::jsonb
            """,
            [
                {
                    "record_id": row.record_id,
                    "field": row.field,
                    "organization": row.organization,
                    "value": Json(row.value),
                    "user_id": row.user_id,
                    "key_id": row.key_id,
                }
                for row in rows
            ],
        )


async def list_corrections(database: Database, organization: str, record_id: UUID) -> list[CorrectionRow]:
    """Load the right values of a record, by field."""
    query = (
        select(CorrectionRow)
        .where(CorrectionRow.organization == organization, CorrectionRow.record_id == record_id)
        .order_by(col(CorrectionRow.field))
    )
    async with database.session() as session:
        return list((await session.exec(query)).all())


async def delete_corrections(database: Database, organization: str, record_id: UUID, field: str | None) -> int:
    """Take back the right value of a field, or of all; return how many there were."""
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            DELETE FROM record_corrections
            WHERE organization = %(organization)s AND record_id = %(record)s
              AND (%(field)s::text IS NULL OR field = %(field)s)
            """,
            {"organization": organization, "record": record_id, "field": field},
        )
    return cursor.rowcount


async def load_judged(
    database: Database, organization: str, *, schema_id: UUID | None, model: str | None
) -> list[tuple[RecordRow, Mapping[str, Any]]]:
    """Load the records of all entities that have right values, each with those of its entity and schema.

    Of two people who gave different values for one field of an entity the later one holds.

    Args:
        database: Where they are.
        organization: Whose.
        schema_id: Only records of this schema.
        model: Only records of this model.
    """
    truths = (
        select(RecordRow.entity_id, RecordRow.schema_id, CorrectionRow.field, CorrectionRow.value)
        .join(RecordRow, col(RecordRow.id) == col(CorrectionRow.record_id))
        .where(CorrectionRow.organization == organization, col(RecordRow.deleted_at).is_(None))
        .order_by(col(CorrectionRow.created_at), col(CorrectionRow.record_id))
    )
    if schema_id is not None:
        truths = truths.where(RecordRow.schema_id == schema_id)
    right: dict[tuple[UUID, UUID | None], dict[str, Any]] = {}
    async with database.session() as session:
        for entity_id, of_schema, field, value in (await session.exec(truths)).all():
            right.setdefault((entity_id, of_schema), {})[field] = value
        if not right:
            return []
        query = select(RecordRow).where(
            RecordRow.organization == organization,
            col(RecordRow.deleted_at).is_(None),
            col(RecordRow.entity_id).in_({entity_id for entity_id, _ in right}),
        )
        if model is not None:
            query = query.where(RecordRow.model_composite_key == model)
        rows = (await session.exec(query.order_by(col(RecordRow.created_at).desc()).limit(MAX_RECORDS))).all()
    return [(row, right[row.entity_id, row.schema_id]) for row in rows if (row.entity_id, row.schema_id) in right]
