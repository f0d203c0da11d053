"""Records: list, detail, delete and restore, totals, export; and their fusion."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from towpath.accounts.types import Principal, Role
from towpath.api.http.auth import Operator, Reader
from towpath.api.http.bodies import body_of
from towpath.api.http.idempotency import IdempotencyKey
from towpath.api.http.job_starts import StartedJob, start_job
from towpath.api.http.requests import add_header
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.http.webhook_fields import read_start
from towpath.core.errors import BadInputError, ForbiddenError, ModelError
from towpath.core.json_values import write_json
from towpath.core.spreadsheets import escape_cell
from towpath.core.values import Moment
from towpath.enrichment.service.results import job_result
from towpath.enrichment.service.starts import draft_merge
from towpath.enrichment.store.records import (
    RecordFilter,
    SortBy,
    delete_records,
    export_records,
    get_records,
    list_records,
    record_stats,
    records_by_job,
    restore_records,
)
from towpath.enrichment.store.tables import RecordRow
from towpath.enrichment.types import BatchIds, MergeBody
from towpath.jobs.store.jobs import get_job
from towpath.jobs.types import JobState

router = APIRouter(tags=["records"], route_class=ApiRoute)

MAX_IDS = 100
MERGE_SECONDS = 300.0
CSV_COLUMNS = [
    "id", "type", "success", "entity_id", "entity_name", "model_composite_key", "job_id", "entity_index", "origin",
    "cost_usd", "created_at", "error_message", "structured_output", "entity_input_data",
]  # fmt: skip


def record_filter(
    request: Request,
    type: Literal["enrichment", "fusion"] | None = None,
    model: str | None = None,
    success: bool | None = None,
    search: Annotated[str | None, Query(max_length=200)] = None,
    entity_id: UUID | None = None,
    job_id: UUID | None = None,
    origin: str | None = None,
    since: Moment | None = None,
    include_deleted: bool = False,
    capabilities: Annotated[str | None, Query(description="Taken, and without effect: records have none.")] = None,
) -> RecordFilter:
    """The filters of the query string."""
    if capabilities is not None:
        add_header(request.scope, "Warning", '199 towpath "capabilities has no effect: records have none"')
    return RecordFilter(type, model, success, search, entity_id, job_id, origin, since, include_deleted)


Filters = Annotated[RecordFilter, Depends(record_filter)]


def _short(row: RecordRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "type": row.type,
        "success": row.success,
        "partial_success": row.partial_success,
        "entity_id": str(row.entity_id),
        "entity_name": row.entity_name,
        "model_composite_key": row.model_composite_key,
        "schema_id": row.schema_id and str(row.schema_id),
        "job_id": row.job_id and str(row.job_id),
        "entity_index": row.entity_index,
        "strategy": row.strategy,
        "origin": row.origin,
        "cost_usd": row.cost_usd,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "processing_time_ms": row.processing_time_ms,
        "error_message": row.error_message,
        "created_at": row.created_at,
        "is_deleted": row.deleted_at is not None,
    }


def _full(row: RecordRow) -> dict[str, Any]:
    fusion = row.fusion or {}
    return {
        **_short(row),
        "structured_output": row.structured_output,
        "entity_input_data": row.entity_input_data,
        "schema_version": row.schema_version,
        "languages": row.languages,
        "prompts": [
            {key: one.get(key) for key in ("key", "name", "success", "cost_usd", "input_tokens", "output_tokens")}
            for one in row.expertises
        ],
        "expertise_breakdown": row.expertises,
        "validation_errors": row.validation_errors,
        "fusion_sources": None if row.fusion_sources is None else [str(one) for one in row.fusion_sources],
        "fusion_method": fusion.get("method"),
        "conflict_report": fusion.get("report"),
        "provenance": fusion.get("provenance"),
    }


@router.get("/api/records", summary="List records")
async def list_all(
    state: State,
    caller: Reader,
    filters: Filters,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    page_size: Annotated[int | None, Query(ge=1, le=100)] = None,
    limit: Annotated[int | None, Query(ge=1, le=100, description="The same as page_size.")] = None,
    sort_by: SortBy = "created_at",
    sort_order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """Newest first; deleted ones only with `include_deleted`."""
    size = page_size or limit or 20
    rows, total = await list_records(
        state.db,
        caller.organization,
        filters,
        page=page,
        page_size=size,
        sort_by=sort_by,
        ascending=sort_order == "asc",
    )
    pages = -(-total // size)
    return {
        "records": [_short(row) for row in rows],
        "total": total,
        "page": page,
        "page_size": size,
        "total_pages": pages,
    }


@router.get("/api/records/stats", summary="Totals")
async def stats(state: State, caller: Reader) -> dict[str, Any]:
    """Over all records that are not deleted, and by model."""
    return await record_stats(state.db, caller.organization)


@router.get("/api/records/jobs", summary="Records by job")
async def by_job(state: State, caller: Reader, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> dict[str, Any]:
    """The newest jobs that have records."""
    return {"jobs": await records_by_job(state.db, caller.organization, limit=limit)}


@router.get(
    "/api/records/export",
    summary="All records of a filter as NDJSON or CSV",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}, "text/csv": {}}}},
)
async def export(
    state: State, caller: Reader, filters: Filters, format: Literal["ndjson", "csv"] = "ndjson"
) -> StreamingResponse:
    """Oldest first, as a stream; a CSV cell that a spreadsheet would run as a formula gets an apostrophe."""
    rows = export_records(state.db, caller.organization, filters)
    name = f'attachment; filename="records.{format}"'
    if format == "csv":
        return StreamingResponse(_csv(rows), media_type="text/csv", headers={"Content-Disposition": name})
    return StreamingResponse(_ndjson(rows), media_type="application/x-ndjson", headers={"Content-Disposition": name})


async def _ndjson(rows: AsyncIterator[RecordRow]) -> AsyncIterator[bytes]:
    async for row in rows:
        yield write_json(_full(row), options=orjson.OPT_APPEND_NEWLINE)


async def _csv(rows: AsyncIterator[RecordRow]) -> AsyncIterator[str]:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    async for row in rows:
        full = _full(row)
        writer.writerow([_cell(full[name]) for name in CSV_COLUMNS])
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return write_json(value).decode()
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return escape_cell(text)


@router.get("/api/records/{record_id}", summary="One record")
async def get_one(state: State, caller: Reader, record_id: UUID) -> dict[str, Any]:
    """With its structured output, the entity it was made from, and for a fusion where each field comes from."""
    return _full((await get_records(state.db, caller.organization, [record_id]))[0])


def _some(body: BatchIds) -> list[UUID]:
    if len(body.ids) > MAX_IDS:
        raise BadInputError(f"ids: at most {MAX_IDS} in one call, not {len(body.ids)}", field="ids")
    return body.ids


@router.post("/api/records/batch-delete", summary="Delete records")
async def batch_delete(state: State, caller: Operator, body: BatchIds) -> dict[str, Any]:
    """Up to 100; with `hard_delete` (owner or above) for good, else they can be restored."""
    if body.hard_delete and not caller.role.covers(Role.OWNER):
        raise ForbiddenError("hard_delete needs the role owner")
    deleted, missing = await delete_records(state.db, caller.organization, _some(body), hard=body.hard_delete)
    return {"deleted": deleted, "not_found": missing}


@router.post("/api/records/batch-restore", summary="Restore deleted records")
async def batch_restore(state: State, caller: Operator, body: BatchIds) -> dict[str, Any]:
    """Up to 100."""
    restored, missing = await restore_records(state.db, caller.organization, _some(body))
    return {"restored": restored, "not_found": missing}


async def _merge(request: Request, state: AppState, caller: Principal, idempotency_key: str | None) -> StartedJob:
    body, digest, webhook = await read_start(request, state, MergeBody)
    draft = await draft_merge(state.enrichment, caller.organization, body)
    return await start_job(
        request, state, caller, draft, digest=digest, webhook=webhook, idempotency_key=idempotency_key
    )


@router.post("/api/fusion/merge", summary="Fuse records", openapi_extra=body_of(MergeBody))
async def merge(request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None) -> Response:
    """By rules, field by field; with `arbitration_model` a model decides conflicts. Answers the new record."""
    job_id = (await _merge(request, state, caller, idempotency_key)).id
    job = await get_job(state.db, caller.organization, job_id)
    job = await state.events.wait_for_end(job, seconds=MERGE_SECONDS)
    if job.state is not JobState.COMPLETED:
        raise ModelError(job.error_message or f"the merge is {job.state}; its job is {job_id}")
    return json_answer({"job_id": str(job_id), **await job_result(state.db, job)})


@router.post("/api/fusion/merge/stream", summary="Fuse records as a job", openapi_extra=body_of(MergeBody))
async def merge_stream(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> Response:
    """The same; its events are at `/api/llm/stream/{job_id}`."""
    return (await _merge(request, state, caller, idempotency_key)).response
