"""What every event stream shares: who may read it, where it begins, its comments, how long it lasts, how it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette import types

from towpath.accounts.types import Principal, Role, Scope
from towpath.api.http.auth import authenticate, bearer, declare_needs, header_key, read_stream_token, require
from towpath.api.http.limits import count_request
from towpath.api.http.requests import note_caller
from towpath.api.http.state import AppState, State
from towpath.core.values import MAX_NUMBER
from towpath.jobs.store.tables import JobRow

RETRY_MILLISECONDS = 3000
COMMENT_SECONDS = 3
"""Well below the five seconds after which httpx gives up on a silent connection."""
MAX_SECONDS = 30 * 60

StreamTokenQuery = Annotated[str | None, Query(description="From `stream-token`, instead of a key.")]
LastEventHeader = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=MAX_NUMBER)]
LastEventQuery = Annotated[int | None, Query(alias="last_event_id", ge=0, le=MAX_NUMBER)]


async def _position(last_event_id: LastEventHeader = None, last_event_query: LastEventQuery = None) -> int | None:
    return last_event_id if last_event_id is not None else last_event_query


Position = Annotated[int | None, Depends(_position)]
"""The number of the last event that the reader has; None: it has none. A browser that comes back sends the header
beside the address that it began with, so that the header holds."""
STREAM_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"example": "id: 4\nevent: job.progress\ndata: {...}\n\n"}}},
    204: {"description": "The job has ended and the reader has everything: a browser's EventSource stops."},
}


@declare_needs(Role.OPERATOR, Scope.READ, unless="a stream token opens its own job")
async def _by_key(
    request: Request,
    state: State,
    token: StreamTokenQuery = None,
    _bearer: Annotated[Any, Depends(bearer)] = None,
    _header: Annotated[Any, Depends(header_key)] = None,
) -> Principal | None:
    """Return the caller by a key; None: a stream token came instead, which is looked at with its job."""
    if token is not None:
        return None
    return await require(Role.OPERATOR, Scope.READ)(await authenticate(request, state))


StreamCaller = Annotated[Principal | None, Depends(_by_key)]


async def find_streamed_job(
    request: Request, state: AppState, job_id: UUID, caller: Principal | None, token: str | None
) -> JobRow:
    """Return the job that is read, by a key or by its stream token, which was given to who may see it.

    Raises:
        UnauthorizedError: The token is not valid.
        NotFoundError: The job is not there, or not to be seen.
    """
    if caller is not None:
        return await state.jobs.find(caller, job_id)
    organization = read_stream_token(state, token or "", job_id)
    note_caller(request.scope, organization=organization)
    await count_request(request, state, organization)
    return await state.jobs.load(organization, job_id)


def has_everything(job: JobRow, position: int | None) -> bool:
    """Return whether a reader has seen a job to its end; one without a position wants the whole of it."""
    return position is not None and job.state.final and position >= job.last_seq


def end_reconnects() -> Response:
    """Return the answer that ends the coming back: an EventSource takes any other for a broken connection."""
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def make_first_line() -> ServerSentEvent:
    """Return the line that says how soon a reader that was cut off comes back."""
    return ServerSentEvent(comment="stream", retry=RETRY_MILLISECONDS, sep="\n")


class _Held(EventSourceResponse):
    """A stream that is counted as long as it lasts."""

    lease: AbstractAsyncContextManager[None]

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        async with self.lease:
            await super().__call__(scope, receive, send)


def make_stream(state: AppState, job: JobRow, lines: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    """Return the answer that sends a job's lines."""
    return stream_lines(state, job.organization, lines)


def stream_lines(state: AppState, organization: str, lines: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    """Return the answer that sends an organization lines, with a comment in quiet times.

    429 where the organization has as many streams open as it may.
    """
    answer = _Held(
        lines,
        ping=COMMENT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="alive"),
        sep="\n",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    answer.lease = state.streams.held(organization)
    return answer
