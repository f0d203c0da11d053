"""The enrichment API: what can be chosen, starts, estimates, lists of entities from elsewhere, status."""

from __future__ import annotations

import base64
import time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from towpath.api.enrichment_sync import wait_for_result
from towpath.api.enrichments import (
    Entities,
    check_cap,
    check_entities,
    find_content,
    make_plan,
    retry_plan,
    start_enrichment,
    start_job,
)
from towpath.api.http.auth import Operator, Reader
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.idempotency import IdempotencyKey
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import State
from towpath.api.job_control import find_job
from towpath.api.job_status import LISTED_KINDS, job_status
from towpath.api.webhook_targets import read_start
from towpath.core.errors import (
    BadInputError,
    ErrorCode,
    ModelError,
    ProviderDownError,
    TooLargeError,
    TowpathError,
    UnavailableError,
)
from towpath.core.json_values import parse_json, read_json
from towpath.core.languages import LANGUAGES
from towpath.enrichment.domain.estimate import estimate
from towpath.enrichment.store.records import get_records
from towpath.enrichment.types import (
    STRATEGIES,
    BatchBody,
    EstimateBody,
    FetchBody,
    PublicStatus,
    RetryBody,
    SingleBody,
    SyncBody,
)
from towpath.jobs.policy import seer_of
from towpath.jobs.store.jobs import list_jobs
from towpath.jobs.types import JobKind, JobState

router = APIRouter(tags=["enrichment"], route_class=ApiRoute)

Origin = Annotated[str | None, Header(alias="X-Client-Origin", max_length=200)]
LIST_KEYS = ("data", "results", "items")


@router.get("/api/enrichment/options", summary="Models, languages, strategies")
async def options(state: State, caller: Reader) -> dict[str, Any]:
    """What a start can name; a model without `is_available` needs a key that is not set."""
    models = [info.model_dump(exclude_none=True) for info in state.catalog.models()]
    return {
        "models": sorted(models, key=lambda info: (not info["is_available"], info["key"])),
        "languages": LANGUAGES,
        "strategies": [{"name": name, "description": text} for name, text in STRATEGIES.items()],
        "default_models": [state.catalog.automatic()],
        "organization_name": caller.organization,
        "total_companies": 0,
    }


@router.post("/api/single/enrich/stream", summary="Enrich one entity", openapi_extra=body_of(SingleBody))
async def enrich_single(
    request: Request, state: State, caller: Operator, origin: Origin = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Starts a job; its events are at `/api/llm/stream/{job_id}`."""
    body, digest, webhook = await read_start(request, state, SingleBody)
    plan = await make_plan(state, caller, body, origin=origin, single=True)
    entities: Entities = [(0, body.entity_data)]
    check_entities(plan, entities, single=True)
    check_cap(state, plan, entities)
    answer, _ = await start_enrichment(
        request, state, caller, plan, entities, digest=digest, webhook=webhook, message="Enrichment started",
        idempotency_key=idempotency_key,
    )  # fmt: skip
    return answer


@router.post("/api/single/enrich/sync", summary="Enrich one entity and wait", openapi_extra=body_of(SyncBody))
async def enrich_sync(
    request: Request, state: State, caller: Operator, origin: Origin = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answers the result itself, or with the job's id when it takes longer than `timeout_seconds`."""
    body, digest, webhook = await read_start(request, state, SyncBody)
    plan = await make_plan(state, caller, body, origin=origin, single=True)
    entities: Entities = [(0, body.entity_data)]
    check_entities(plan, entities, single=True)
    check_cap(state, plan, entities)
    answer, job_id = await start_enrichment(
        request, state, caller, plan, entities, digest=digest, webhook=webhook, message="Enrichment started",
        idempotency_key=idempotency_key,
    )  # fmt: skip
    job_id = job_id or UUID(parse_json(bytes(answer.body))["job_id"])
    return json_answer(await wait_for_result(state, caller, job_id, body))


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
    record = (await get_records(state.db, caller.organization, [body.record_id]))[0]
    if record.type != "enrichment":
        raise BadInputError("record_id is a fusion; name one of its fusion_sources", field="record_id")
    content, version = record.schema_content, None
    if body.schema_id is not None or body.target_schema is not None:
        content, version = await find_content(state, caller.organization, body.schema_id, body.target_schema)
    model = body.model or record.model_composite_key or state.catalog.automatic()
    state.catalog.check(model, "model")
    plan = retry_plan(record, body, content, version, model)
    check_entities(plan, [(0, body.entity_data)], single=True)
    params = {
        "record_id": str(record.id),
        "entity": body.entity_data,
        "plan": plan.model_dump(mode="json"),
    }
    answer, _ = await start_job(
        request, state, caller, JobKind.EXPERTISE_RETRY, params, digest=digest, webhook=webhook,
        message="Retry started", idempotency_key=idempotency_key,
    )  # fmt: skip
    return answer


@router.post("/api/enrichment/batch/start", summary="Enrich many entities", openapi_extra=body_of(BatchBody))
@router.post("/api/batch/start", include_in_schema=False, openapi_extra=body_of(BatchBody))
async def enrich_batch(
    request: Request, state: State, caller: Operator, origin: Origin = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Starts one job over up to 10,000 entities, each with every model."""
    limit = state.settings.enrichment_max_bytes
    async with state.uploads.turn(request, caller.organization, limit=limit, setting="enrichment_max_bytes"):
        body, digest, webhook = await read_start(request, state, BatchBody)
        plan = await make_plan(state, caller, body, origin=origin, single=False)
        chosen = body.selected_indices
        places = range(len(body.entities)) if chosen is None else sorted(set(chosen))
        entities: Entities = [(place, body.entities[place]) for place in places]
        check_entities(plan, entities, single=False)
        check_cap(state, plan, entities)
        answer, _ = await start_enrichment(
            request, state, caller, plan, entities, digest=digest, webhook=webhook, message="Batch started",
            idempotency_key=idempotency_key,
        )  # fmt: skip
    return answer


@router.post("/api/enrichment/estimate", summary="What a start would take", openapi_extra=body_of(EstimateBody))
async def estimate_cost(request: Request, state: State, caller: Reader) -> Response:
    """Calls, tokens and dollars for the body of a start; nothing is asked."""
    body, _ = await read_body(request, state, EstimateBody)
    plan = await make_plan(state, caller, body, origin=None, single=body.entity_data is not None)
    entities = [body.entity_data] if body.entity_data is not None else body.entities or []
    if body.selected_indices is not None and body.entities is not None:
        entities = [entity for place, entity in enumerate(entities) if place in set(body.selected_indices)]
    return json_answer(estimate(plan, entities, state.catalog.price))


@router.post("/api/enrichment/batch/fetch", summary="Read entities from a URL", openapi_extra=body_of(FetchBody))
@router.post("/api/batch/fetch", include_in_schema=False, openapi_extra=body_of(FetchBody))
async def fetch_entities(request: Request, state: State, caller: Operator) -> Response:
    """A list of objects, or an object that holds one under `data`, `results` or `items`. Nothing is stored."""
    body, _ = await read_body(request, state, FetchBody)
    started = time.monotonic()
    headers = _credentials(body)
    try:
        fetched = await state.fetcher.fetch(body.url, headers)
    except UnavailableError as error:
        raise ProviderDownError(f"url: {error.detail}") from error
    except (BadInputError, TooLargeError) as error:
        if error.code is ErrorCode.ADDRESS_REFUSED or "is no URL" in error.detail or "names no host" in error.detail:
            raise BadInputError(f"url: {error.detail}", code=error.code, field="url") from error
        raise ModelError(f"url: {error.detail}", code=ErrorCode.SOURCE_FAILED) from error
    except TowpathError as error:
        raise ModelError(f"url: {error.detail}", code=ErrorCode.SOURCE_FAILED) from error
    try:
        found = read_json(fetched.body, "the answer")
    except BadInputError as error:
        raise BadInputError(f"url: {error.detail}", code=error.code, field="url") from error
    if isinstance(found, dict):
        found = next((found[key] for key in LIST_KEYS if isinstance(found.get(key), list)), found)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadInputError("url: the answer holds no list of objects", field="url")
    elapsed = int((time.monotonic() - started) * 1000)
    return json_answer({"entities": found, "total": len(found), "fetch_time_ms": elapsed})


def _credentials(body: FetchBody) -> dict[str, str]:
    auth = body.auth
    needed: dict[str, tuple[str, ...]] = {
        "none": (),
        "bearer": ("bearer_token",),
        "api_key": ("api_key_header", "api_key_value"),
        "basic": ("basic_username",),
    }
    for name in needed[auth.auth_type]:
        if not getattr(auth, name):
            raise BadInputError(
                f"auth.{name} is required for {auth.auth_type}", code=ErrorCode.MISSING_FIELD, field=f"auth.{name}"
            )
    headers = {"Accept": "application/json"}
    if auth.auth_type == "bearer":
        headers["Authorization"] = f"Bearer {auth.bearer_token}"
    elif auth.auth_type == "api_key":
        headers[str(auth.api_key_header)] = str(auth.api_key_value)
    elif auth.auth_type == "basic":
        pair = f"{auth.basic_username}:{auth.basic_password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    if any("\r" in value or "\n" in value or not value.isascii() for value in headers.values()):
        raise BadInputError("auth: credentials hold characters that no header takes", field="auth")
    return headers


@router.get("/api/enrichment/jobs", summary="Enrichment jobs, newest first")
async def list_enrichment_jobs(
    state: State,
    caller: Reader,
    status: PublicStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """Jobs of every kind that asks language models."""
    found = []
    for kind in LISTED_KINDS:
        wanted = None if status is None else JobState(status.upper())
        found += await list_jobs(
            state.db, caller.organization, kind=kind, state=wanted, user_id=seer_of(caller), limit=limit
        )
    found.sort(key=lambda job: (job.created_at, str(job.id)), reverse=True)
    return {"jobs": [await job_status(state, job) for job in found[:limit]], "total": len(found[:limit])}


@router.get("/api/enrichment/jobs/{job_id}/status", summary="How far a job is")
async def enrichment_status(state: State, caller: Reader, job_id: UUID) -> dict[str, Any]:
    """For those who poll; the stream tells more."""
    return await job_status(state, await find_job(state, caller, job_id))
