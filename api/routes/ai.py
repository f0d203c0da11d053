"""AI jobs: a question in words over a semantic model, answered by a durable agent."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from towpath.ai.domain.charts import UndrawableError
from towpath.ai.service import links
from towpath.ai.service.conversations import list_conversations, list_questions, load_question, load_thread
from towpath.ai.service.questions import (
    accept_call,
    accept_question,
    check_question,
    draft_query_generation,
    draft_question,
    draft_topic_choice,
    wait_for_call,
)
from towpath.ai.service.results import draw_chart, find_last_query, load_result
from towpath.ai.types import AI_JOB, AiJobBody, AiState, GenerateQueryBody, PickTopicBody, to_ai_state
from towpath.api.http.auth import CHAT_SECONDS, Operator, Reader, sign_chat_link
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.csv_responses import csv_response
from towpath.api.http.cursors import read_cursor, write_cursor
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import IdempotencyKey, accept_job_once, replay, slot_of
from towpath.api.http.ids import ConversationId, JobId, LinkId
from towpath.api.http.rates import limit_ai_requests
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.http.webhook_fields import read_job_endpoint, read_start
from towpath.api.routes.ai_views import (
    make_chat_url,
    read_wait,
    show_call,
    show_conversation,
    show_job,
    show_link,
    show_page_info,
    show_result,
    show_rows,
    show_thread,
)
from towpath.jobs.idempotency import Slot
from towpath.jobs.store.tables import JobRow

router = APIRouter(prefix="/v1/ai", tags=["ai"], dependencies=[Depends(limit_ai_requests)], route_class=ApiRoute)

Side = Annotated[int, Query(ge=50, le=4000, description="Pixels.")]
PageSize = Annotated[int, Query(alias="pageSize", ge=1, le=100)]
CursorQuery = Annotated[str | None, Query(description="`nextCursor` of the page before.")]

THREAD_JOBS = frozenset({AI_JOB})
START = "POST /v1/ai/jobs"


@router.post("/jobs", status_code=201, summary="Ask a question", openapi_extra=body_of(AiJobBody))
async def create_job(
    request: Request,
    state: State,
    caller: Operator,
    user_id: Annotated[UUID | None, Query(alias="userId", description="Run as this user.")] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Starts an agent that picks a topic, queries the database read-only and answers. 409 while its thread is busy."""
    body, digest, webhook = await read_start(request, state, AiJobBody)
    user = await check_question(state.ai, caller, body, user_id)
    target = await read_job_endpoint(request, state, webhook)
    draft = await draft_question(state.ai, caller, body, user=user, target=target)
    draft.job.deadline = read_deadline(request)
    answer = {
        "jobId": str(draft.job.id),
        "conversationId": str(draft.thread.id),
        "omniChatUrl": make_chat_url(state, request, draft.thread.id),
    }
    slot = Slot(caller.organization, START, idempotency_key)
    async with state.db.joined() as (database, connection):
        if known := await slot.claim(connection):
            return replay(known, digest)
        job = await accept_question(database, connection, draft, max_jobs=state.limits.max_jobs(caller.organization))
        await slot.save(connection, digest, 201, answer)
    state.gateway.start_soon(job)
    return json_answer(answer, 201)


@router.get("/jobs", summary="List jobs, newest first")
async def list_jobs(
    request: Request,
    state: State,
    caller: Reader,
    job_state: Annotated[AiState | None, Query(alias="state")] = None,
    conversation_id: Annotated[UUID | None, Query(alias="conversationId")] = None,
    model_id: Annotated[UUID | None, Query(alias="modelId")] = None,
    cursor: CursorQuery = None,
    page_size: PageSize = 50,
) -> dict[str, Any]:
    """Those that the caller may see."""
    page = await list_questions(
        state.ai,
        caller,
        state=job_state,
        conversation_id=conversation_id,
        model_id=model_id,
        before=read_cursor(cursor) if cursor else None,
        size=page_size,
    )
    last = page.items[-1].job if page.items else None
    next_cursor = write_cursor((last.created_at, last.id)) if last else None
    return {
        "data": [show_job(state, request, question) for question in page.items],
        "pageInfo": show_page_info(has_more=page.has_more, cursor=next_cursor, size=page_size, total=page.total),
    }


@router.get("/jobs/{jobId}", summary="State and progress")
async def get_job(request: Request, state: State, caller: Reader, job_id: JobId) -> dict[str, Any]:
    """With `Prefer: wait=N` the answer waits for a change of state, up to N (60) seconds."""
    question = await load_question(state.ai, caller, job_id, wait_seconds=read_wait(request.headers))
    return show_job(state, request, question)


@router.post("/jobs/{jobId}/cancel", summary="Stop a job")
async def cancel_job(state: State, caller: Operator, job_id: JobId) -> dict[str, Any]:
    """Answers CANCELLED at once; what the worker still brings is dropped. Too late while DELIVERING."""
    job = await state.jobs.cancel(caller, job_id, kinds=THREAD_JOBS)
    return {"jobId": str(job_id), "state": to_ai_state(job.state, job.phase)}


@router.get("/jobs/{jobId}/result", summary="The full result")
async def get_result(
    request: Request,
    state: State,
    caller: Reader,
    job_id: JobId,
    form: Annotated[
        Literal["json", "rows", "csv"], Query(alias="format", description="rows, csv: those of the last query.")
    ] = "json",
) -> Response:
    """404 until COMPLETE, and from 14 days after."""
    turn = await load_result(state.ai, caller, job_id)
    if form == "csv":
        return csv_response(find_last_query(turn))
    if form == "rows":
        return json_answer(show_rows(turn))
    return json_answer(show_result(state, request, turn))


@router.get(
    "/jobs/{jobId}/vis", summary="The chart", responses={200: {"content": {"image/png": {}, "image/svg+xml": {}}}}
)
async def get_chart(
    state: State,
    caller: Reader,
    job_id: JobId,
    width: Side = 800,
    height: Side = 480,
    form: Annotated[Literal["png", "svg"], Query(alias="format")] = "png",
    dark: bool = False,
) -> Response:
    """Of the last query that can be drawn; a job that only changed the style draws what its thread has found."""
    svg = form == "svg"
    try:
        chart = await draw_chart(state.ai, caller, job_id, width=width, height=height, svg=svg, dark=dark)
    except UndrawableError as error:
        error.extra = {"error": error.detail}
        raise
    return Response(chart, media_type="image/svg+xml" if svg else "image/png")


@router.get("/conversations", summary="Threads, the latest first")
async def get_conversations(
    state: State,
    caller: Reader,
    user_id: Annotated[UUID | None, Query(alias="userId", description="With an organization key.")] = None,
    cursor: CursorQuery = None,
    page_size: PageSize = 50,
) -> dict[str, Any]:
    """An organization key sees all, or those of one user; a personal token its own, and naming another is a 403."""
    before = read_cursor(cursor) if cursor else None
    page = await list_conversations(state.ai, caller, user_id, before=before, size=page_size)
    last = page.items[-1] if page.items else None
    next_cursor = write_cursor((last.updated_at, last.id)) if last else None
    return {
        "data": [show_conversation(conversation) for conversation in page.items],
        "pageInfo": show_page_info(has_more=page.has_more, cursor=next_cursor, size=page_size, total=page.total),
    }


@router.get("/conversations/{conversationId}", summary="One thread with its messages")
async def get_thread(request: Request, state: State, caller: Reader, conversation_id: ConversationId) -> dict[str, Any]:
    """A question that failed or was cancelled has an answer that says so."""
    return show_thread(state, request, await load_thread(state.ai, caller, conversation_id))


@router.post("/conversations/{conversationId}/link", summary="A signed link to the page of a thread")
async def make_link(
    request: Request,
    state: State,
    caller: Operator,
    conversation_id: ConversationId,
    write: Annotated[bool, Query(description="Whether who has the link may also ask and cancel.")] = False,
) -> dict[str, Any]:
    """Good for 24 hours and this thread only, without a sign-in, until it is revoked."""
    link = await links.create_link(state.ai, caller, conversation_id, write=write, seconds=CHAT_SECONDS)
    token = sign_chat_link(state, caller.organization, conversation_id, link.id, write=write)
    return {
        "linkId": str(link.id),
        "url": f"{make_chat_url(state, request, conversation_id)}?token={token}",
        "expiresIn": CHAT_SECONDS,
    }


@router.get("/conversations/{conversationId}/links", summary="Links to a thread")
async def get_links(state: State, caller: Reader, conversation_id: ConversationId) -> dict[str, Any]:
    """Those that have not expired, newest first, without their tokens."""
    rows = await links.list_links(state.ai, caller, conversation_id)
    return {"links": [show_link(row) for row in rows]}


@router.delete("/conversations/{conversationId}/links/{linkId}", status_code=204, summary="Revoke a link to a thread")
async def delete_link(state: State, caller: Operator, conversation_id: ConversationId, link_id: LinkId) -> None:
    """Who has it is let in no more, nor by the cookie that it has become."""
    await links.revoke_link(state.ai, caller, conversation_id, link_id)


@router.post("/pick-topic", summary="Choose a topic for a question", openapi_extra=body_of(PickTopicBody))
async def pick_topic(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """The name of a topic, to be used as `topicName`."""
    body, digest = await read_body(request, state, PickTopicBody)
    slot = slot_of(request, caller, idempotency_key)
    job = await _run_call(state, slot, digest, await draft_topic_choice(state.ai, caller, body))
    job, _ = await wait_for_call(state.ai, job)
    return {"topicId": (job.result or {}).get("topic")}


@router.post(
    "/generate-query", summary="Turn a question into a query, and run it", openapi_extra=body_of(GenerateQueryBody)
)
async def generate_query(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """A query that fails is asked for again with its error; the last error is told in `error`."""
    body, digest = await read_body(request, state, GenerateQueryBody)
    slot = slot_of(request, caller, idempotency_key)
    job = await _run_call(state, slot, digest, await draft_query_generation(state.ai, caller, body))
    return show_call(body, *await wait_for_call(state.ai, job))


async def _run_call(state: AppState, slot: Slot, digest: bytes, job: JobRow) -> JobRow:
    """Start a single question, or find the job of the first request with its key."""
    create = partial(accept_call, max_jobs=state.limits.max_jobs(job.organization))
    return await accept_job_once(state, slot, digest, job, create)
