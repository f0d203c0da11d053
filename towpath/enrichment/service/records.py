"""Records as people and programs work with them: lists, totals, export, deletion and its undoing."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from towpath.accounts.types import Principal, Role
from towpath.core.errors import BadInputError, ForbiddenError
from towpath.core.json_values import write_json
from towpath.core.spreadsheets import escape_cell
from towpath.enrichment.service.starts import EnrichmentParts
from towpath.enrichment.store import records as store
from towpath.enrichment.store.schemas import load_newest_versions
from towpath.enrichment.store.tables import RecordRow
from towpath.enrichment.types import RecordFilter, SortBy
from towpath.enrichment.views import record_row_view, record_view

MAX_IDS = 100
CSV_COLUMNS = [
    "id", "type", "success", "entity_id", "entity_name", "model_composite_key", "job_id", "entity_index", "origin",
    "cost_usd", "created_at", "error_message", "structured_output", "entity_input_data",
]  # fmt: skip


async def list_records(
    parts: EnrichmentParts,
    organization: str,
    filters: RecordFilter,
    *,
    page: int,
    page_size: int,
    sort_by: SortBy,
    ascending: bool,
) -> dict[str, Any]:
    """Return a page of records with the totals that a pager needs.

    Args:
        parts: What enrichment needs.
        organization: Whose records.
        filters: Which of them.
        page: The page, from 1.
        page_size: Records in one page.
        sort_by: The member that they are sorted by.
        ascending: Whether the lowest comes first.
    """
    rows, total = await store.list_records(
        parts.database,
        organization,
        filters,
        page=page,
        page_size=page_size,
        sort_by=sort_by,
        ascending=ascending,
    )
    newest = await _newest_versions(parts, organization, rows)
    return {
        "records": [record_row_view(row, newest) for row in rows],
        "total": total,
        "page": page,
        "page_size": page_size,
        "total_pages": -(-total // page_size),
    }


async def read_record(parts: EnrichmentParts, organization: str, record_id: UUID) -> dict[str, Any]:
    """Return one record in full.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    rows = await store.get_records(parts.database, organization, [record_id])
    return record_view(rows[0], await _newest_versions(parts, organization, rows))


async def _newest_versions(parts: EnrichmentParts, organization: str, rows: Sequence[RecordRow]) -> dict[UUID, int]:
    ids = {row.schema_id for row in rows if row.schema_id is not None}
    return await load_newest_versions(parts.database, organization, ids)


async def read_totals(parts: EnrichmentParts, organization: str) -> dict[str, Any]:
    """Return the totals over all records that are not deleted, and by model."""
    return await store.load_totals(parts.database, organization)


async def list_by_job(parts: EnrichmentParts, organization: str, *, page: int, page_size: int) -> dict[str, Any]:
    """Return a page of the jobs that have records, newest first, with their counts."""
    jobs, total = await store.count_by_job(parts.database, organization, page=page, page_size=page_size)
    return {
        "jobs": jobs,
        "total": total,
        "page": page,
        "page_size": page_size,
        "total_pages": -(-total // page_size),
    }


async def export_ndjson(parts: EnrichmentParts, organization: str, filters: RecordFilter) -> AsyncIterator[bytes]:
    """Yield every record of a filter as a line of JSON, oldest first."""
    newest: dict[UUID, int] = {}
    async for row in store.export_records(parts.database, organization, filters):
        if row.schema_id is not None and row.schema_id not in newest:
            newest |= await _newest_versions(parts, organization, [row])
        view = record_view(row, newest)
        yield write_json(view, options=orjson.OPT_APPEND_NEWLINE)


async def export_csv(parts: EnrichmentParts, organization: str, filters: RecordFilter) -> AsyncIterator[str]:
    """Yield every record of a filter as a row of CSV, oldest first, behind a row of column names."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    async for row in store.export_records(parts.database, organization, filters):
        view = record_view(row, {})
        writer.writerow([_cell(view[name]) for name in CSV_COLUMNS])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _cell(value: Any) -> str:
    """Return a value as a cell; one that a spreadsheet would run as a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return write_json(value).decode()
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return escape_cell(text)


async def delete_records(
    parts: EnrichmentParts, caller: Principal, ids: Sequence[UUID], *, hard: bool
) -> dict[str, Any]:
    """Delete records so that they can be restored, or for good, which an owner may.

    Returns:
        How many were deleted, and the ids that are not there.

    Raises:
        ForbiddenError: `hard`, and the caller is no owner.
        BadInputError: They are more than one call may name.
    """
    if hard and not caller.role.covers(Role.OWNER):
        raise ForbiddenError("hard_delete needs the role owner")
    _check_count(ids)
    deleted, missing = await store.delete_records(parts.database, caller.organization, ids, hard=hard)
    return {"deleted": deleted, "not_found": missing}


async def restore_records(parts: EnrichmentParts, organization: str, ids: Sequence[UUID]) -> dict[str, Any]:
    """Restore deleted records.

    Returns:
        How many were restored, and the ids that are not there or not deleted.

    Raises:
        BadInputError: They are more than one call may name.
    """
    _check_count(ids)
    restored, missing = await store.restore_records(parts.database, organization, ids)
    return {"restored": restored, "not_found": missing}


def _check_count(ids: Sequence[UUID]) -> None:
    if len(ids) > MAX_IDS:
        raise BadInputError(f"ids: at most {MAX_IDS} in one call, not {len(ids)}", field="ids")
