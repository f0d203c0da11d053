"""One's own account: password and sessions; and the pages behind the links of an invitation and of a reset."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from towpath.accounts.domain.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from towpath.accounts.domain.policy import is_person
from towpath.accounts.service import registration, sign_ins
from towpath.accounts.service.users import INVITATION_PATH, RESET_PATH, get_user
from towpath.accounts.types import PasswordChange, PasswordReset, RegisterBody
from towpath.api.console.console import PageVisitor, console_page, is_shown_on_page
from towpath.api.console.failures import PageRoute
from towpath.api.console.rendering import page, set_retry_after
from towpath.api.console.sign_in import describe_refusal
from towpath.api.console.visitors import Visitor, read_form, refuse_other_sites, send_origin_with_forms
from towpath.api.http.clients import get_client_address
from towpath.api.http.session_cookies import clear_session_cookies
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError, TowpathError

router = APIRouter(route_class=PageRoute, include_in_schema=False)
HERE = "/console/account"
LENGTH = f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS:,} characters"
Token = Annotated[str, Query()]


async def _page(
    state: AppState, visitor: Visitor, *, message: str = "", refused: TowpathError | None = None
) -> HTMLResponse:
    caller = visitor.caller
    user = None if caller.user_id is None or not is_person(caller) else await get_user(state.accounts, caller.user_id)
    return await console_page(
        state,
        visitor,
        "account.html",
        refused=refused,
        done=message,
        user=user,
        by_password=user is not None and caller.key_id is None,
    )


@router.get(HERE)
async def show(state: State, visitor: PageVisitor) -> Response:
    """Who is signed in, and what they may do about it."""
    return await _page(state, visitor)


@router.post(f"{HERE}/password")
async def change(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Changes the password of who is signed in; all other sessions end."""
    form = await read_form(request)
    visitor.check(request, form)
    try:
        _assert_twice(form)
        body = _body(form)
        await registration.change_own_password(
            state.accounts, visitor.caller, body, address=get_client_address(request)
        )
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, refused=_in_words(refused))
    return await _page(state, visitor, message="The password is changed. All other sessions have ended.")


def _body(form: dict[str, str]) -> PasswordChange:
    try:
        return PasswordChange(
            current_password=form.get("current_password", ""), new_password=form.get("password", "")
        )  # fmt: skip
    except ValidationError as error:
        raise BadInputError(LENGTH, field="password") from error


def _assert_twice(form: dict[str, str]) -> None:
    if form.get("password", "") != form.get("again", ""):
        raise BadInputError("the two passwords are not the same", field="again")


def _in_words(refused: TowpathError) -> TowpathError:
    """Return an error about a field without its name, which is that of the API."""
    if isinstance(refused, BadInputError) and refused.field:
        return BadInputError(refused.detail.removeprefix(f"{refused.field}: "), field=refused.field)
    return refused


@router.post(f"{HERE}/logout-everywhere")
async def logout_everywhere(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Ends all sessions of who is signed in, this one too."""
    visitor.check(request, await read_form(request))
    await sign_ins.sign_out_everywhere(state.accounts, visitor.caller)
    response = RedirectResponse("/sign-in", 303)
    clear_session_cookies(response)
    return response


def _new_password(
    *, token: str, invited: bool, email: str = "", is_set: bool = False, refused: TowpathError | None = None
) -> HTMLResponse:
    response = page(
        "new_password.html",
        code=200 if refused is None else refused.status,
        reader=None,
        action=INVITATION_PATH if invited else RESET_PATH,
        invited=invited,
        token=token,
        email=email,
        done=is_set,
        notice=None if refused is None else describe_refusal(_in_words(refused)),
    )
    set_retry_after(response, refused)
    send_origin_with_forms(response)
    return response


@router.get(RESET_PATH)
async def show_reset(token: Token = "") -> Response:
    """The form behind the link of a reset."""
    return _new_password(token=token, invited=False)


@router.post(RESET_PATH)
async def reset(request: Request, state: State) -> Response:
    """Sets the password that a reset was made for."""
    refuse_other_sites(request, state)
    form = await read_form(request)
    token = form.get("token", "").strip()
    try:
        _assert_twice(form)
        await registration.reset_password(state.accounts, _reset(token, form), address=get_client_address(request))
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return _new_password(token=token, invited=False, refused=refused)
    return _new_password(token="", invited=False, is_set=True)


def _reset(token: str, form: dict[str, str]) -> PasswordReset:
    try:
        return PasswordReset(token=token, password=form.get("password", ""))
    except ValidationError as error:
        raise BadInputError(f"the token of the link is needed, and {LENGTH}", field="password") from error


@router.get(INVITATION_PATH)
async def show_invitation(token: Token = "") -> Response:
    """The form behind the link of an invitation."""
    return _new_password(token=token, invited=True)


@router.post(INVITATION_PATH)
async def accept(request: Request, state: State) -> Response:
    """Makes the user whom an owner has invited."""
    refuse_other_sites(request, state)
    form = await read_form(request)
    token, email = form.get("token", "").strip(), form.get("email", "").strip()
    try:
        _assert_twice(form)
        await registration.register_user(
            state.accounts, _registration(token, email, form), address=get_client_address(request)
        )
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return _new_password(token=token, invited=True, email=email, refused=refused)
    return _new_password(token="", invited=True, is_set=True)


def _registration(token: str, email: str, form: dict[str, str]) -> RegisterBody:
    try:
        return RegisterBody(
            email=email, password=form.get("password", ""), organization="by invitation", invitation=token
        )  # fmt: skip
    except ValidationError as error:
        raise BadInputError(f"an e-mail address is needed, and {LENGTH}", field="email") from error
