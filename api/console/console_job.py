"""A job's own page: its state, events, failed items, deliveries, and what can be done with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup
from sse_starlette import EventSourceResponse, ServerSentEvent

from towpath.api.console.console import PART, PageVisitor, PartVisitor, console_page, is_shown_on_page, load_reader
from towpath.api.console.delivery_views import DeliveryLine, delivery_line
from towpath.api.console.failures import PageRoute
from towpath.api.console.job_words import JobLine, job_line
from towpath.api.console.panels import Panel, PanelLink, panels
from towpath.api.console.rendering import render
from towpath.api.console.timeline import Line, build_timeline
from towpath.api.console.visitors import Visitor, read_form
from towpath.api.http.job_views import job_view
from towpath.api.http.state import AppState, State
from towpath.api.http.streams import MAX_SECONDS, Position, end_reconnects, has_everything, make_first_line, make_stream
from towpath.core.errors import TowpathError
from towpath.core.json_values import write_json
from towpath.jobs.policy import JobAction, may
from towpath.jobs.rows import is_held_for_review, warnings_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import DELIVER, FailedItem, JobState, JobView, JobWarning

router = APIRouter(prefix="/console/jobs/{job_id}", route_class=PageRoute, include_in_schema=False)
SHOWN_EVENTS = 60
SHOWN_FAILURES = 25
SHOWN_DELIVERIES = 50
MAX_PAGE = 1_000_000
MAX_RESULT = 20_000


class Act(StrEnum):
    """What can be done with a job."""

    PAUSE = "pause"
    CONTINUE = "continue"
    CANCEL = "cancel"
    RESTART = "restart"


ACTIONS = {act: JobAction(act.value) for act in Act}


@dataclass(frozen=True, slots=True)
class JobDetail:
    """Everything on the page of a job.

    Attributes:
        acts: What the state allows.
        thread: The conversation that the job belongs to.
        before: Events up to here are not shown; 0: all are.
        panel: What the job's kind shows beyond this.
        links: Where its kind leads.
    """

    line: JobLine
    view: JobView
    acts: list[Act]
    thread: UUID | None
    events: list[Line]
    before: int
    failures: list[FailedItem]
    failures_total: int
    failures_page: int
    deliveries: list[DeliveryLine]
    panel: Markup | None
    links: list[PanelLink]
    result: str | None
    warnings: list[JobWarning]

    @property
    def failures_pages(self) -> int:
        """Return how many pages of failed items there are."""
        return max(ceil(self.failures_total / SHOWN_FAILURES), 1)


def acts_of(job: JobRow, visitor: Visitor) -> list[Act]:
    """Return what a visitor can do with a job in its state, the likeliest first."""
    return [act for act in _acts(job) if may(visitor.caller, ACTIONS[act], job)]


def _acts(job: JobRow) -> list[Act]:
    if job.state.final:
        left = job.state is not JobState.COMPLETED or job.failed or job.skipped
        return [Act.RESTART] if left else []
    if job.cancelling:
        return [] if job.restart_requested else [Act.RESTART]
    if job.phase == DELIVER:
        return []
    if job.state is JobState.PAUSED:
        return [Act.CANCEL] if is_held_for_review(job) else [Act.CONTINUE, Act.CANCEL]
    return [Act.PAUSE, Act.CANCEL]


async def read_detail(
    state: AppState, visitor: Visitor, job_id: UUID, *, failures_page: int = 1, before: int | None = None
) -> JobDetail:
    """Load what a job's page shows.

    Args:
        failures_page: Which page of failed items.
        before: Events with lower numbers than this; None: the newest.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    job = await state.jobs.find(visitor.caller, job_id)
    newest = job.last_seq if before is None else min(before - 1, job.last_seq)
    after = max(newest - SHOWN_EVENTS, 0)
    events = await state.jobs.load_events(job, after=after, limit=max(newest - after, 1))
    offset = (failures_page - 1) * SHOWN_FAILURES
    failures = await state.jobs.load_failures(job, limit=SHOWN_FAILURES, offset=offset)
    panel = panels()[job.kind]
    deliveries = await state.deliveries.list_of_job(job, limit=SHOWN_DELIVERIES)
    return JobDetail(
        line=job_line(job),
        view=job_view(job, state.settings),
        acts=acts_of(job, visitor),
        thread=job.conversation_id,
        events=build_timeline(events),
        before=after + 1 if after else 0,
        failures=failures.items,
        failures_total=failures.total,
        failures_page=failures_page,
        deliveries=[delivery_line(delivery) for delivery in deliveries],
        panel=None if panel.render is None else await panel.render(state, job),
        links=[] if panel.links is None else panel.links(job),
        result=await _result_of(state, job, panel),
        warnings=warnings_of(job),
    )


async def _result_of(state: AppState, job: JobRow, panel: Panel) -> str | None:
    """Return what the job has brought: in the words of its kind, else its small result as JSON."""
    words = None if panel.load_result is None else await panel.load_result(state, job)
    if words:
        return _shortened(words)
    return _as_json(job.result) if job.result else None


def _as_json(result: dict[str, Any]) -> str:
    return _shortened(write_json(result, options=orjson.OPT_INDENT_2).decode())


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_RESULT else f"{text[:MAX_RESULT]}\n…"


FailuresPage = Annotated[int, Query(alias="failures", ge=1, le=MAX_PAGE)]
Before = Annotated[int | None, Query(ge=1)]


@router.get("")
async def show(
    request: Request,
    state: State,
    visitor: PageVisitor,
    job_id: UUID,
    failures_page: FailuresPage = 1,
    before: Before = None,
) -> Response:
    """Show the page, or for its script the part that changes."""
    detail = await read_detail(state, visitor, job_id, failures_page=failures_page, before=before)
    if PART in request.query_params:
        reader = await load_reader(state, visitor)
        return HTMLResponse(render("job_part.html", reader=reader, detail=detail, past=before is not None))
    return await console_page(state, visitor, "console_job.html", detail=detail, past=before is not None)


@router.post("/act/{act}")
async def do(request: Request, state: State, visitor: PageVisitor, job_id: UUID, act: Act) -> Response:
    """Pause, continue, cancel or restart a job; what its state does not allow is shown on the page."""
    visitor.check(request, await read_form(request))
    job = await state.jobs.find(visitor.caller, job_id)
    try:
        await _do(state, visitor, job, act)
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        detail = await read_detail(state, visitor, job_id)
        return await console_page(state, visitor, "console_job.html", refused=refused, detail=detail, past=False)
    return RedirectResponse(f"/console/jobs/{job_id}", 303)


async def _do(state: AppState, visitor: Visitor, job: JobRow, act: Act) -> None:
    if act is Act.PAUSE:
        await state.jobs.pause(visitor.caller, job.id)
    elif act is Act.CONTINUE:
        await state.jobs.resume(visitor.caller, job.id)
    elif act is Act.RESTART:
        await state.jobs.restart(visitor.caller, job.id)
    else:
        await state.jobs.cancel(visitor.caller, job.id, wait=panels()[job.kind].waits_for_cancel)


@router.get("/events", response_class=EventSourceResponse)
async def follow(
    state: State,
    visitor: PartVisitor,
    job_id: UUID,
    position: Position,
) -> Response:
    """Stream the numbers of a job's events, from after `Last-Event-ID`; they let the script look again."""
    job = await state.jobs.find(visitor.caller, job_id)
    return (
        end_reconnects()
        if has_everything(job, position)
        else make_stream(state, job, _numbers(state, job.id, position or 0))
    )


async def _numbers(state: AppState, job_id: UUID, after: int) -> AsyncIterator[ServerSentEvent]:
    yield make_first_line()
    async for events in state.events.follow(job_id, after=after, seconds=MAX_SECONDS):
        yield ServerSentEvent(id=str(events[-1].seq), data=events[-1].type, sep="\n")
