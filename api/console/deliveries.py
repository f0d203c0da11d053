"""The log of notices: what was sent to whom, what they answered, and sending it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from towpath.api.console.console import PART, PageVisitor, console_page, reader_of, told_on_page
from towpath.api.console.delivery_views import STATE_WORDS, delivery_line
from towpath.api.console.failures import PageRoute
from towpath.api.console.rendering import render
from towpath.api.console.sign_in import local_path
from towpath.api.console.visitors import Visitor, read_form
from towpath.api.http.cursors import read_cursor, write_cursor
from towpath.api.http.state import AppState, State
from towpath.api.routes.webhooks import send_again
from towpath.core.errors import TowpathError
from towpath.webhooks.store.deliveries import Delivery, list_deliveries
from towpath.webhooks.types import DeliveryState

router = APIRouter(prefix="/console/deliveries", route_class=PageRoute, include_in_schema=False)
HERE = "/console/deliveries"
SHOWN = 50


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What the log was asked for.

    Attributes:
        cursor: Behind which it begins; None: at the newest notice.
        more: Behind which it goes on; None: this is its end.
    """

    state: DeliveryState | None
    cursor: str | None
    more: str | None

    def at(self, state: DeliveryState | None, cursor: str | None = None, *, part: bool = False) -> str:
        """The address of the log in some state, from behind a cursor on."""
        told = {"state": state, "cursor": cursor, PART: "1" if part else None}
        query = urlencode({name: value for name, value in told.items() if value})
        return f"{HERE}?{query}" if query else HERE


async def _read(
    state: AppState, visitor: Visitor, wanted: DeliveryState | None, cursor: str | None
) -> tuple[list[Delivery], LogQuery]:
    rows = await list_deliveries(
        state.db,
        visitor.caller.organization,
        job_id=None,
        state=wanted,
        seer=visitor.user_id,
        before=read_cursor(cursor) if cursor else None,
        limit=SHOWN + 1,
    )
    more = write_cursor((rows[SHOWN - 1].created_at, rows[SHOWN - 1].id)) if len(rows) > SHOWN else None
    return rows[:SHOWN], LogQuery(wanted, cursor, more)


def _word(given: str) -> DeliveryState | None:
    return DeliveryState(given) if given in set(DeliveryState) else None


@router.get("")
async def show(
    request: Request,
    state: State,
    visitor: PageVisitor,
    wanted: Annotated[str, Query(alias="state")] = "",
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """The log, newest first."""
    rows, query = await _read(state, visitor, _word(wanted), cursor or None)
    view: dict[str, Any] = {"query": query, "lines": [delivery_line(row) for row in rows], "words": STATE_WORDS}
    if PART in request.query_params:
        return HTMLResponse(render("deliveries_part.html", reader=await reader_of(state, visitor), **view))
    return await console_page(state, visitor, "deliveries.html", **view)


@router.post("/{delivery_id}/resend")
async def resend(request: Request, state: State, visitor: PageVisitor, delivery_id: UUID) -> Response:
    """Sends a notice once more, and goes back to where that was asked for."""
    form = await read_form(request)
    visitor.check(request, form)
    try:
        await send_again(state, visitor.caller, delivery_id)
    except TowpathError as refused:
        if not told_on_page(refused):
            raise
        rows, query = await _read(state, visitor, None, None)
        lines = [delivery_line(row) for row in rows]
        return await console_page(
            state, visitor, "deliveries.html", refused=refused, query=query, lines=lines, words=STATE_WORDS
        )  # fmt: skip
    return RedirectResponse(f"{local_path(form.get('back') or HERE)}#delivery-{delivery_id}", 303)
