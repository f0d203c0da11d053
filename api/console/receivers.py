"""Registered receivers: who is told of the end of all jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from towpath.api.console.console import PageVisitor, check_editor, console_page, is_shown_on_page
from towpath.api.console.failures import PageRoute
from towpath.api.console.visitors import Visitor, read_form, read_pairs
from towpath.api.http.state import AppState, State
from towpath.api.routes.webhooks import address_of, register
from towpath.api.routes.webhooks import forget as forget_receiver
from towpath.api.routes.webhooks import rotate_secret as rotate_receiver
from towpath.core.errors import BadInputError, TowpathError
from towpath.webhooks.store.endpoints import list_endpoints
from towpath.webhooks.types import EndpointBody, EndpointView, WebhookEvent

router = APIRouter(prefix="/console/receivers", route_class=PageRoute, include_in_schema=False)
EVENT_WORDS: dict[WebhookEvent, str] = {
    WebhookEvent.COMPLETE: "a job has completed",
    WebhookEvent.FAILED: "a job has failed",
    WebhookEvent.CANCELLED: "a job was cancelled",
    WebhookEvent.REVIEW: "a result waits for its review",
}
"""What a receiver can be told; progress goes to the targets of single jobs alone, and an error is a failure."""


async def _page(
    state: AppState,
    visitor: Visitor,
    *,
    made: EndpointView | None = None,
    typed: str = "",
    chosen: Sequence[str] = tuple(EVENT_WORDS),
    refused: TowpathError | None = None,
    code: int = 200,
) -> HTMLResponse:
    """The page.

    Args:
        made: What was just made or changed, with its secret.
        typed: A URL that was refused, so that it is not lost.
        chosen: The events of it.
    """
    rows = await list_endpoints(state.db, visitor.caller.organization)
    urls = {row.id: address_of(state, visitor.caller, row.url) for row in rows}
    view: dict[str, Any] = {
        "rows": rows,
        "urls": urls,
        "made": made,
        "typed": typed,
        "chosen": set(chosen),
        "words": EVENT_WORDS,
    }
    return await console_page(state, visitor, "receivers.html", refused=refused, code=code, **view)


@router.get("")
async def show(state: State, visitor: PageVisitor) -> Response:
    """All receivers, and a form for another one."""
    return await _page(state, visitor)


@router.post("")
async def add(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Registers a receiver; its secret is on this page and nowhere else."""
    pairs = await read_pairs(request)
    form, chosen = dict(pairs), [value for name, value in pairs if name == "event"]
    check_editor(visitor, request, form)
    url = form.get("url", "").strip()
    try:
        answer = await register(state, visitor.caller, _body(url, chosen, form.get("secret", "").strip()))
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, typed=url, chosen=chosen, refused=refused)
    return await _page(state, visitor, made=EndpointView.model_validate_json(bytes(answer.body)), code=201)


def _body(url: str, chosen: Sequence[str], secret: str) -> EndpointBody:
    if not url:
        raise BadInputError("say where the notices go", field="url")
    if not chosen:
        raise BadInputError("choose at least one event", field="event")
    try:
        return EndpointBody.model_validate({"url": url, "events": chosen, "secret": secret or None})
    except ValidationError as error:
        raise BadInputError("the address, the secret or an event is not one that can be used") from error


@router.post("/{webhook_id}/rotate")
async def rotate(request: Request, state: State, visitor: PageVisitor, webhook_id: UUID) -> Response:
    """Gives a receiver a new secret, which is on this page and nowhere else."""
    check_editor(visitor, request, await read_form(request))
    return await _page(state, visitor, made=await rotate_receiver(state, visitor.caller, webhook_id))


@router.post("/{webhook_id}/forget")
async def forget(request: Request, state: State, visitor: PageVisitor, webhook_id: UUID) -> Response:
    """Forgets a receiver."""
    check_editor(visitor, request, await read_form(request))
    await forget_receiver(state, visitor.caller, webhook_id)
    return RedirectResponse("/console/receivers", 303)
