"""Records: the results of enrichments and fusions, with their filters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from psycopg.types.json import Json
from sqlalchemy import String, cast
from sqlmodel import col, func, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.enrichment.store.tables import RecordRow
from towpath.enrichment.types import LLM_KINDS, RecordFilter, SortBy
from towpath.llm.store.ledger import sum_kinds

JSON_COLUMNS = frozenset(
    {
        "schema_content",
        "structured_output",
        "entity_input_data",
        "expertises",
        "validation_errors",
        "validation_warnings",
        "fusion",
    }
)
COLUMNS = [name for name in RecordRow.model_fields if name not in {"created_at", "deleted_at"}]
EXPORT_ROWS = 200


async def write_records(connection: Connection, rows: Sequence[RecordRow]) -> None:
    """Write records in the transaction of what they belong to; one with the same id is replaced."""
    if not rows:
        return
    names = ", ".join(COLUMNS)
    places = ", ".join(f"%({name})s" for name in COLUMNS)
    changes = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")
    async with connection.cursor() as cursor:
        await cursor.executemany(
            f"INSERT INTO records ({names}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {changes}",
            [_parameters(row) for row in rows],
        )


def _parameters(row: RecordRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in COLUMNS}
    return {
        name: Json(value) if name in JSON_COLUMNS and value is not None else value for name, value in values.items()
    }


def _row(**columns: Any) -> RecordRow:
    return RecordRow.model_validate(columns)


async def load_job_records(connection: Connection, job_id: UUID, index: int | None = None) -> list[RecordRow]:
    """Return the records of a job, or of one entity of it, by entity and model."""
    async with connection.cursor(row_factory=kwargs_row(_row)) as cursor:
        await cursor.execute(
            "SELECT * FROM records WHERE job_id = %(job)s AND (%(index)s::int IS NULL OR entity_index = %(index)s)"
            " ORDER BY entity_index, type, model_composite_key",
            {"job": job_id, "index": index},
        )
        return await cursor.fetchall()


async def get_records(database: Database, organization: str, ids: Sequence[UUID]) -> list[RecordRow]:
    """Records in the order of their ids, deleted ones too.

    Raises:
        NotFoundError: One is not there, or another organisation's.
    """
    query = select(RecordRow).where(RecordRow.organization == organization, col(RecordRow.id).in_(ids))
    async with database.session() as session:
        rows = {row.id: row for row in (await session.exec(query)).all()}
    for record_id in ids:
        if record_id not in rows:
            raise NotFoundError(f"no record {record_id}")
    return [rows[record_id] for record_id in ids]


def _apply_filters(query: SelectOfScalar[Any], organization: str, filters: RecordFilter) -> SelectOfScalar[Any]:
    equal = {
        "type": filters.type,
        "model_composite_key": filters.model,
        "success": filters.success,
        "entity_id": filters.entity_id,
        "job_id": filters.job_id,
        "origin": filters.origin,
    }
    query = query.where(RecordRow.organization == organization)
    for name, value in equal.items():
        if value is not None:
            query = query.where(getattr(RecordRow, name) == value)
    if filters.since is not None:
        query = query.where(RecordRow.created_at >= filters.since)
    if not filters.include_deleted:
        query = query.where(col(RecordRow.deleted_at).is_(None))
    if filters.search:
        text = filters.search
        query = query.where(
            or_(
                col(RecordRow.entity_name).icontains(text, autoescape=True),
                cast(col(RecordRow.structured_output), String).icontains(text, autoescape=True),
            )
        )
    return query


async def list_records(
    database: Database,
    organization: str,
    filters: RecordFilter,
    *,
    page: int,
    page_size: int,
    sort_by: SortBy = "created_at",
    ascending: bool = False,
) -> tuple[list[RecordRow], int]:
    """Return a page of records and how many there are."""
    column = col(getattr(RecordRow, sort_by))
    order = (column.asc() if ascending else column.desc(), col(RecordRow.id))
    query = _apply_filters(select(RecordRow), organization, filters).order_by(*order)
    async with database.session() as session:
        total = (
            await session.exec(_apply_filters(select(func.count()).select_from(RecordRow), organization, filters))
        ).one()
        rows = (await session.exec(query.offset((page - 1) * page_size).limit(page_size))).all()
    return list(rows), int(total)


async def export_records(database: Database, organization: str, filters: RecordFilter) -> AsyncIterator[RecordRow]:
    """Every record of a filter, oldest first, a piece at a time."""
    last: tuple[datetime, UUID] | None = None
    while True:
        query = _apply_filters(select(RecordRow), organization, filters)
        if last is not None:
            moment, record = last
            query = query.where(
                or_(
                    col(RecordRow.created_at) > moment,
                    (col(RecordRow.created_at) == moment) & (col(RecordRow.id) > record),
                )
            )
        query = query.order_by(col(RecordRow.created_at), col(RecordRow.id)).limit(EXPORT_ROWS)
        async with database.session() as session:
            rows = (await session.exec(query)).all()
        for row in rows:
            yield row
        if len(rows) < EXPORT_ROWS:
            return
        last = rows[-1].created_at, rows[-1].id


async def delete_records(
    database: Database, organization: str, ids: Sequence[UUID], *, hard: bool
) -> tuple[int, list[UUID]]:
    """Delete records, for good or so that they can be restored.

    Returns:
        How many were deleted now, and the ids that are not there.
    """
    distinct_ids = list(dict.fromkeys(ids))
    async with database.transaction() as connection:
        cursor = await connection.execute(
            "SELECT id FROM records WHERE organization = %s AND id = ANY(%s)", (organization, distinct_ids)
        )
        existing = {row[0] async for row in cursor}
        if hard:
            cursor = await connection.execute("DELETE FROM records WHERE id = ANY(%s)", (list(existing),))
        else:
            cursor = await connection.execute(
                "UPDATE records SET deleted_at = now() WHERE id = ANY(%s) AND deleted_at IS NULL", (list(existing),)
            )
    return cursor.rowcount, [record_id for record_id in distinct_ids if record_id not in existing]


async def restore_records(database: Database, organization: str, ids: Sequence[UUID]) -> tuple[int, list[UUID]]:
    """Bring deleted records back.

    Returns:
        How many came back, and the ids that are not there or not deleted.
    """
    distinct_ids = list(dict.fromkeys(ids))
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            UPDATE records SET deleted_at = NULL
            WHERE organization = %s AND id = ANY(%s) AND deleted_at IS NOT NULL RETURNING id
            """,
            (organization, distinct_ids),
        )
        restored = {row[0] async for row in cursor}
    return len(restored), [record_id for record_id in distinct_ids if record_id not in restored]


async def load_totals(database: Database, organization: str) -> dict[str, Any]:
    """Totals over all records that are not deleted, and by model; tokens and dollars are all that was ever paid.

    They are those of the ledger: checks, failures, and what came after a cancel have no record of their own.
    """
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            SELECT type, coalesce(model_composite_key, ''), count(*), count(*) FILTER (WHERE success),
                   sum(cost_usd)
            FROM records WHERE organization = %s AND deleted_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2
            """,
            (organization,),
        )
        rows = await cursor.fetchall()
        paid = await sum_kinds(connection, organization, sorted(LLM_KINDS))
    total, successful = sum(row[2] for row in rows), sum(row[3] for row in rows)
    by_type: dict[str, int] = {}
    for row in rows:
        by_type[row[0]] = by_type.get(row[0], 0) + row[2]
    return {
        "total": total,
        "total_records": total,
        "successful": successful,
        "successful_records": successful,
        "failed": total - successful,
        "failed_records": total - successful,
        "total_cost_usd": round(paid.usd, 9),
        "input_tokens": paid.input_tokens,
        "total_input_tokens": paid.input_tokens,
        "output_tokens": paid.output_tokens,
        "total_output_tokens": paid.output_tokens,
        "by_type": by_type,
        "by_model": [
            {"type": row[0], "model": row[1] or None, "total": row[2], "successful": row[3], "cost_usd": row[4]}
            for row in rows
        ],
    }


async def count_by_job(
    database: Database, organization: str, *, page: int, page_size: int
) -> tuple[list[dict[str, Any]], int]:
    """Return a page of the jobs that have records, newest first, with their counts, and how many there are."""
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            SELECT job_id, count(*), count(*) FILTER (WHERE success), sum(cost_usd), min(created_at), max(created_at),
                   count(*) OVER ()
            FROM records WHERE organization = %s AND deleted_at IS NULL AND job_id IS NOT NULL
            GROUP BY job_id ORDER BY min(created_at) DESC, job_id LIMIT %s OFFSET %s
            """,
            (organization, page_size, (page - 1) * page_size),
        )
        rows = await cursor.fetchall()
        if not rows and page > 1:
            cursor = await connection.execute(
                "SELECT count(DISTINCT job_id) FROM records WHERE organization = %s AND deleted_at IS NULL",
                (organization,),
            )
            return [], int((await cursor.fetchall())[0][0])
    jobs = [
        {
            "job_id": row[0],
            "records": row[1],
            "record_count": row[1],
            "successful": row[2],
            "success_count": row[2],
            "failed_count": row[1] - row[2],
            "cost_usd": row[3],
            "total_cost_usd": row[3],
            "created_at": row[4],
            "first_created_at": row[4],
            "last_created_at": row[5],
        }
        for row in rows
    ]
    return jobs, int(rows[0][6]) if rows else 0
