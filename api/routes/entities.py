"""The entity API: single upserts, batches and their status, candidates, pairs, groups."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from towpath.accounts.types import Principal
from towpath.api import job_control
from towpath.api.batches import MAX_ENTITY_BYTES, BatchOptions, answer_batch, submit_batch
from towpath.api.entity_answers import candidate, entity_answer, group_view, pair_view
from towpath.api.http.auth import Operator, Reader
from towpath.api.http.idempotency import IdempotencyKey, Slot
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute, warn
from towpath.api.http.state import AppState, State
from towpath.api.http.uploads import read_whole
from towpath.api.job_control import find_job
from towpath.core.errors import BadInputError, ErrorCode, NotFoundError
from towpath.core.values import Offset
from towpath.db.engine import Connection, Result
from towpath.entities.domain.matching import entity_uid
from towpath.entities.domain.parsing import ScalarFields, make_draft, parse_entity
from towpath.entities.store import pairs as pair_store
from towpath.entities.store.dynamic import index_for_write
from towpath.entities.store.indexes import DEFAULT_INDEX, Index, find_index
from towpath.entities.store.records import find_entity
from towpath.entities.store.single import remove, take_turn, upsert
from towpath.entities.types import BatchView, Candidate, EntityDuplicates, GroupPage, PairPage
from towpath.jobs.types import JobKind

router = APIRouter(prefix="/v1", tags=["entities"], route_class=ApiRoute)

IndexName = Annotated[
    str,
    Query(alias="indexName", min_length=1, max_length=128, description="The index; `default` is made on first use."),
]
Explain = Annotated[bool, Query(description="Add why: prior and contributions by field, in bits.")]
EntityId = Annotated[str, Query(alias="entityId", min_length=1, max_length=512, description="An `id`, or a `sku`.")]

BATCHES = frozenset({JobKind.ENTITY_BATCH, JobKind.ENTITY_REINDEX})


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
    options = BatchOptions.read(request, state.settings, index_name=index_name, explain=explain)
    raw = await read_whole(request, limit=MAX_ENTITY_BYTES)
    if options.asynchronous:
        return await submit_batch(request, state, caller, options, idempotency_key, single=raw)
    entity = parse_entity(raw)
    slot = Slot(caller.organization, "POST /v1/entity", idempotency_key)
    digest = hashlib.sha256(str(request.url.query).encode() + b"\n" + raw).digest()
    fields = ScalarFields()
    fields.see(entity)

    async def write(connection: Connection) -> Response:
        if known := await slot.open(connection):
            return known.replay(digest)
        index = await index_for_write(connection, caller.organization, index_name, fields)
        if index.dynamic and (message := fields.left_out(index.config)):
            warn(request, message)
        done = await upsert(connection, state.models, index, make_draft(entity, raw, index.config), limit=limit)
        found = [candidate(index.config, partner, explain=explain) for partner in done.partners]
        answer = entity_answer(raw, found)
        await slot.keep(connection, digest, status.HTTP_200_OK, answer)
        return json_answer(answer)

    await state.limits.room_for_bytes(caller.organization)
    return await _in_turn(state, caller, index_name, write)


@router.get("/entity", summary="Read one entity", response_model=dict[str, Any])
async def get_entity(
    state: State, caller: Reader, entity_id: EntityId, index_name: IndexName = DEFAULT_INDEX
) -> Response:
    """The entity as it was last sent."""
    async with state.db.transaction() as connection:
        index = await find_index(connection, caller.organization, index_name)
        _, body = await _entity(connection, index, entity_id)
    return Response(body, media_type="application/json")


@router.delete("/entity", summary="Remove one entity", status_code=status.HTTP_204_NO_CONTENT)
async def delete_entity(
    state: State, caller: Operator, entity_id: EntityId, index_name: IndexName = DEFAULT_INDEX
) -> None:
    """Removes the entity, its candidates and its place in a group."""

    async def write(connection: Connection) -> None:
        index = await find_index(connection, caller.organization, index_name, lock="share")
        uid, _ = await _entity(connection, index, entity_id)
        await remove(connection, state.models, index, uid)

    await _in_turn(state, caller, index_name, write)


async def _in_turn(
    state: AppState, caller: Principal, index_name: str, write: Callable[[Connection], Awaitable[Result]]
) -> Result:
    """Write a single entity when no other single write of its index is under way, in a transaction of its own."""

    async def whole(connection: Connection) -> Result:
        await take_turn(connection, caller.organization, index_name)
        return await write(connection)

    # Within this process one waits without holding a connection.
    async with state.turns.of((caller.organization, index_name)):
        return await state.db.repeatable(whole)


async def _entity(connection: Connection, index: Index, entity_id: str) -> tuple[int, str]:
    found = await find_entity(connection, index.index_no, entity_id, entity_uid(entity_id))
    if found is None:
        raise NotFoundError(f"no entity {entity_id} in index {index.name}")
    return found


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
    options = BatchOptions.read(request, state.settings, index_name=index_name, explain=explain)
    return await submit_batch(request, state, caller, options, idempotency_key)


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
    job = await find_job(state, caller, _job_id(job_id), kinds=BATCHES)
    view = await answer_batch(state, job, limit=results_limit, offset=results_offset, explain=explain)
    return json_answer(view)


@router.post("/entities/batch/cancel", summary="Stop a batch", response_model=BatchView)
@router.post("/entity/batch/cancel", include_in_schema=False, response_model=BatchView)
async def cancel_batch(state: State, caller: Operator, job_id: JobId = None) -> Response:
    """Stops the batch; finished entities stay stored. A finished batch answers its state unchanged."""
    job = await job_control.cancel(state, caller, _job_id(job_id), kinds=BATCHES, wait=True)
    return json_answer(await answer_batch(state, job, limit=0, offset=0, explain=False))


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
    async with state.db.transaction() as connection:
        index = await find_index(connection, caller.organization, index_name)
        lowest = index.config.candidate_threshold if minimum is None else minimum
        if entity_id is None:
            rows, total = await pair_store.page_pairs(
                connection, index.index_no, minimum=lowest, duplicates_only=duplicates_only, limit=limit, offset=offset
            )
            views = [pair_view(index.config, row, explain=explain) for row in rows]
            page = PairPage(duplicates=views, limit=limit, offset=offset, total=total)
            return json_answer(page.model_dump(mode="json", by_alias=True, exclude_none=True))
        uid, _ = await _entity(connection, index, entity_id)
        partners, total = await pair_store.page_partners(
            connection, index.index_no, uid,
            minimum=lowest, duplicates_only=duplicates_only, limit=limit, offset=offset,
        )  # fmt: skip
    found: list[Candidate] = [candidate(index.config, partner, explain=explain) for partner in partners]
    answer = EntityDuplicates(entity_id=entity_id, duplicates=found, total_duplicates=total)
    return json_answer(answer.model_dump(mode="json", by_alias=True, exclude_none=True))


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
    async with state.db.transaction() as connection:
        index = await find_index(connection, caller.organization, index_name)
        group: int | None = None
        if entity_id is not None:
            uid, _ = await _entity(connection, index, entity_id)
            group = await pair_store.group_of(connection, index.index_no, uid)
            if group is None:
                return GroupPage(groups=[], total=0, limit=limit, offset=offset)
        rows, total = await pair_store.page_groups(
            connection, index.index_no, limit=limit, offset=offset, group_uid=group
        )
    return GroupPage(groups=[group_view(row) for row in rows], total=total, limit=limit, offset=offset)
