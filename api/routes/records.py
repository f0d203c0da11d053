"""Records: list, detail, delete and restore, totals, export; and their fusion."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from towpath.accounts.types import Principal
from towpath.api.http.auth import Operator, Reader
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.idempotency import IdempotencyKey
from towpath.api.http.job_starts import StartedJob, start_job
from towpath.api.http.requests import add_header
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.http.webhook_fields import read_start
from towpath.core.values import EMPTY_IS_ABSENT, Moment
from towpath.enrichment.bodies import BatchIds, CorrectionBody, MergeBody
from towpath.enrichment.service import corrections, records
from towpath.enrichment.service.starts import draft_merge
from towpath.enrichment.service.waiting import wait_for_merge
from towpath.enrichment.types import RecordFilter, SortBy

router = APIRouter(tags=["records"], route_class=ApiRoute)

MERGE_SECONDS = 300.0
PAGE_SIZE = 20
Size = Annotated[int, Field(ge=1, le=100)]
Page = Annotated[
    Annotated[int, Field(ge=1, le=100_000)] | None, EMPTY_IS_ABSENT, Query(description="From 1, the default.")
]
PageSize = Annotated[Size | None, EMPTY_IS_ABSENT, Query(description="20 by default.")]
Limit = Annotated[Size | None, EMPTY_IS_ABSENT, Query(description="The same as page_size.")]


def record_filter(
    request: Request,
    type: Annotated[Literal["enrichment", "fusion"] | None, EMPTY_IS_ABSENT] = None,
    model: Annotated[str | None, EMPTY_IS_ABSENT] = None,
    success: Annotated[bool | None, EMPTY_IS_ABSENT] = None,
    search: Annotated[Annotated[str, Field(max_length=200)] | None, EMPTY_IS_ABSENT] = None,
    entity_id: Annotated[UUID | None, EMPTY_IS_ABSENT] = None,
    job_id: Annotated[UUID | None, EMPTY_IS_ABSENT] = None,
    origin: Annotated[str | None, EMPTY_IS_ABSENT] = None,
    since: Annotated[Moment | None, EMPTY_IS_ABSENT] = None,
    include_deleted: bool = False,
    capabilities: Annotated[
        str | None, EMPTY_IS_ABSENT, Query(description="Taken, and without effect: records have none.")
    ] = None,
) -> RecordFilter:
    """Return the filters of the query string."""
    if capabilities is not None:
        add_header(request.scope, "Warning", '199 towpath "capabilities has no effect: records have none"')
    return RecordFilter(type, model, success, search, entity_id, job_id, origin, since, include_deleted)


Filters = Annotated[RecordFilter, Depends(record_filter)]


@router.get("/api/records", summary="List records")
async def list_all(
    state: State,
    caller: Reader,
    filters: Filters,
    page: Page = None,
    page_size: PageSize = None,
    limit: Limit = None,
    sort_by: SortBy = "created_at",
    sort_order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    """Newest first; deleted ones only with `include_deleted`."""
    return await records.list_records(
        state.enrichment,
        caller.organization,
        filters,
        page=page or 1,
        page_size=page_size or limit or PAGE_SIZE,
        sort_by=sort_by,
        ascending=sort_order == "asc",
    )


@router.get("/api/records/stats", summary="Totals")
async def stats(state: State, caller: Reader) -> dict[str, Any]:
    """Over all records that are not deleted, and by model."""
    return await records.read_totals(state.enrichment, caller.organization)


@router.get("/api/records/jobs", summary="Records by job")
async def by_job(
    state: State, caller: Reader, page: Page = None, page_size: PageSize = None, limit: Limit = None
) -> dict[str, Any]:
    """The jobs that have records, newest first."""
    size = page_size or limit or PAGE_SIZE
    return await records.list_by_job(state.enrichment, caller.organization, page=page or 1, page_size=size)


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
    headers = {"Content-Disposition": f'attachment; filename="records.{format}"'}
    if format == "csv":
        rows = records.export_csv(state.enrichment, caller.organization, filters)
        return StreamingResponse(rows, media_type="text/csv", headers=headers)
    lines = records.export_ndjson(state.enrichment, caller.organization, filters)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


@router.get("/api/records/accuracy", summary="How right models are")
async def accuracy(
    state: State,
    caller: Reader,
    schema_id: Annotated[UUID | None, EMPTY_IS_ABSENT] = None,
    model: Annotated[str | None, EMPTY_IS_ABSENT] = None,
) -> dict[str, Any]:
    """Each field of each record that people gave a right value for: right, wrong or missing, by model and prompts.

    A right value is one of the entity, and judges all records of that entity under the same schema.
    """
    return await corrections.read_accuracy(state.enrichment, caller.organization, schema_id=schema_id, model=model)


@router.post("/api/records/{record_id}/corrections", summary="Give right values", openapi_extra=body_of(CorrectionBody))
async def correct(request: Request, state: State, caller: Operator, record_id: UUID) -> Response:
    """Right values by field; the record itself stays as the model made it. A value for the same field is replaced."""
    body, _ = await read_body(request, state, CorrectionBody)
    return json_answer(await corrections.correct_record(state.enrichment, caller, record_id, body))


@router.get("/api/records/{record_id}/corrections", summary="Right values of a record")
async def list_corrections(state: State, caller: Reader, record_id: UUID) -> dict[str, Any]:
    """Who gave them and when, and what the record says."""
    return await corrections.list_corrections(state.enrichment, caller.organization, record_id)


@router.delete("/api/records/{record_id}/corrections", summary="Take right values back")
async def take_back(
    state: State,
    caller: Operator,
    record_id: UUID,
    field: Annotated[str | None, EMPTY_IS_ABSENT, Query(description="One field; none: all.")] = None,
) -> dict[str, Any]:
    """Of one field, or of all."""
    return await corrections.take_back(state.enrichment, caller.organization, record_id, field)


@router.get("/api/records/{record_id}", summary="One record")
async def get_one(state: State, caller: Reader, record_id: UUID) -> dict[str, Any]:
    """With its structured output, the entity it was made from, and for a fusion where each field comes from."""
    return await records.read_record(state.enrichment, caller.organization, record_id)


@router.post("/api/records/batch-delete", summary="Delete records")
async def batch_delete(state: State, caller: Operator, body: BatchIds) -> dict[str, Any]:
    """Up to 100; with `hard_delete` (owner or above) for good, else they can be restored."""
    return await records.delete_records(state.enrichment, caller, body.ids, hard=body.hard_delete)


@router.post("/api/records/batch-restore", summary="Restore deleted records")
async def batch_restore(state: State, caller: Operator, body: BatchIds) -> dict[str, Any]:
    """Up to 100."""
    return await records.restore_records(state.enrichment, caller.organization, body.ids)


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
    return json_answer(await wait_for_merge(state.db, state.events, caller.organization, job_id, seconds=MERGE_SECONDS))


@router.post("/api/fusion/merge/stream", summary="Fuse records as a job", openapi_extra=body_of(MergeBody))
async def merge_stream(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> Response:
    """The same; its events are at `/api/llm/stream/{job_id}`."""
    return (await _merge(request, state, caller, idempotency_key)).response
