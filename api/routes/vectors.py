"""The embeddings API: upsertion tasks, deletion tasks, search. Served bare and under `/api/v1`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from towpath.accounts.types import Principal
from towpath.api import job_control
from towpath.api.http.auth import EmbeddingsOperator, EmbeddingsReader
from towpath.api.http.bodies import body_of
from towpath.api.http.idempotency import IdempotencyKey
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.vector_tasks import DELETION, MAX_LISTED_FAILURES, UPSERTION, TaskKind, read_view, submit_task, view
from towpath.core.errors import ConflictError, ErrorBody, ErrorList
from towpath.core.values import Offset
from towpath.db.tables import JobRow
from towpath.jobs.store.jobs import get_job
from towpath.vectors.store.tasks import find_task, list_tasks, prepare_restart, read_failed_items
from towpath.vectors.types import (
    Collection,
    CountAnswer,
    CountBody,
    DeletionBody,
    DeletionTask,
    Scope,
    SearchAnswer,
    SearchBody,
    TaskStatus,
    UpsertionBody,
    UpsertionTask,
)

WRONG = "What was sent is wrong, or this Idempotency-Key was used with another request."
router = APIRouter(
    prefix="/embeddings",
    tags=["embeddings"],
    route_class=ApiRoute,
    responses={422: {"model": ErrorList | ErrorBody, "description": WRONG}},
)

TaskId = Annotated[str, Query(min_length=1, max_length=128, description="From the answer to `run`, or your own.")]
CollectionName = Annotated[Collection, Query(description="Which collection.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.post(
    "/upsertion-tasks/run",
    summary="Insert or replace objects",
    response_model=UpsertionTask,
    openapi_extra=body_of(UpsertionBody),
)
async def run_upsertion(
    request: Request, state: State, caller: EmbeddingsOperator, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accepts up to 100,000 items as a task. A repeat with the same `task_id` and body answers the same task.

    Embedded is `payload.text` (a string, a number, or a list of these), else the payload's texts in the order of
    their keys, else the file that `item_info` names (`url`, or `path` under the allowed folder). A bad item fails
    alone.
    """
    return await submit_task(request, state, caller, UPSERTION, Collection.DEFAULT, idempotency_key)


@router.post(
    "/upsertion-tasks/categories/run",
    summary="Insert or replace categories",
    response_model=UpsertionTask,
    openapi_extra=body_of(UpsertionBody),
)
async def run_categories_upsertion(
    request: Request, state: State, caller: EmbeddingsOperator, idempotency_key: IdempotencyKey = None
) -> Response:
    """The same for the categories collection."""
    return await submit_task(request, state, caller, UPSERTION, Collection.CATEGORIES, idempotency_key)


@router.post(
    "/deletion-tasks/run", summary="Delete objects", response_model=DeletionTask, openapi_extra=body_of(DeletionBody)
)
async def run_deletion(
    request: Request, state: State, caller: EmbeddingsOperator, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accepts a task that deletes objects. One that is not stored counts as deleted (`progress.missing`)."""
    return await submit_task(request, state, caller, DELETION, Collection.DEFAULT, idempotency_key)


@router.post(
    "/deletion-tasks/categories/run",
    summary="Delete categories",
    response_model=DeletionTask,
    openapi_extra=body_of(DeletionBody),
)
async def run_categories_deletion(
    request: Request, state: State, caller: EmbeddingsOperator, idempotency_key: IdempotencyKey = None
) -> Response:
    """The same for the categories collection."""
    return await submit_task(request, state, caller, DELETION, Collection.CATEGORIES, idempotency_key)


async def _info(state: AppState, caller: Principal, kind: TaskKind, task_id: str) -> Response:
    job = await find_task(state.db, caller.organization, kind.kind, task_id)
    return json_answer(await read_view(state, job))


async def _list(
    state: AppState,
    caller: Principal,
    kind: TaskKind,
    offset: int,
    limit: int,
    status: TaskStatus | None,
    collection: Collection | None,
) -> Response:
    jobs, total = await list_tasks(
        state.db, caller.organization, kind.kind, status=status, collection=collection, limit=limit, offset=offset
    )
    failures = await read_failed_items(state.db, [job.id for job in jobs if job.failed], most=MAX_LISTED_FAILURES)
    return json_answer([view(job, failures.get(job.id, [])) for job in jobs], headers={"X-Total-Count": str(total)})


async def _restart(state: AppState, caller: Principal, kind: TaskKind, task_id: str, scope: Scope) -> Response:
    job = await find_task(state.db, caller.organization, kind.kind, task_id)
    if job.cancelling and not job.state.final:
        job = await state.events.wait_for_end(job, seconds=state.settings.cancel_wait_seconds)
    if job.state.final or job.cancelling:
        job = await _restarted(state, caller, job, partial(prepare_restart, scope=scope))
    return json_answer(await read_view(state, job))


async def _restarted(
    state: AppState, caller: Principal, job: JobRow, prepare: Callable[..., Awaitable[None]]
) -> JobRow:
    try:
        return await job_control.restart(state, caller, job.id, prepare=prepare)
    except ConflictError:
        # Another restart was first: it runs, and is queued once.
        return await get_job(state.db, job.organization, job.id)


async def _cancel(state: AppState, caller: Principal, kind: TaskKind, task_id: str) -> Response:
    known = await find_task(state.db, caller.organization, kind.kind, task_id)
    job = await job_control.cancel(state, caller, known.id)
    return json_answer(await read_view(state, job))


@router.get("/upsertion-tasks/info", summary="One task", response_model=UpsertionTask)
async def get_upsertion(state: State, caller: EmbeddingsReader, task_id: TaskId) -> Response:
    """Status, progress and all failed items."""
    return await _info(state, caller, UPSERTION, task_id)


@router.get("/deletion-tasks/info", summary="One deletion task", response_model=DeletionTask)
async def get_deletion(state: State, caller: EmbeddingsReader, task_id: TaskId) -> Response:
    """Status and progress."""
    return await _info(state, caller, DELETION, task_id)


@router.get("/upsertion-tasks/list", summary="Tasks, newest first", response_model=list[UpsertionTask])
async def list_upsertions(
    state: State,
    caller: EmbeddingsReader,
    offset: Offset = 0,
    limit: Limit = 100,
    status: TaskStatus | None = None,
    collection: Collection | None = None,
) -> Response:
    """A bare list; `X-Total-Count` is the number of matches. Up to 100 failed items a task."""
    return await _list(state, caller, UPSERTION, offset, limit, status, collection)


@router.get("/deletion-tasks/list", summary="Deletion tasks, newest first", response_model=list[DeletionTask])
async def list_deletions(
    state: State,
    caller: EmbeddingsReader,
    offset: Offset = 0,
    limit: Limit = 100,
    status: TaskStatus | None = None,
    collection: Collection | None = None,
) -> Response:
    """A bare list; `X-Total-Count` is the number of matches."""
    return await _list(state, caller, DELETION, offset, limit, status, collection)


@router.put("/upsertion-tasks/restart", summary="Run a task once more", response_model=UpsertionTask)
async def restart_upsertion(
    state: State, caller: EmbeddingsOperator, task_id: TaskId, scope: Scope = Scope.REMAINING
) -> Response:
    """Takes what is failed or not stored, or everything when all is stored. A running task stays as it is."""
    return await _restart(state, caller, UPSERTION, task_id, scope)


@router.put("/deletion-tasks/restart", summary="Run a deletion once more", response_model=DeletionTask)
async def restart_deletion(
    state: State, caller: EmbeddingsOperator, task_id: TaskId, scope: Scope = Scope.REMAINING
) -> Response:
    """Takes what is left, or everything when nothing is."""
    return await _restart(state, caller, DELETION, task_id, scope)


@router.put("/upsertion-tasks/cancel", summary="Stop a task", response_model=UpsertionTask)
async def cancel_upsertion(state: State, caller: EmbeddingsOperator, task_id: TaskId) -> Response:
    """`canceled` at once: nothing more is stored from here on, what is stored stays."""
    return await _cancel(state, caller, UPSERTION, task_id)


@router.put("/deletion-tasks/cancel", summary="Stop a deletion", response_model=DeletionTask)
async def cancel_deletion(state: State, caller: EmbeddingsOperator, task_id: TaskId) -> Response:
    """`canceled` at once: nothing more is deleted from here on."""
    return await _cancel(state, caller, DELETION, task_id)


def _reader(caller: Principal) -> UUID | None:
    return caller.key_id or caller.user_id


def _answer(found: SearchAnswer) -> Response:
    return json_answer(found.model_dump(mode="json", exclude_none=True))


@router.post("/similarity-search", summary="The nearest objects to a query", response_model=SearchAnswer)
async def similarity_search(
    body: SearchBody, state: State, caller: EmbeddingsReader, collection: CollectionName = Collection.DEFAULT
) -> Response:
    """Objects by cosine distance (0 to 2) of their nearest part; without a query, by payload.

    Go on with `offset` from `next_page_offset`: the pages of one search are cut from one answer, for ten minutes
    after the last. `create_session` or a `session_id` keeps two readers with one key apart.
    """
    return _answer(await state.vectors.search(caller.organization, collection, body, reader=_reader(caller)))


@router.post("/payload-search", summary="Objects by their payload", response_model=SearchAnswer)
async def payload_search(
    body: SearchBody, state: State, caller: EmbeddingsReader, collection: CollectionName = Collection.DEFAULT
) -> Response:
    """Objects that match the filter, by `sort_by` or id; `distance` is 1.0."""
    return _answer(
        await state.vectors.search(caller.organization, collection, body, reader=_reader(caller), by_payload=True)
    )


@router.post("/payload-count", summary="How many objects match", response_model=CountAnswer)
async def payload_count(
    body: CountBody, state: State, caller: EmbeddingsReader, collection: CollectionName = Collection.DEFAULT
) -> CountAnswer:
    """How many objects match the filter."""
    return await state.vectors.count(caller.organization, collection, body)
