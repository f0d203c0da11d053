"""The log of deliveries: what was sent to whom, what they answered, and sending it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from towpath.api.console.console import PART, PageVisitor, console_page, is_shown_on_page, load_reader
from towpath.api.console.delivery_views import STATE_WORDS, DeliveryLine, delivery_line
from towpath.api.console.failures import PageRoute
from towpath.api.console.rendering import render
from towpath.api.console.sign_in import require_local_path
from towpath.api.console.visitors import Visitor, read_form
from towpath.api.http.cursors import read_cursor, write_cursor
from towpath.api.http.state import AppState, State
from towpath.core.errors import TowpathError
from towpath.webhooks.types import DeliveryState

router = APIRouter(prefix="/console/deliveries", route_class=PageRoute, include_in_schema=False)
HERE = "/console/deliveries"
SHOWN = 50


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which part of the log is shown.

    Attributes:
        state: Only deliveries in this state.
        cursor: Behind which it begins; None: at the newest delivery.
        more: Behind which it goes on; None: this is its end.
    """

    state: DeliveryState | None
    cursor: str | None
    more: str | None

    def at(self, state: DeliveryState | None, cursor: str | None = None, *, part: bool = False) -> str:
        """Return the address of the log in some state, from behind a cursor on."""
        parameters = {"state": state, "cursor": cursor, PART: "1" if part else None}
        query = urlencode({name: value for name, value in parameters.items() if value})
        return f"{HERE}?{query}" if query else HERE


async def _load(
    state: AppState, visitor: Visitor, delivery_state: DeliveryState | None, cursor: str | None
) -> tuple[list[DeliveryLine], LogQuery]:
    page = await state.deliveries.list_page(
        visitor.caller,
        job_id=None,
        state=delivery_state,
        before=read_cursor(cursor) if cursor else None,
        limit=SHOWN,
        with_body=True,
        whole_urls=False,
    )
    more = None if page.next_before is None else write_cursor(page.next_before)
    return [delivery_line(delivery) for delivery in page.deliveries], LogQuery(delivery_state, cursor, more)


def _parse_state(text: str) -> DeliveryState | None:
    return DeliveryState(text) if text in set(DeliveryState) else None


@router.get("")
async def show(
    request: Request,
    state: State,
    visitor: PageVisitor,
    state_text: Annotated[str, Query(alias="state")] = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """The log, newest first."""
    lines, query = await _load(state, visitor, _parse_state(state_text), cursor or None)
    view: dict[str, Any] = {"query": query, "lines": lines, "words": STATE_WORDS}
    if PART in request.query_params:
        return HTMLResponse(render("deliveries_part.html", reader=await load_reader(state, visitor), **view))
    return await console_page(state, visitor, "deliveries.html", **view)


@router.post("/{delivery_id}/resend")
async def resend(request: Request, state: State, visitor: PageVisitor, delivery_id: UUID) -> Response:
    """Sends a delivery once more, and goes back to the page that the request came from."""
    form = await read_form(request)
    visitor.check(request, form)
    try:
        await state.deliveries.resend(visitor.caller, delivery_id)
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        lines, query = await _load(state, visitor, None, None)
        return await console_page(
            state, visitor, "deliveries.html", refused=refused, query=query, lines=lines, words=STATE_WORDS
        )  # fmt: skip
    return RedirectResponse(f"{require_local_path(form.get('back') or HERE)}#delivery-{delivery_id}", 303)
