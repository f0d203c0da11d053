"""The page of a conversation: reading it, following a question, asking the next one, cancelling."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from towpath.ai.service.conversations import get_thread_job, load_thread, load_turn
from towpath.ai.service.questions import ask_in_thread
from towpath.ai.service.results import draw_chart
from towpath.ai.types import MAX_PROMPT, Turn
from towpath.api.console.conversation import find_step_with_rows, get_address, render_thread, render_turn
from towpath.api.console.failures import PageRoute
from towpath.api.console.rendering import sentence, set_retry_after
from towpath.api.console.visitors import SignInNeededError, Visitor, read_form, read_thread_visitor
from towpath.api.http.auth import CHAT_COOKIE, exchange_chat_link
from towpath.api.http.csv_responses import csv_response
from towpath.api.http.rates import limit_ai_requests
from towpath.api.http.state import AppState, State
from towpath.api.http.streams import MAX_SECONDS, Position, end_reconnects, has_everything, make_first_line, make_stream
from towpath.core.errors import BadInputError, ForbiddenError, NotFoundError, TowpathError, UnauthorizedError

router = APIRouter(prefix="/chat/{conversation_id}", route_class=PageRoute, include_in_schema=False)
PART_HEADER = "Towpath-Part"
"""Sent by the page's script, which puts one question into the page it already has."""
CHART = (800, 480)
NARROW_CHART = (420, 380)
PNG_CHART = (1600, 960)
KEPT_AN_HOUR = "private, max-age=3600"
CHART_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


async def _visitor(request: Request, state: State, conversation_id: UUID) -> Visitor:
    return (await read_thread_visitor(request, state, conversation_id))[0]


async def _page_visitor(request: Request, state: State, conversation_id: UUID) -> Visitor:
    """Return the visitor of what is opened as a page, not by a page: who is not signed in is led to the sign-in."""
    try:
        return await _visitor(request, state, conversation_id)
    except UnauthorizedError as error:
        raise SignInNeededError(get_address(conversation_id)) from error


PartVisitor = Annotated[Visitor, Depends(_visitor)]
PageVisitor = Annotated[Visitor, Depends(_page_visitor)]


async def _turn(state: State, visitor: PartVisitor, conversation_id: UUID, job_id: UUID) -> Turn:
    return await load_turn(state.ai, visitor.caller, job_id, conversation_id=conversation_id)


ThisTurn = Annotated[Turn, Depends(_turn)]


async def _page(
    state: AppState, visitor: Visitor, conversation_id: UUID, refused: TowpathError | None = None, typed: str = ""
) -> HTMLResponse:
    thread = await load_thread(state.ai, visitor.caller, conversation_id)
    notice = None if refused is None else sentence(refused.detail)
    page = render_thread(thread, visitor.reader, notice=notice, typed=typed)
    answer = HTMLResponse(page, 200 if refused is None else refused.status)
    set_retry_after(answer, refused)
    return answer


@router.get("")
async def show(
    request: Request, state: State, conversation_id: UUID, token: Annotated[str | None, Query()] = None
) -> Response:
    """The page; a link's token becomes a cookie of this page first, and leaves the address."""
    if token is None:
        visitor = await _page_visitor(request, state, conversation_id)
        return await _page(state, visitor, conversation_id)
    clean = RedirectResponse(get_address(conversation_id), 303)
    try:
        value, seconds = await exchange_chat_link(state, token, conversation_id)
    except UnauthorizedError as error:
        if await _knows(request, state, conversation_id):
            return clean
        raise ForbiddenError("this link is not valid or has expired; ask for a new one, or sign in") from error
    clean.set_cookie(
        CHAT_COOKIE,
        value,
        max_age=seconds,
        path=get_address(conversation_id),
        httponly=True,
        samesite="lax",
        secure=state.settings.cookie_secure,
    )
    return clean


async def _knows(request: Request, state: AppState, conversation_id: UUID) -> bool:
    try:
        await read_thread_visitor(request, state, conversation_id)
    except (UnauthorizedError, ForbiddenError, NotFoundError):
        return False
    return True


@router.post("/messages")
async def send(request: Request, state: State, conversation_id: UUID, visitor: PageVisitor) -> Response:
    """Asks the next question; one that is refused comes back with what was typed."""
    form = await read_form(request, own_checks=("prompt",))
    visitor.check(request, form)
    typed = form.get("prompt", "").replace("\r\n", "\n")
    try:
        await limit_ai_requests(state, visitor.caller)
        job = await ask_in_thread(state.ai, visitor.caller, conversation_id, _read_prompt(typed))
        state.gateway.start_soon(job)
    except (UnauthorizedError, ForbiddenError, NotFoundError):
        raise
    except TowpathError as refused:
        return await _page(state, visitor, conversation_id, refused, typed)
    if PART_HEADER in request.headers:
        turn = await load_turn(state.ai, visitor.caller, job.id)
        return HTMLResponse(render_turn(turn, conversation_id, visitor.reader), 201)
    return RedirectResponse(f"{get_address(conversation_id)}#turn-{job.id}", 303)


def _read_prompt(typed: str) -> str:
    prompt = typed.strip()
    if not prompt:
        raise BadInputError("type a question first", field="prompt")
    if len(prompt) > MAX_PROMPT:
        raise BadInputError(f"a question has at most {MAX_PROMPT:,} characters", field="prompt")
    if "\x00" in prompt:
        raise BadInputError("the question holds a NUL character", field="prompt")
    return prompt


@router.post("/jobs/{job_id}/cancel")
async def cancel(
    request: Request, state: State, conversation_id: UUID, job_id: UUID, visitor: PageVisitor
) -> Response:  # fmt: skip
    """Stops a question, unless its answer is being stored already."""
    visitor.check(request, await read_form(request))
    await get_thread_job(state.ai, visitor.caller, conversation_id, job_id)
    await state.jobs.cancel(visitor.caller, job_id)
    if PART_HEADER in request.headers:
        return Response(status_code=204)
    return RedirectResponse(f"{get_address(conversation_id)}#turn-{job_id}", 303)


@router.get("/jobs/{job_id}/turn")
async def one_turn(conversation_id: UUID, turn: ThisTurn, visitor: PartVisitor) -> HTMLResponse:
    """One question's part of the page, for the script."""
    return HTMLResponse(render_turn(turn, conversation_id, visitor.reader))


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse)
async def follow(
    state: State,
    conversation_id: UUID,
    job_id: UUID,
    visitor: PartVisitor,
    position: Position,
) -> Response:
    """A question's events, from after `Last-Event-ID`; they tell the script when to look again."""
    job = await get_thread_job(state.ai, visitor.caller, conversation_id, job_id)
    return (
        end_reconnects()
        if has_everything(job, position)
        else make_stream(state, job, _events(state, job_id, position or 0))
    )


async def _events(state: AppState, job_id: UUID, after: int) -> AsyncIterator[ServerSentEvent]:
    yield make_first_line()
    async for events in state.events.follow(job_id, after=after, seconds=MAX_SECONDS):
        for event in events:
            yield ServerSentEvent(
                id=str(event.seq), event=event.type, data=event.model_dump_json(by_alias=True), sep="\n"
            )


@router.get("/jobs/{job_id}/chart.svg")
async def chart(
    state: State, conversation_id: UUID, job_id: UUID, visitor: PartVisitor, dark: bool = False, narrow: bool = False
) -> Response:
    """The chart for the page."""
    return await _chart(state, visitor, conversation_id, job_id, NARROW_CHART if narrow else CHART, svg=True, dark=dark)


@router.get("/jobs/{job_id}/chart.png")
async def large_chart(state: State, conversation_id: UUID, job_id: UUID, visitor: PartVisitor) -> Response:
    """The chart to take along."""
    return await _chart(state, visitor, conversation_id, job_id, PNG_CHART, svg=False, dark=False)


async def _chart(
    state: AppState,
    visitor: Visitor,
    conversation_id: UUID,
    job_id: UUID,
    size: tuple[int, int],
    *,
    svg: bool,
    dark: bool,
) -> Response:
    width, height = size
    picture = await draw_chart(
        state.ai,
        visitor.caller,
        job_id,
        conversation_id=conversation_id,
        width=width,
        height=height,
        svg=svg,
        dark=dark,
    )
    headers = {"Cache-Control": KEPT_AN_HOUR, "Content-Security-Policy": CHART_POLICY}
    return Response(picture, media_type="image/svg+xml" if svg else "image/png", headers=headers)


@router.get("/jobs/{job_id}/actions/{number}.csv")
async def rows(turn: ThisTurn, number: int) -> Response:
    """The rows of one step; what a spreadsheet would run as a formula gets an apostrophe."""
    action = find_step_with_rows(turn.actions, number)
    if action is None:
        raise NotFoundError("this step brought no rows")
    return csv_response(action, f"rows-{str(turn.job_id)[:8]}-{number}.csv")


@router.get("/{rest:path}")
async def nothing() -> Response:
    """What is no part of a page."""
    raise NotFoundError("no such page")
