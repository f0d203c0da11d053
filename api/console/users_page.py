"""Users of the organization and invitations to it, for its owners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from towpath.accounts.store.accounts import list_invitations, revoke_invitation
from towpath.accounts.store.auth import list_users
from towpath.accounts.types import InvitationBody, Role, UserChange
from towpath.api.console.console import check_editor, console_page, owners_only, told_on_page
from towpath.api.console.failures import PageRoute
from towpath.api.console.keys_page import ROLE_WORDS
from towpath.api.console.visitors import Visitor, read_form
from towpath.api.http.links import public_base
from towpath.api.http.state import AppState, State
from towpath.api.routes.users import (
    INVITATION_PATH,
    change_user,
    end_user_sessions,
    issue_invitation,
    issue_reset,
    remove_user,
)
from towpath.core.errors import BadInputError, TowpathError
from towpath.db.tables import UserRow

router = APIRouter(prefix="/console/users", route_class=PageRoute, include_in_schema=False)
HERE = "/console/users"
OwnerVisitor = Annotated[
    Visitor, Depends(owners_only("users are seen and changed by owners of the organization only; ask one of them"))
]


@dataclass(frozen=True, slots=True)
class UserLine:
    """A user as the page shows them.

    Attributes:
        own: Whether it is the visitor.
        changeable: Whether the visitor may change them.
    """

    row: UserRow
    own: bool
    changeable: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown this once: a link for somebody, and whose it is."""

    title: str
    secret: str
    why: str


async def _page(
    state: AppState,
    visitor: Visitor,
    *,
    shown: Shown | None = None,
    typed: dict[str, str] | None = None,
    refused: TowpathError | None = None,
    code: int = 200,
) -> HTMLResponse:
    """The page.

    Args:
        shown: A link that was just made, the one time that it is shown.
        typed: What was sent with a form that was refused.
    """
    caller = visitor.caller
    lines = [
        UserLine(row, own=row.id == caller.user_id, changeable=caller.role.covers(row.role))
        for row in await list_users(state.db, caller.organization)
    ]
    view: dict[str, Any] = {
        "shown": shown,
        "typed": typed or {},
        "lines": sorted(lines, key=lambda line: not line.row.active),
        "invitations": await list_invitations(state.db, caller.organization),
        "roles": {role: words for role, words in ROLE_WORDS.items() if caller.role.covers(role)},
    }
    return await console_page(state, visitor, "users.html", refused=refused, code=code, **view)


@router.get("")
async def show(state: State, visitor: OwnerVisitor) -> Response:
    """All users, open invitations, and a form for another one."""
    return await _page(state, visitor)


@router.post("/invitations")
async def invite(request: Request, state: State, visitor: OwnerVisitor) -> Response:
    """Makes an invitation, whose link is on this page and nowhere else."""
    form = await read_form(request)
    check_editor(visitor, request, form, Role.OWNER)
    try:
        made = await issue_invitation(state, visitor.caller, _invitation(form))
    except TowpathError as refused:
        if not told_on_page(refused):
            raise
        return await _page(state, visitor, typed=form, refused=refused)
    shown = Shown(
        title=f"The invitation of {made.email}",
        secret=f"{public_base(request, state.settings)}{INVITATION_PATH}?token={made.invitation}",
        why="Send it to this person alone: it makes them a user, once, within seven days. It is not shown again.",
    )
    return await _page(state, visitor, shown=shown, code=201)


def _invitation(form: dict[str, str]) -> InvitationBody:
    try:
        return InvitationBody.model_validate({"email": form.get("email", ""), "role": form.get("role", Role.OPERATOR)})
    except ValidationError as error:
        raise BadInputError("this is no e-mail address, or the role is not one of those on the page") from error


@router.post("/invitations/{invitation_id}/revoke")
async def revoke(request: Request, state: State, visitor: OwnerVisitor, invitation_id: UUID) -> Response:
    """Makes an invitation useless."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    await revoke_invitation(state.db, visitor.caller.organization, invitation_id)
    return RedirectResponse(HERE, 303)


@router.post("/{user_id}/change")
async def change(request: Request, state: State, visitor: OwnerVisitor, user_id: UUID) -> Response:
    """Changes a user's role, or whether they are active."""
    form = await read_form(request)
    check_editor(visitor, request, form, Role.OWNER)
    try:
        await change_user(state, visitor.caller, user_id, _change(form))
    except TowpathError as refused:
        if not told_on_page(refused):
            raise
        return await _page(state, visitor, refused=refused)
    return RedirectResponse(HERE, 303)


def _change(form: dict[str, str]) -> UserChange:
    wanted: dict[str, object] = {}
    if "role" in form:
        wanted["role"] = form["role"]
    if "active" in form:
        wanted["active"] = form["active"] == "yes"
    try:
        return UserChange.model_validate(wanted)
    except ValidationError as error:
        raise BadInputError("the role is not one of those on the page", field="role") from error


@router.post("/{user_id}/logout")
async def logout(request: Request, state: State, visitor: OwnerVisitor, user_id: UUID) -> Response:
    """Ends all sessions of a user."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    await end_user_sessions(state, visitor.caller, user_id)
    return RedirectResponse(HERE, 303)


@router.post("/{user_id}/password-reset")
async def reset(request: Request, state: State, visitor: OwnerVisitor, user_id: UUID) -> Response:
    """Makes a reset, whose link is on this page and nowhere else."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    made = await issue_reset(state, visitor.caller, user_id)
    shown = Shown(
        title=f"A new password for {made.email}",
        secret=f"{public_base(request, state.settings)}{made.path}?token={made.token}",
        why="Send it to this person alone: it sets a new password, once, within 24 hours. It is not shown again.",
    )
    return await _page(state, visitor, shown=shown, code=201)


@router.post("/{user_id}/remove")
async def remove(request: Request, state: State, visitor: OwnerVisitor, user_id: UUID) -> Response:
    """Removes a user."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    try:
        await remove_user(state, visitor.caller, user_id)
    except TowpathError as refused:
        if not told_on_page(refused):
            raise
        return await _page(state, visitor, refused=refused)
    return RedirectResponse(HERE, 303)
