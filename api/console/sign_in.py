"""The sign-in page: by e-mail and password, or by a key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from towpath.accounts.service import sign_ins
from towpath.accounts.types import Principal
from towpath.api.console.failures import PageRoute
from towpath.api.console.rendering import page, sentence, set_retry_after, span
from towpath.api.console.visitors import Visitor, read_form, read_visitor, refuse_other_sites, send_origin_with_forms
from towpath.api.http.auth import read_session_tokens
from towpath.api.http.clients import get_client_address
from towpath.api.http.session_cookies import clear_session_cookies, set_session_cookies
from towpath.api.http.state import AppState, State
from towpath.core.errors import ForbiddenError, LimitReachedError, TooManyError, TowpathError, UnauthorizedError

router = APIRouter(route_class=PageRoute, include_in_schema=False)
HOME = "/console"
"""Where a sign-in leads that came from nowhere."""


def require_local_path(path: str | None) -> str:
    """Return a path of this site to go on to; anything else leads home."""
    if not path or not path.startswith("/") or path.startswith("//"):
        return HOME
    # Browsers read a backslash as a slash, and leave out line ends and tabs.
    if "\\" in path or not path.isprintable():
        return HOME
    try:
        parts = urlsplit(path)
    except ValueError:
        return HOME
    return HOME if parts.scheme or parts.netloc else path


@router.get("/sign-in")
async def show(request: Request, state: State, next_path: Annotated[str, Query(alias="next")] = "") -> Response:
    """The form, or who is signed in."""
    try:
        visitor = await read_visitor(request, state)
    except (UnauthorizedError, ForbiddenError):
        return _form(require_local_path(next_path))
    if next_path:
        return RedirectResponse(require_local_path(next_path), 303)
    return page("sign_in.html", reader=visitor.reader, who=_who(visitor.caller))


def _form(
    next_path: str, *, status: int = 200, notice: str | None = None, email: str = "", by_key: bool = False
) -> HTMLResponse:
    response = page(
        "sign_in.html", code=status, reader=None, next=next_path, notice=notice, email=email, by_key=by_key
    )  # fmt: skip
    send_origin_with_forms(response)
    return response


def _who(caller: Principal) -> str:
    by = "with a key" if caller.key_id is not None else "as a user"
    return f"Signed in {by} of the organization {caller.organization}, in the role of {caller.role}."


@router.post("/sign-in")
async def sign_in(request: Request, state: State) -> Response:
    """Opens a session and goes on to where the visitor wanted to be."""
    refuse_other_sites(request, state)
    form = await read_form(request)
    next_path = require_local_path(form.get("next"))
    entered = RedirectResponse(next_path, 303)
    try:
        await _enter(request, state, form, entered)
    except (UnauthorizedError, TooManyError) as refused:
        answer = _form(
            next_path,
            status=refused.status,
            notice=describe_refusal(refused),
            email=form.get("email", ""),
            by_key="key" in form,
        )
        set_retry_after(answer, refused)
        return answer
    return entered


def describe_refusal(refused: TowpathError) -> str:
    """Return why an attempt was refused, for a person."""
    if isinstance(refused, LimitReachedError):
        return f"Too many attempts. Try again in {span(refused.retry_after or 1)}."
    return sentence(refused.detail)


async def _enter(request: Request, state: AppState, form: Mapping[str, str], entered: Response) -> None:
    accounts, address = state.accounts, get_client_address(request)
    if "key" in form:
        key = await sign_ins.verify_key(accounts, form["key"], address=address)
        sign_in = await sign_ins.sign_in_key(accounts, key)
    else:
        user = await sign_ins.verify_user(accounts, form.get("email", ""), form.get("password", ""), address=address)
        sign_in = await sign_ins.sign_in_user(accounts, user)
    set_session_cookies(state, entered, sign_in)


@router.post("/sign-out")
async def sign_out(request: Request, state: State) -> Response:
    """Ends the session: its cookie and its token are not taken any more."""
    response = RedirectResponse("/sign-in", 303)
    try:
        visitor: Visitor | None = await read_visitor(request, state)
    except (UnauthorizedError, ForbiddenError):
        visitor = None
    if visitor is not None:
        visitor.check_origin(request, await read_form(request))
        await sign_ins.sign_out(state.accounts, read_session_tokens(request))
    clear_session_cookies(response)
    return response
