"""The events of an index: what happens to its groups, as a stream or by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from towpath.api.http.auth import Reader
from towpath.api.http.responses import json_answer
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.http.streams import MAX_SECONDS, Position, make_first_line, stream_lines
from towpath.api.routes.indexes import Name
from towpath.core.values import MAX_NUMBER
from towpath.entities.group_types import IndexEventPage

EVENT_STREAM = "text/event-stream"
router = APIRouter(prefix="/v1/indexes", tags=["indexes"], route_class=ApiRoute)


@router.get(
    "/{indexName}/events",
    summary="What happens to the groups of an index, as a stream or by page",
    response_model=IndexEventPage,
    responses={200: {"content": {"text/event-stream": {"example": "id: 4\nevent: group.created\ndata: {...}\n\n"}}}},
)
async def get_index_events(
    request: Request,
    state: State,
    caller: Reader,
    index_name: Name,
    position: Position,
    after: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="Of a page: the event before its first.")] = 0,
    group_id: Annotated[
        str | None, Query(alias="groupId", min_length=1, max_length=64, description="Of a page: one group alone.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """A page as JSON; for who accepts `text/event-stream` a stream, from after `Last-Event-ID` or from the start.

    Every change of a group is one event. A stream lasts half an hour; come back with `Last-Event-ID`.
    """
    if EVENT_STREAM not in request.headers.get("accept", ""):
        page = await state.index_events.read_page(
            caller.organization, index_name, after=after, limit=limit, group_id=group_id
        )
        return json_answer(page.model_dump(mode="json", by_alias=True, exclude_none=True))
    await state.index_events.check(caller.organization, index_name)
    return stream_events(state, caller.organization, index_name, position or 0)


def stream_events(state: AppState, organization: str, index_name: str, after: int) -> EventSourceResponse:
    """Return the answer that sends the events of an index."""
    return stream_lines(state, organization, _lines(state, organization, index_name, after))


async def _lines(state: AppState, organization: str, index_name: str, after: int) -> AsyncIterator[ServerSentEvent]:
    yield make_first_line()
    followed = state.index_events.follow(state.events, organization, index_name, after=after, seconds=MAX_SECONDS)
    async for events in followed:
        for event in events:
            data = event.model_dump_json(by_alias=True, exclude_none=True)
            yield ServerSentEvent(id=str(event.seq), event=event.type, data=data, sep="\n")
