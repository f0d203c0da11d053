"""A job's events as a stream that can be taken up where it broke."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.auth import STREAM_TOKEN_SECONDS, Reader, authenticate, require, stream_organization, stream_token
from api.state import AppState, State
from contracts.auth import Role, Scope
from contracts.jobs import JobEvent
from stores.events import read_events
from stores.jobs import get_job

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

RETRY_MILLISECONDS = 3000
COMMENT_SECONDS = 15
LONGEST_SECONDS = 30 * 60
PAGE = 500


class StreamToken(BaseModel):
    """Opens one job's stream as `?token=`, for a browser's EventSource, which sends no headers."""

    token: str
    expires_in: int


@router.post("/{job_id}/stream-token", summary="A token for one job's stream")
async def make_stream_token(state: State, caller: Reader, job_id: UUID) -> StreamToken:
    """Good for five minutes and this job only."""
    job = await get_job(state.db, caller.organization, job_id)
    return StreamToken(token=stream_token(state, caller.organization, job.id), expires_in=STREAM_TOKEN_SECONDS)


@router.get(
    "/{job_id}/events",
    summary="A job's events as a stream",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {"example": "id: 4\nevent: job.progress\ndata: {...}\n\n"}}}},
)
async def stream_events(
    request: Request,
    state: State,
    job_id: UUID,
    token: Annotated[str | None, Query(description="From `stream-token`, instead of a key.")] = None,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0)] = None,
    last_event_query: Annotated[int | None, Query(alias="last_event_id", ge=0)] = None,
) -> EventSourceResponse:
    """Replays from the start, or from after `Last-Event-ID`; a finished job's stream ends by itself."""
    organization = await _organization(request, state, job_id, token)
    job = await get_job(state.db, organization, job_id)
    after = last_event_id if last_event_id is not None else (last_event_query or 0)
    return EventSourceResponse(
        _events(state, organization, job.id, after),
        ping=COMMENT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="alive"),
        sep="\n",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _organization(request: Request, state: AppState, job_id: UUID, token: str | None) -> str:
    if token is not None:
        return stream_organization(state, token, job_id)
    caller = await require(Role.OPERATOR, Scope.READ)(await authenticate(request, state))
    return caller.organization


async def _events(state: AppState, organization: str, job_id: UUID, after: int) -> AsyncIterator[ServerSentEvent]:
    ends = time.monotonic() + LONGEST_SECONDS
    async with state.events.subscribed(job_id) as news:
        yield ServerSentEvent(comment="stream", retry=RETRY_MILLISECONDS, sep="\n")
        while not state.events.closing.is_set() and time.monotonic() < ends:
            news.clear()
            # In this order: a job that was final before an empty read has nothing more to tell.
            final = (await get_job(state.db, organization, job_id)).state.final
            events = await read_events(state.db, job_id, after=after, limit=PAGE)
            for event in events:
                yield _line(event)
                after = event.seq
            if final and not events:
                return
            if not events:
                try:
                    async with asyncio.timeout(max(ends - time.monotonic(), 0)):
                        await news.wait()
                except TimeoutError:
                    return


def _line(event: JobEvent) -> ServerSentEvent:
    return ServerSentEvent(id=str(event.seq), event=event.type, data=event.model_dump_json(by_alias=True), sep="\n")
