"""A job's events as a stream that can be taken up where it broke."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from towpath.api.http.auth import STREAM_TOKEN_SECONDS, Reader, sign_stream_token
from towpath.api.http.ids import JobId
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
    has_everything,
    make_first_line,
    make_stream,
)
from towpath.jobs.types import JobEvent

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=ApiRoute)


class StreamToken(BaseModel):
    """Opens one job's stream as `?token=`, for a browser's EventSource, which sends no headers."""

    token: str
    expires_in: int


@router.post("/{jobId}/stream-token", summary="A token for one job's stream")
async def make_stream_token(state: State, caller: Reader, job_id: JobId) -> StreamToken:
    """Good for five minutes and this job only."""
    job = await state.jobs.find(caller, job_id)
    return StreamToken(token=sign_stream_token(state, caller.organization, job.id), expires_in=STREAM_TOKEN_SECONDS)


@router.get(
    "/{jobId}/events",
    summary="A job's events as a stream",
    response_class=EventSourceResponse,
    responses=STREAM_ANSWERS,
)
async def stream_events(
    request: Request,
    state: State,
    caller: StreamCaller,
    job_id: JobId,
    position: Position,
    token: StreamTokenQuery = None,
) -> Response:
    """Replays from the start, or from after `Last-Event-ID`; a finished job's stream ends by itself.

    204 for who comes back with everything.
    """
    job = await find_streamed_job(request, state, job_id, caller, token)
    return (
        end_reconnects()
        if has_everything(job, position)
        else make_stream(state, job, _events(state, job.id, position or 0))
    )


async def _events(state: AppState, job_id: UUID, after: int) -> AsyncIterator[ServerSentEvent]:
    yield make_first_line()
    async for events in state.events.follow(job_id, after=after, seconds=MAX_SECONDS):
        for event in events:
            yield _line(event)


def _line(event: JobEvent) -> ServerSentEvent:
    return ServerSentEvent(id=str(event.seq), event=event.type, data=event.model_dump_json(by_alias=True), sep="\n")
