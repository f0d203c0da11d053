"""Users of an organization and invitations to it, for its owners."""

from __future__ import annotations

import secrets
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response, status

from towpath.accounts.domain.policy import AccountAction, UserTarget, assert_may
from towpath.accounts.store import accounts, sessions
from towpath.accounts.store import auth as store
from towpath.accounts.types import (
    InvitationBody,
    InvitationCreated,
    InvitationView,
    Principal,
    ResetCreated,
    UserChange,
    UserView,
)
from towpath.api.http.auth import Owner
from towpath.api.http.idempotency import IdempotencyKey, digest_of, once, slot_of
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.api.routes.auth import user_view
from towpath.core.errors import BadInputError
from towpath.db.tables import InvitationRow, UserRow

router = APIRouter(prefix="/api/auth", tags=["auth"], route_class=ApiRoute)
INVITATION_DAYS = 7
RESET_PATH = "/password-reset"
INVITATION_PATH = "/invitation"


@router.get("/users", summary="Users of the organisation")
async def users(state: State, caller: Owner) -> list[UserView]:
    """Everyone who belongs to it, also who is deactivated."""
    return [user_view(user) for user in await store.list_users(state.db, caller.organization)]


@router.patch("/users/{user_id}", summary="Deactivate a user, or change their role")
async def patch_user(state: State, caller: Owner, user_id: UUID, body: UserChange) -> UserView:
    """Who is deactivated cannot sign in, loses all sessions, and has personal keys refused until they are active again.

    Nobody changes a user of a higher role, or gives one above their own; the last owner stays one (409).
    """
    if not body.model_fields_set:
        raise BadInputError("name what is to be changed: active or role")
    return user_view(await change_user(state, caller, user_id, body))


async def change_user(state: AppState, caller: Principal, user_id: UUID, body: UserChange) -> UserRow:
    """Change what a body names of a user.

    Raises:
        NotFound: No such user in the organization.
        Forbidden: The user or the new role is above the caller.
        Conflict: The organization would be without an owner.
    """

    def check(user: UserRow) -> None:
        assert_may(caller, AccountAction.CHANGE_USER, UserTarget(user.id, user.role, body.role))

    user = await accounts.change_user(
        state.db, caller.organization, user_id, check, active=body.active, role=body.role
    )  # fmt: skip
    state.keys.forget()
    return user


@router.delete("/users/{user_id}", summary="Remove a user", status_code=status.HTTP_204_NO_CONTENT)
async def delete_user(state: State, caller: Owner, user_id: UUID) -> None:
    """Ends their sessions, revokes their personal keys; what they asked and decided stays. Not the last owner (409)."""
    await remove_user(state, caller, user_id)


async def remove_user(state: AppState, caller: Principal, user_id: UUID) -> None:
    """Remove a user.

    Raises:
        NotFound: No such user in the organization.
        Forbidden: The user is above the caller.
        Conflict: The organization would be without an owner.
    """

    def check(user: UserRow) -> None:
        assert_may(caller, AccountAction.REMOVE_USER, UserTarget(user.id, user.role))

    await accounts.remove_user(state.db, caller.organization, user_id, check)
    state.keys.forget()


@router.post("/users/{user_id}/logout", summary="End a user's sessions", status_code=status.HTTP_204_NO_CONTENT)
async def logout_user(state: State, caller: Owner, user_id: UUID) -> None:
    """Ends all sign-ins of a user; their password and personal keys stay."""
    await end_user_sessions(state, caller, user_id)


async def end_user_sessions(state: AppState, caller: Principal, user_id: UUID) -> None:
    """End all sign-ins of a user of the organization.

    Raises:
        NotFound: No such user in the organization.
        Forbidden: The user is above the caller.
    """
    user = await accounts.get_member(state.db, caller.organization, user_id)
    assert_may(caller, AccountAction.END_SESSIONS, UserTarget(user.id, user.role))
    await sessions.end_sessions(state.db, user_id)


@router.post(
    "/users/{user_id}/password-reset",
    summary="Make a reset for a user's password",
    status_code=status.HTTP_201_CREATED,
    response_model=ResetCreated,
)
async def create_reset(
    request: Request, state: State, caller: Owner, user_id: UUID, idempotency_key: IdempotencyKey = None
) -> Response:
    """Shows a token once, to be handed to the user: it sets a new password, within 24 hours, once. No mail is sent.

    Until then the present password holds. An earlier reset of the user is void.
    """

    async def add(inside: AppState) -> dict[str, Any]:
        return (await issue_reset(inside, caller, user_id)).model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    return await once(state, slot, b"", add, status=201, secret="token")


async def issue_reset(state: AppState, caller: Principal, user_id: UUID) -> ResetCreated:
    """Make a reset for the password of a user of the organization.

    Raises:
        NotFound: No such user in the organization.
        Forbidden: The user is above the caller.
    """
    user = await accounts.get_member(state.db, caller.organization, user_id)
    assert_may(caller, AccountAction.RESET_PASSWORD, UserTarget(user.id, user.role))
    token = secrets.token_hex(24)
    ends = await accounts.make_reset(state.db, user.id, token, by=caller.user_id or caller.key_id)
    return ResetCreated(token=token, email=user.email, expires_at=ends, path=RESET_PATH)


@router.post(
    "/invitations",
    summary="Invite someone",
    status_code=status.HTTP_201_CREATED,
    response_model=InvitationCreated,
)
async def invite(
    request: Request, state: State, caller: Owner, body: InvitationBody, idempotency_key: IdempotencyKey = None
) -> Response:
    """Shows the invitation once; it is good for seven days and one address."""

    async def add(inside: AppState) -> dict[str, Any]:
        return (await issue_invitation(inside, caller, body)).model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    return await once(state, slot, digest_of(body), add, status=201, secret="invitation")


async def issue_invitation(state: AppState, caller: Principal, body: InvitationBody) -> InvitationCreated:
    """Invite an address.

    Raises:
        Forbidden: The role is above the caller's.
    """
    assert_may(caller, AccountAction.INVITE, body.role)
    token = secrets.token_hex(24)
    row = await store.invite(
        state.db,
        caller.organization,
        body.email,
        body.role,
        token,
        INVITATION_DAYS,
        by=caller.user_id or caller.key_id,
    )
    return InvitationCreated(
        id=row.id, invitation=token, email=row.email, role=row.role, expires_at=row.expires_at
    )  # fmt: skip


@router.get("/invitations", summary="Open invitations")
async def invitations(state: State, caller: Owner) -> list[InvitationView]:
    """Those that can still be used, newest first, without their secrets."""
    rows = await accounts.list_invitations(state.db, caller.organization)
    return [_invitation(row) for row in rows]


def _invitation(row: InvitationRow) -> InvitationView:
    return InvitationView.model_validate(row, from_attributes=True)


@router.delete("/invitations/{invitation_id}", summary="Revoke an invitation", status_code=status.HTTP_204_NO_CONTENT)
async def delete_invitation(state: State, caller: Owner, invitation_id: UUID) -> None:
    """It is refused from now on. One that was used is not found: it is a user by now."""
    await accounts.revoke_invitation(state.db, caller.organization, invitation_id)
