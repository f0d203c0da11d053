"""The enrichment API: what can be chosen, starts, estimates, lists of entities from elsewhere, status."""

from __future__ import annotations

import time
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from towpath.accounts.service.keys import get_key
from towpath.accounts.types import Principal
from towpath.api.http.auth import Operator, Reader
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import IdempotencyKey
from towpath.api.http.job_starts import StartedJob, start_job
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.http.webhook_fields import read_start
from towpath.enrichment.bodies import BatchBody, EstimateBody, FetchBody, RetryBody, SingleBody, SyncBody
from towpath.enrichment.service import fetching
from towpath.enrichment.service.starts import draft_batch, draft_retry, draft_single, estimate_start, list_options
from towpath.enrichment.service.status import job_status, list_statuses
from towpath.enrichment.service.waiting import wait_for_enrichment
from towpath.enrichment.types import PublicStatus
from towpath.jobs.policy import seer_of
from towpath.jobs.types import JobState

router = APIRouter(tags=["enrichment"], route_class=ApiRoute)

Origin = Annotated[str | None, Header(alias="X-Client-Origin", max_length=200)]
Single = TypeVar("Single", bound=SingleBody)


@router.get("/api/enrichment/options", summary="Models, languages, strategies")
async def options(state: State, caller: Reader) -> dict[str, Any]:
    """What a start can name; a model without `is_available` needs a key that is not set."""
    key = None if caller.key_id is None else await get_key(state.accounts, caller.organization, caller.key_id)
    return list_options(state.catalog, caller, key_name=None if key is None else key.name)


@router.post("/api/single/enrich/stream", summary="Enrich one entity", openapi_extra=body_of(SingleBody))
async def enrich_single(
    request: Request, state: State, caller: Operator, origin: Origin = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Starts a job; its events are at `/api/llm/stream/{job_id}`."""
    return (await _start_single(request, state, caller, origin, idempotency_key, SingleBody))[0].response


@router.post("/api/single/enrich/sync", summary="Enrich one entity and wait", openapi_extra=body_of(SyncBody))
async def enrich_sync(
    request: Request, state: State, caller: Operator, origin: Origin = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answers the result itself, or with the job's id when it takes longer than `timeout_seconds`."""
    started, body = await _start_single(request, state, caller, origin, idempotency_key, SyncBody)
    cancel = state.gateway.cancel
    return json_answer(await wait_for_enrichment(state.db, state.events, cancel, caller.organization, started.id, body))


async def _start_single(
    request: Request,
    state: AppState,
    caller: Principal,
    origin: str | None,
    idempotency_key: str | None,
    model: type[Single],
) -> tuple[StartedJob, Single]:
    body, digest, webhook = await read_start(request, state, model)
    draft = await draft_single(state.enrichment, caller.organization, body, origin=origin)
    started = await start_job(
        request, state, caller, draft, digest=digest, webhook=webhook, idempotency_key=idempotency_key
    )
    return started, body


@router.post(
    "/api/single/retry-expertises/stream",
    summary="Ask again for a record's failed domains",
    openapi_extra=body_of(RetryBody),
)
async def retry_expertises(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> Response:
    """Completes the record itself; a job, whose events are at `/api/llm/stream/{job_id}`."""
    body, digest, webhook = await read_start(request, state, RetryBody)
    draft = await draft_retry(state.enrichment, caller.organization, body)
    started = await start_job(
        request, state, caller, draft, digest=digest, webhook=webhook, idempotency_key=idempotency_key
    )
    return started.response


@router.post("/api/enrichment/batch/start", summary="Enrich many entities", openapi_extra=body_of(BatchBody))
@router.post("/api/batch/start", include_in_schema=False, openapi_extra=body_of(BatchBody))
async def enrich_batch(
    request: Request, state: State, caller: Operator, origin: Origin = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Starts one job over up to 10,000 entities, each with every model."""
    limit = state.settings.enrichment_max_bytes
    async with state.uploads.turn(request, caller.organization, limit=limit, setting="enrichment_max_bytes"):
        body, digest, webhook = await read_start(request, state, BatchBody)
        deadline = read_deadline(request)
        draft = await draft_batch(state.enrichment, caller.organization, body, origin=origin, deadline=deadline)
        started = await start_job(
            request, state, caller, draft, digest=digest, webhook=webhook, idempotency_key=idempotency_key
        )
    return started.response


@router.post("/api/enrichment/estimate", summary="What a start would take", openapi_extra=body_of(EstimateBody))
async def estimate_cost(request: Request, state: State, caller: Reader) -> Response:
    """Calls, tokens and dollars for the body of a start; nothing is asked."""
    body, _ = await read_body(request, state, EstimateBody)
    return json_answer(await estimate_start(state.enrichment, caller.organization, body))


@router.post("/api/enrichment/batch/fetch", summary="Read entities from a URL", openapi_extra=body_of(FetchBody))
@router.post("/api/batch/fetch", include_in_schema=False, openapi_extra=body_of(FetchBody))
async def fetch_entities(request: Request, state: State, caller: Operator) -> Response:
    """A list of objects, or an object that holds one under `data`, `results` or `items`. Nothing is stored."""
    body, _ = await read_body(request, state, FetchBody)
    started = time.monotonic()
    entities = await fetching.fetch_entities(state.fetcher, body)
    elapsed = int((time.monotonic() - started) * 1000)
    return json_answer({"entities": entities, "total": len(entities), "fetch_time_ms": elapsed})


@router.get("/api/enrichment/jobs", summary="Enrichment jobs, newest first")
async def list_enrichment_jobs(
    state: State,
    caller: Reader,
    status: PublicStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Jobs of every kind that asks language models."""
    job_state = None if status is None else JobState(status.upper())
    statuses = await list_statuses(state.db, caller.organization, state=job_state, user_id=seer_of(caller), limit=limit)
    return {"jobs": statuses, "total": len(statuses)}


@router.get("/api/enrichment/jobs/{job_id}/status", summary="How far a job is")
async def enrichment_status(state: State, caller: Reader, job_id: UUID) -> dict[str, Any]:
    """For those who poll; the stream tells more."""
    return await job_status(state.db, await state.jobs.find(caller, job_id))
