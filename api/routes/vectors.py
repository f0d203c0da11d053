"""The embeddings API: upsertion tasks, deletion tasks, search. Served bare and under `/api/v1`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from towpath.accounts.types import Principal
from towpath.api.http.auth import EmbeddingsOperator, EmbeddingsReader
from towpath.api.http.bodies import body_of
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import IdempotencyKey, replay
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute, make_validation_error, refuse_unknown
from towpath.api.http.state import AppState, State
from towpath.api.http.uploads import BodyBounds, open_body
from towpath.api.http.webhook_fields import read_job_endpoint, take_members
from towpath.core.bodies import field_names
from towpath.core.errors import ErrorBody, ErrorList
from towpath.core.values import Offset
from towpath.jobs.idempotency import Slot
from towpath.vectors.service.tasks import (
    DELETION,
    UPSERTION,
    InvalidItemError,
    TaskIdTakenError,
    TaskKind,
    read_task_id,
    show_task,
)
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
    return await _submit(request, state, caller, UPSERTION, Collection.DEFAULT, idempotency_key)


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
    return await _submit(request, state, caller, UPSERTION, Collection.CATEGORIES, idempotency_key)


@router.post(
    "/deletion-tasks/run", summary="Delete objects", response_model=DeletionTask, openapi_extra=body_of(DeletionBody)
)
async def run_deletion(
    request: Request, state: State, caller: EmbeddingsOperator, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accepts a task that deletes objects. One that is not stored counts as deleted (`progress.missing`)."""
    return await _submit(request, state, caller, DELETION, Collection.DEFAULT, idempotency_key)


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
    return await _submit(request, state, caller, DELETION, Collection.CATEGORIES, idempotency_key)


async def _submit(
    request: Request,
    state: AppState,
    caller: Principal,
    kind: TaskKind,
    collection: Collection,
    idempotency_key: str | None,
) -> Response:
    """Stage the body into a task and commit both at once; then start it.

    A known task id with an equal body answers the task that has it.
    """
    bounds = BodyBounds(state.settings.vector_max_bytes, "vector_max_bytes")
    slot = Slot(caller.organization, f"POST {request.url.path}", idempotency_key)
    deadline = read_deadline(request)
    body = open_body(request, bounds)
    turn = state.uploads.turn(request, caller.organization, limit=bounds.json_bytes, setting=bounds.json_setting)
    try:
        async with turn, state.db.transaction() as connection:
            if first := await slot.claim(connection):
                return replay(first, await body.digest(start=b""))
            staged = await state.tasks.stage(connection, kind, collection, body)
            members = staged.upload.options
            endpoint = await read_job_endpoint(request, state, take_members(members))
            task_id = read_task_id(members)
            refuse_unknown(members, field_names(kind.body))
            job = await state.tasks.accept(
                connection,
                caller,
                staged,
                task_id=task_id,
                deadline=deadline,
                endpoint=endpoint,
                max_jobs=state.limits.max_jobs(caller.organization),
            )
            answer = show_task(job, [])
            await slot.save(connection, staged.upload.digest, 200, answer)
    except InvalidItemError as invalid:
        raise make_validation_error(kind.body, invalid.error, kind.list_name, invalid.position) from invalid
    except TaskIdTakenError as taken:
        known_job = await state.tasks.read_repeated(caller.organization, taken)
        return json_answer(await state.tasks.show(known_job))
    state.gateway.start_soon(job)
    return json_answer(answer)


async def _list(
    state: AppState,
    caller: Principal,
    kind: TaskKind,
    offset: int,
    limit: int,
    status: TaskStatus | None,
    collection: Collection | None,
) -> Response:
    tasks, total = await state.tasks.show_list(
        caller.organization, kind, status=status, collection=collection, limit=limit, offset=offset
    )
    return json_answer(tasks, headers={"X-Total-Count": str(total)})


@router.get("/upsertion-tasks/info", summary="One task", response_model=UpsertionTask)
async def get_upsertion(state: State, caller: EmbeddingsReader, task_id: TaskId) -> Response:
    """Status, progress and all failed items."""
    return json_answer(await state.tasks.read(caller.organization, UPSERTION, task_id))


@router.get("/deletion-tasks/info", summary="One deletion task", response_model=DeletionTask)
async def get_deletion(state: State, caller: EmbeddingsReader, task_id: TaskId) -> Response:
    """Status and progress."""
    return json_answer(await state.tasks.read(caller.organization, DELETION, task_id))


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
    return json_answer(await state.tasks.restart(caller, UPSERTION, task_id, scope))


@router.put("/deletion-tasks/restart", summary="Run a deletion once more", response_model=DeletionTask)
async def restart_deletion(
    state: State, caller: EmbeddingsOperator, task_id: TaskId, scope: Scope = Scope.REMAINING
) -> Response:
    """Takes what is left, or everything when nothing is."""
    return json_answer(await state.tasks.restart(caller, DELETION, task_id, scope))


@router.put("/upsertion-tasks/cancel", summary="Stop a task", response_model=UpsertionTask)
async def cancel_upsertion(state: State, caller: EmbeddingsOperator, task_id: TaskId) -> Response:
    """`canceled` at once: nothing more is stored from here on, what is stored stays."""
    return json_answer(await state.tasks.cancel(caller, UPSERTION, task_id))


@router.put("/deletion-tasks/cancel", summary="Stop a deletion", response_model=DeletionTask)
async def cancel_deletion(state: State, caller: EmbeddingsOperator, task_id: TaskId) -> Response:
    """`canceled` at once: nothing more is deleted from here on."""
    return json_answer(await state.tasks.cancel(caller, DELETION, task_id))


def _reader_of(caller: Principal) -> UUID | None:
    return caller.key_id or caller.user_id


def _answer(answer: SearchAnswer) -> Response:
    return json_answer(answer.model_dump(mode="json", exclude_none=True))


@router.post("/similarity-search", summary="The nearest objects to a query", response_model=SearchAnswer)
async def similarity_search(
    body: SearchBody, state: State, caller: EmbeddingsReader, collection: CollectionName = Collection.DEFAULT
) -> Response:
    """Objects by cosine distance (0 to 2) of their nearest part; without a query, by payload.

    Go on with `offset` from `next_page_offset`: the pages of one search are cut from one answer, for ten minutes
    after the last. `create_session` or a `session_id` keeps two readers with one key apart.
    """
    return _answer(await state.search.search(caller.organization, collection, body, reader=_reader_of(caller)))


@router.post("/payload-search", summary="Objects by their payload", response_model=SearchAnswer)
async def payload_search(
    body: SearchBody, state: State, caller: EmbeddingsReader, collection: CollectionName = Collection.DEFAULT
) -> Response:
    """Objects that match the filter, by `sort_by` or id; `distance` is 1.0."""
    return _answer(
        await state.search.search(caller.organization, collection, body, reader=_reader_of(caller), by_payload=True)
    )


@router.post("/payload-count", summary="How many objects match", response_model=CountAnswer)
async def payload_count(
    body: CountBody, state: State, caller: EmbeddingsReader, collection: CollectionName = Collection.DEFAULT
) -> CountAnswer:
    """How many objects match the filter."""
    return await state.search.count(caller.organization, collection, body)
