"""What every event stream shares: who may read it, how it begins, its comments, how long a connection lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.auth import authenticate, require, stream_organization
from api.requests import note_caller
from api.routes.jobs import seen_job
from api.state import AppState
from contracts.auth import Role, Scope

RETRY_MILLISECONDS = 3000
COMMENT_SECONDS = 15
LONGEST_SECONDS = 30 * 60

StreamTokenQuery = Annotated[str | None, Query(description="From `stream-token`, instead of a key.")]
LastEventHeader = Annotated[int | None, Header(alias="Last-Event-ID", ge=0)]
LastEventQuery = Annotated[int | None, Query(alias="last_event_id", ge=0)]


async def stream_reader(request: Request, state: AppState, job_id: UUID, token: str | None) -> str:
    """The organisation that reads, by a key or by the job's stream token.

    Raises:
        Unauthorized: Neither is valid.
    """
    if token is not None:
        organization = stream_organization(state, token, job_id)
        note_caller(request.scope, organization=organization)
        return organization
    caller = await require(Role.OPERATOR, Scope.READ)(await authenticate(request, state))
    await seen_job(state, caller, job_id)
    return caller.organization


def first_line() -> ServerSentEvent:
    """Tells how soon a reader that was cut off comes back."""
    return ServerSentEvent(comment="stream", retry=RETRY_MILLISECONDS, sep="\n")


def stream(lines: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    """The answer that sends the lines, with a comment in quiet times."""
    return EventSourceResponse(
        lines,
        ping=COMMENT_SECONDS,
        ping_message_factory=lambda: ServerSentEvent(comment="alive"),
        sep="\n",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
