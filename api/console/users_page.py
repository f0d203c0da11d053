"""Users of the organization and invitations to it, for its owners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from towpath.accounts.service import users
from towpath.accounts.store.tables import UserRow
from towpath.accounts.types import InvitationBody, Role, UserChange
from towpath.api.console.console import check_editor, console_page, is_shown_on_page, owners_only
from towpath.api.console.failures import PageRoute
from towpath.api.console.keys_page import ROLE_WORDS
from towpath.api.console.visitors import Visitor, read_form
from towpath.api.http.links import public_base
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError, TowpathError

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
class OneTimeLink:
    """What is shown this once: a link for somebody, and whose it is."""

    title: str
    secret: str
    why: str


async def _page(
    state: AppState,
    visitor: Visitor,
    *,
    link: OneTimeLink | None = None,
    typed: dict[str, str] | None = None,
    refused: TowpathError | None = None,
    code: int = 200,
) -> HTMLResponse:
    """Return the page.

    Args:
        link: A link that was just made, the one time that it is shown.
        typed: What was sent with a form that was refused.
    """
    caller = visitor.caller
    lines = [
        UserLine(row, own=row.id == caller.user_id, changeable=caller.role.covers(row.role))
        for row in await users.list_users(state.accounts, caller.organization)
    ]
    view: dict[str, Any] = {
        "shown": link,
        "typed": typed or {},
        "lines": sorted(lines, key=lambda line: not line.row.active),
        "invitations": await users.list_invitations(state.accounts, caller.organization),
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
        invitation = await users.issue_invitation(state.accounts, visitor.caller, _invitation(form))
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, typed=form, refused=refused)
    link = OneTimeLink(
        title=f"The invitation of {invitation.email}",
        secret=f"{public_base(request, state.settings)}{users.INVITATION_PATH}?token={invitation.invitation}",
        why="Send it to this person alone: it makes them a user, once, within seven days. It is not shown again.",
    )
    return await _page(state, visitor, link=link, code=201)


def _invitation(form: dict[str, str]) -> InvitationBody:
    try:
        return InvitationBody.model_validate({"email": form.get("email", ""), "role": form.get("role", Role.OPERATOR)})
    except ValidationError as error:
        raise BadInputError("this is no e-mail address, or the role is not one of those on the page") from error


@router.post("/invitations/{invitation_id}/revoke")
async def revoke(request: Request, state: State, visitor: OwnerVisitor, invitation_id: UUID) -> Response:
    """Makes an invitation useless."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    await users.revoke_invitation(state.accounts, visitor.caller.organization, invitation_id)
    return RedirectResponse(HERE, 303)


@router.post("/{user_id}/change")
async def change(request: Request, state: State, visitor: OwnerVisitor, user_id: UUID) -> Response:
    """Changes a user's role, or whether they are active."""
    form = await read_form(request)
    check_editor(visitor, request, form, Role.OWNER)
    try:
        await users.change_user(state.accounts, visitor.caller, user_id, _change(form))
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, refused=refused)
    return RedirectResponse(HERE, 303)


def _change(form: dict[str, str]) -> UserChange:
    changes: dict[str, object] = {}
    if "role" in form:
        changes["role"] = form["role"]
    if "active" in form:
        changes["active"] = form["active"] == "yes"
    try:
        return UserChange.model_validate(changes)
    except ValidationError as error:
        raise BadInputError("the role is not one of those on the page", field="role") from error


@router.post("/{user_id}/logout")
async def logout(request: Request, state: State, visitor: OwnerVisitor, user_id: UUID) -> Response:
    """Ends all sessions of a user."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    await users.end_user_sessions(state.accounts, visitor.caller, user_id)
    return RedirectResponse(HERE, 303)


@router.post("/{user_id}/password-reset")
async def reset(request: Request, state: State, visitor: OwnerVisitor, user_id: UUID) -> Response:
    """Makes a reset, whose link is on this page and nowhere else."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    grant = await users.issue_reset(state.accounts, visitor.caller, user_id)
    link = OneTimeLink(
        title=f"A new password for {grant.email}",
        secret=f"{public_base(request, state.settings)}{grant.path}?token={grant.token}",
        why="Send it to this person alone: it sets a new password, once, within 24 hours. It is not shown again.",
    )
    return await _page(state, visitor, link=link, code=201)


@router.post("/{user_id}/remove")
async def remove(request: Request, state: State, visitor: OwnerVisitor, user_id: UUID) -> Response:
    """Removes a user."""
    check_editor(visitor, request, await read_form(request), Role.OWNER)
    try:
        await users.remove_user(state.accounts, visitor.caller, user_id)
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, refused=refused)
    return RedirectResponse(HERE, 303)
