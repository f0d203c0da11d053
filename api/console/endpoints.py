"""Registered endpoints: where the events of all jobs are sent."""

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
from towpath.core.errors import BadInputError, TowpathError
from towpath.webhooks.types import EndpointBody, EndpointView, WebhookEvent

router = APIRouter(prefix="/console/receivers", route_class=PageRoute, include_in_schema=False)
EVENT_WORDS: dict[WebhookEvent, str] = {
    WebhookEvent.COMPLETE: "a job has completed",
    WebhookEvent.FAILED: "a job has failed",
    WebhookEvent.CANCELLED: "a job was cancelled",
    WebhookEvent.REVIEW: "a result waits for its review",
}
"""What a registered endpoint can subscribe to; progress goes to the endpoints of single jobs alone, and an error is a
failure."""


async def _page(
    state: AppState,
    visitor: Visitor,
    *,
    changed: EndpointView | None = None,
    typed: str = "",
    chosen: Sequence[str] = tuple(EVENT_WORDS),
    refused: TowpathError | None = None,
    code: int = 200,
) -> HTMLResponse:
    """Return the page.

    Args:
        state: The parts that pages use.
        visitor: Who looks.
        changed: What was just registered or changed, with its secret.
        typed: A URL that was refused, so that it is not lost.
        chosen: The events of it.
        refused: Why.
        code: The status.
    """
    view: dict[str, Any] = {
        "rows": await state.endpoints.list_all(visitor.caller),
        "changed": changed,
        "typed": typed,
        "chosen": set(chosen),
        "words": EVENT_WORDS,
    }
    return await console_page(state, visitor, "endpoints.html", refused=refused, code=code, **view)


@router.get("")
async def show(state: State, visitor: PageVisitor) -> Response:
    """All endpoints, and a form for another one."""
    return await _page(state, visitor)


@router.post("")
async def add(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Registers an endpoint; its secret is on this page and nowhere else."""
    pairs = await read_pairs(request)
    form, chosen = dict(pairs), [value for name, value in pairs if name == "event"]
    check_editor(visitor, request, form)
    url = form.get("url", "").strip()
    try:
        endpoint = await state.endpoints.add(visitor.caller, _body(url, chosen, form.get("secret", "").strip()))
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, typed=url, chosen=chosen, refused=refused)
    return await _page(state, visitor, changed=endpoint, code=201)


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
    """Gives an endpoint a new secret, which is on this page and nowhere else."""
    check_editor(visitor, request, await read_form(request))
    return await _page(state, visitor, changed=await state.endpoints.rotate_secret(visitor.caller, webhook_id))


@router.post("/{webhook_id}/forget")
async def delete(request: Request, state: State, visitor: PageVisitor, webhook_id: UUID) -> Response:
    """Deletes an endpoint."""
    check_editor(visitor, request, await read_form(request))
    await state.endpoints.delete(visitor.caller, webhook_id)
    return RedirectResponse("/console/receivers", 303)
