"""The entity API: single upserts, batches and their status, candidates, pairs, groups."""

from __future__ import annotations

import hashlib
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response, status

from towpath.accounts.types import Principal
from towpath.api.http.auth import Operator, Reader
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import IdempotencyKey, replay
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute, add_warning, refuse_unknown
from towpath.api.http.state import AppState, State
from towpath.api.http.uploads import BodyBounds, open_body, read_whole
from towpath.api.http.webhook_fields import MEMBERS, read_job_endpoint, take_members
from towpath.core.errors import BadInputError, ErrorCode, NotFoundError
from towpath.core.values import Offset
from towpath.db.engine import Connection
from towpath.entities.domain.parsing import parse_entity
from towpath.entities.service.batches import MAX_ENTITY_BYTES, show_accepted
from towpath.entities.service.upserts import Upsert, UpsertResult
from towpath.entities.types import (
    DEFAULT_INDEX,
    ENTITY_BATCH,
    ENTITY_JUDGE,
    ENTITY_REINDEX,
    ENTITY_SETTLE,
    BatchView,
    EntityDuplicates,
    GroupPage,
    PairPage,
)
from towpath.jobs.idempotency import Slot

router = APIRouter(prefix="/v1", tags=["entities"], route_class=ApiRoute)

IndexName = Annotated[
    str,
    Query(alias="indexName", min_length=1, max_length=128, description="The index; `default` is made on first use."),
]
Explain = Annotated[bool, Query(description="Add why: prior and contributions by field, in bits.")]
EntityId = Annotated[str, Query(alias="entityId", min_length=1, max_length=512, description="An `id`, or a `sku`.")]

BATCHES = frozenset({ENTITY_BATCH, ENTITY_REINDEX, ENTITY_SETTLE, ENTITY_JUDGE})
DEFAULT_WAIT = 10.0
MAX_WAIT = 60.0
MAX_RESULTS = 10_000


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What a request says besides its entities.

    Attributes:
        index_name: The index to write to.
        explain: Whether each candidate says why.
        is_asynchronous: Whether the answer comes before the job has ended; None: that depends on its size.
        wait: How many seconds the end is waited for at most.
        deadline: When the job is to have ended.
    """

    index_name: str
    explain: bool
    is_asynchronous: bool | None
    wait: float
    deadline: datetime | None

    @classmethod
    def read(cls, request: Request, *, index_name: str, explain: bool) -> BatchOptions:
        """Read `Prefer` and `Towpath-Deadline`.

        Raises:
            BadInputError: A header cannot be understood.
        """
        preferences = [part.strip() for part in request.headers.get("prefer", "").lower().split(",")]
        wait = next((part[5:] for part in preferences if part.startswith("wait=")), None)
        if wait is not None and not (wait.isascii() and wait.isdigit()):
            raise BadInputError("Prefer: wait must be a number of seconds", field="Prefer")
        is_asynchronous = True if "respond-async" in preferences else (False if wait is not None else None)
        return cls(
            index_name=index_name,
            explain=explain,
            is_asynchronous=is_asynchronous,
            wait=min(float(wait), MAX_WAIT) if wait is not None else DEFAULT_WAIT,
            deadline=read_deadline(request),
        )


@router.post(
    "/entity",
    summary="Upsert one entity and get its candidates",
    response_model=dict[str, Any],
    responses={202: {"description": "Runs as a job (`Prefer: respond-async`)."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"type": "object", "required": ["id"]},
                    "example": {"id": 7001, "sku": "LMP-7001", "name": "Desk lamp Orion, 9 W, black", "brand": "Orion"},
                }
            },
        }
    },
)
async def upsert_entity(
    request: Request,
    state: State,
    caller: Operator,
    index_name: IndexName = DEFAULT_INDEX,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    explain: Explain = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Stores the entity durably, then answers it with `duplicates`, best first.

    The body is the entity itself: any JSON object with an `id`; the same `id` means update.
    """
    options = BatchOptions.read(request, index_name=index_name, explain=explain)
    raw = await read_whole(request, limit=MAX_ENTITY_BYTES)
    if options.is_asynchronous:
        return await _submit(request, state, caller, options, idempotency_key, entity=raw)
    entity = parse_entity(raw)
    slot = Slot(caller.organization, "POST /v1/entity", idempotency_key)
    digest = hashlib.sha256(str(request.url.query).encode() + b"\n" + raw).digest()

    async def before(connection: Connection) -> Response | None:
        first = await slot.claim(connection)
        return None if first is None else replay(first, digest)

    async def after(connection: Connection, result: UpsertResult) -> Response:
        if result.left_out is not None:
            add_warning(request, result.left_out)
        await slot.save(connection, digest, status.HTTP_200_OK, result.answer)
        return json_answer(result.answer)

    await state.limits.assert_room_for_bytes(caller.organization)
    upsert = Upsert(
        entity=entity, raw=raw, limit=limit, explain=explain, before=before, after=after, mark=idempotency_key
    )
    return await state.upserts.write(caller.organization, index_name, upsert)


@router.get("/entity", summary="Read one entity", response_model=dict[str, Any])
async def get_entity(
    state: State, caller: Reader, entity_id: EntityId, index_name: IndexName = DEFAULT_INDEX
) -> Response:
    """The entity as it was last sent."""
    body = await state.entities.read(caller.organization, index_name, entity_id)
    return Response(body, media_type="application/json")


@router.delete("/entity", summary="Remove one entity", status_code=status.HTTP_204_NO_CONTENT)
async def delete_entity(
    state: State, caller: Operator, entity_id: EntityId, index_name: IndexName = DEFAULT_INDEX
) -> None:
    """Removes the entity, its candidates and its place in a group."""

    await state.entities.remove(caller.organization, index_name, entity_id)


BATCH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {
                            "type": "object",
                            "required": ["entities"],
                            "properties": {"entities": {"type": "array", "items": {"type": "object"}}},
                        },
                        {"type": "array", "items": {"type": "object"}},
                    ]
                },
                "example": {
                    "entities": [{"id": 1, "name": "Hex bolt M8 x 40"}, {"id": 2, "name": "Bolt, hex, M8x40 mm"}]
                },
            },
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
    }
}


@router.post(
    "/entities/batch",
    summary="Upsert many entities",
    response_model=BatchView,
    responses={202: {"model": BatchView, "description": "Accepted as a job; poll `statusUrl` or read its events."}},
    openapi_extra=BATCH_BODY,
)
@router.post("/entity/batch", include_in_schema=False, response_model=BatchView, openapi_extra=BATCH_BODY)
async def upsert_batch(
    request: Request,
    state: State,
    caller: Operator,
    index_name: IndexName = DEFAULT_INDEX,
    explain: Explain = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Takes up to 1,000,000 entities as JSON (`{"entities": [...]}` or a bare array) or NDJSON, gzip or not.

    Up to 100 entities are answered in the response, more as a job. A bad entity never fails its
    neighbours; it is reported in `errors`.
    """
    options = BatchOptions.read(request, index_name=index_name, explain=explain)
    return await _submit(request, state, caller, options, idempotency_key)


async def _submit(
    request: Request,
    state: AppState,
    caller: Principal,
    options: BatchOptions,
    idempotency_key: str | None,
    *,
    entity: bytes | None = None,
) -> Response:
    """Stage the body into a job and commit both at once; then start it, and wait where that was asked for.

    Args:
        request: The request.
        state: The parts that routes use.
        caller: Who sends it.
        options: What it says besides its entities.
        idempotency_key: Its header.
        entity: The one entity that it has, read already; None: the body is a list that has not been read.
    """
    settings = state.settings
    bounds = BodyBounds(settings.max_json_bytes, "max_json_bytes", settings.max_ndjson_bytes)
    slot = Slot(caller.organization, f"POST {request.url.path}", idempotency_key)
    start = f"{request.url.query}\n".encode()
    body = open_body(request, bounds)
    async with _turn(request, state, caller, bounds, entity), state.db.transaction() as connection:
        if first := await slot.claim(connection):
            return replay(first, await body.digest(start=start))
        staged = await state.batches.stage(connection, uuid4(), body if entity is None else entity, start=start)
        members = staged.upload.options
        endpoint = await read_job_endpoint(request, state, take_members(members))
        refuse_unknown(members, ["entities", *MEMBERS])
        job = await state.batches.accept(
            connection,
            caller,
            staged,
            index_name=options.index_name,
            deadline=options.deadline,
            endpoint=endpoint,
            max_jobs=state.limits.max_jobs(caller.organization),
        )
        accepted = show_accepted(job)
        await slot.save(connection, staged.upload.digest, 202, accepted)
    state.gateway.start_soon(job)
    is_small = staged.upload.items <= settings.batch_sync_limit
    if is_small if options.is_asynchronous is None else not options.is_asynchronous:
        job = await state.events.wait_for_end(job, seconds=options.wait)
        if job.state.final:
            answer = await state.batches.show(job, limit=MAX_RESULTS, offset=0, explain=options.explain)
            async with state.db.transaction() as connection:
                await slot.save(connection, staged.upload.digest, 200, answer)
            return json_answer(answer)
    return json_answer(
        accepted, 202, headers={"Location": accepted["statusUrl"], "Preference-Applied": "respond-async"}
    )


def _turn(
    request: Request, state: AppState, caller: Principal, bounds: BodyBounds, entity: bytes | None
) -> AbstractAsyncContextManager[None]:
    """Take a place among the uploads: a brief one where the body has been read."""
    if entity is not None:
        return state.uploads.brief(caller.organization)
    limit, setting = bounds.of(request)
    return state.uploads.turn(request, caller.organization, limit=limit, setting=setting)


JobId = Annotated[str | None, Query(alias="jobId", description="From the answer to the batch.")]


def _job_id(text: str | None) -> UUID:
    if not text:
        raise BadInputError("jobId is required", code=ErrorCode.MISSING_FIELD, field="jobId")
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError(f"no job {text[:64]}") from error


@router.get("/entities/batch/status", summary="Status and results of a batch", response_model=BatchView)
@router.get("/entity/batch/status", include_in_schema=False, response_model=BatchView)
async def batch_status(
    state: State,
    caller: Reader,
    job_id: JobId = None,
    results_limit: Annotated[int, Query(alias="resultsLimit", ge=0, le=10_000)] = 1000,
    results_offset: Annotated[Offset, Query(alias="resultsOffset")] = 0,
    explain: Explain = False,
) -> Response:
    """`results` holds what is finished so far, a page at a time; counts stand in `summary`."""
    job = await state.jobs.find(caller, _job_id(job_id), kinds=BATCHES)
    view = await state.batches.show(job, limit=results_limit, offset=results_offset, explain=explain)
    return json_answer(view)


@router.post("/entities/batch/cancel", summary="Stop a batch", response_model=BatchView)
@router.post("/entity/batch/cancel", include_in_schema=False, response_model=BatchView)
async def cancel_batch(state: State, caller: Operator, job_id: JobId = None) -> Response:
    """Stops the batch; finished entities stay stored. A finished batch answers its state unchanged."""
    job = await state.jobs.cancel(caller, _job_id(job_id), kinds=BATCHES, wait=True)
    return json_answer(await state.batches.show(job, limit=0, offset=0, explain=False))


@router.get("/duplicates", summary="Candidates of one entity, or all pairs", response_model=EntityDuplicates | PairPage)
async def get_duplicates(
    state: State,
    caller: Reader,
    entity_id: Annotated[
        str | None, Query(alias="entityId", min_length=1, max_length=512, description="An `id`, else a `sku`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Offset = 0,
    index_name: IndexName = DEFAULT_INDEX,
    minimum: Annotated[float | None, Query(alias="minSimilarity", ge=0, le=1)] = None,
    duplicates_only: Annotated[bool, Query(alias="duplicatesOnly")] = False,
    explain: Explain = False,
) -> Response:
    """With `entityId` that entity's candidates; without, each pair once, most similar first."""
    page: EntityDuplicates | PairPage
    if entity_id is None:
        page = await state.entities.list_pairs(
            caller.organization,
            index_name,
            min_similarity=minimum,
            duplicates_only=duplicates_only,
            limit=limit,
            offset=offset,
            explain=explain,
        )
    else:
        page = await state.entities.list_duplicates(
            caller.organization,
            index_name,
            entity_id,
            min_similarity=minimum,
            duplicates_only=duplicates_only,
            limit=limit,
            offset=offset,
            explain=explain,
        )
    return json_answer(page.model_dump(mode="json", by_alias=True, exclude_none=True))


@router.get("/groups", summary="Groups of entities that are taken to be the same")
async def get_groups(
    state: State,
    caller: Reader,
    index_name: IndexName = DEFAULT_INDEX,
    entity_id: Annotated[str | None, Query(alias="entityId", min_length=1, max_length=512)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Offset = 0,
) -> GroupPage:
    """Largest first; with `entityId` only the one that holds it. One weak pair does not join two groups."""
    return await state.entities.list_groups(
        caller.organization, index_name, entity_id=entity_id, limit=limit, offset=offset
    )
