"""Streams and control of jobs, in the words of the enrichment API; they take a job of any kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from towpath.api.http.auth import Operator
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.http.streams import (
    MAX_SECONDS,
    STREAM_ANSWERS,
    Position,
    StreamCaller,
    StreamTokenQuery,
    end_reconnects,
    find_streamed_job,
    make_first_line,
    make_stream,
)
from towpath.core.json_values import write_json
from towpath.enrichment.bodies import ContinueBody
from towpath.enrichment.service import control
from towpath.enrichment.service.messages import find_first_event, has_every_message, numbered_messages
from towpath.jobs.store.tables import JobRow

router = APIRouter(tags=["enrichment"], route_class=ApiRoute)


@router.get(
    "/api/llm/stream/{job_id}",
    summary="A job's events",
    response_class=EventSourceResponse,
    responses=STREAM_ANSWERS,
)
@router.get("/api/enrichment/stream/{job_id}", include_in_schema=False, response_class=EventSourceResponse)
async def stream_job(
    request: Request,
    state: State,
    caller: StreamCaller,
    job_id: UUID,
    position: Position,
    token: StreamTokenQuery = None,
) -> Response:
    """One `data:` line a message; `completed` comes last. A reader without a position gets everything first.

    204 for who comes back with everything.
    """
    job = await find_streamed_job(request, state, job_id, caller, token)
    return (
        end_reconnects()
        if await has_every_message(state.db, job, position)
        else make_stream(state, job, _lines(state, job, position))
    )


async def _lines(state: AppState, job: JobRow, position: int | None) -> AsyncIterator[ServerSentEvent]:
    """Yield the stream's lines behind a position; None: everything since the last restart."""
    yield make_first_line()
    after = await find_first_event(state.db, job, position)
    async for events in state.events.follow(job.id, after=after, seconds=MAX_SECONDS):
        async for place, message in numbered_messages(state.db, job, events, position):
            yield ServerSentEvent(id=str(place), data=write_json(message).decode(), sep="\n")


@router.post("/api/llm/cancel/{job_id}", summary="Cancel a job")
@router.post("/api/enrichment/cancel/{job_id}", include_in_schema=False)
async def cancel_job(state: State, caller: Operator, job_id: UUID) -> dict[str, Any]:
    """Running or paused; finished records stay. Repeated, or after the end: the state as it is."""
    return await control.cancel(state.jobs, caller, job_id)


@router.post("/api/llm/continue/{job_id}", summary="Let a paused job go on")
async def continue_job(
    state: State, caller: Operator, job_id: UUID, body: Annotated[ContinueBody | None, Body()] = None
) -> dict[str, Any]:
    """With answers to what it asked, which are put into the prompts."""
    return await control.resume(state.jobs, caller, job_id, body or ContinueBody())
