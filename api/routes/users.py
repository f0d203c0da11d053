"""Users of an organization and invitations to it, for its owners."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response, status

from towpath.accounts.service import users as service
from towpath.accounts.types import (
    InvitationBody,
    InvitationCreated,
    InvitationView,
    ResetCreated,
    UserChange,
    UserView,
)
from towpath.api.http.auth import Owner
from towpath.api.http.idempotency import IdempotencyKey, digest_of, respond_once, slot_of
from towpath.api.http.routing import ApiRoute
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError

router = APIRouter(prefix="/api/auth", tags=["auth"], route_class=ApiRoute)


@router.get("/users", summary="Users of the organisation")
async def users(state: State, caller: Owner) -> list[UserView]:
    """Everyone who belongs to it, also who is deactivated."""
    return [service.user_view(user) for user in await service.list_users(state.accounts, caller.organization)]


@router.patch("/users/{user_id}", summary="Deactivate a user, or change their role")
async def patch_user(state: State, caller: Owner, user_id: UUID, body: UserChange) -> UserView:
    """Who is deactivated cannot sign in, loses all sessions, and has personal keys refused until they are active again.

    Nobody changes a user of a higher role, or gives one above their own; the last owner stays one (409).
    """
    if not body.model_fields_set:
        raise BadInputError("name what is to be changed: active or role")
    return service.user_view(await service.change_user(state.accounts, caller, user_id, body))


@router.delete("/users/{user_id}", summary="Remove a user", status_code=status.HTTP_204_NO_CONTENT)
async def delete_user(state: State, caller: Owner, user_id: UUID) -> None:
    """Ends their sessions, revokes their personal keys; what they asked and decided stays. Not the last owner (409)."""
    await service.remove_user(state.accounts, caller, user_id)


@router.post("/users/{user_id}/logout", summary="End a user's sessions", status_code=status.HTTP_204_NO_CONTENT)
async def logout_user(state: State, caller: Owner, user_id: UUID) -> None:
    """Ends all sign-ins of a user; their password and personal keys stay."""
    await service.end_user_sessions(state.accounts, caller, user_id)


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
        return (await service.issue_reset(inside.accounts, caller, user_id)).model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    return await respond_once(state, slot, b"", add, status=201, secret="token")


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
        return (await service.issue_invitation(inside.accounts, caller, body)).model_dump(mode="json", by_alias=True)

    slot = slot_of(request, caller, idempotency_key)
    return await respond_once(state, slot, digest_of(body), add, status=201, secret="invitation")


@router.get("/invitations", summary="Open invitations")
async def invitations(state: State, caller: Owner) -> list[InvitationView]:
    """Those that can still be used, newest first, without their secrets."""
    open_invitations = await service.list_invitations(state.accounts, caller.organization)
    return [InvitationView.model_validate(invitation, from_attributes=True) for invitation in open_invitations]


@router.delete("/invitations/{invitation_id}", summary="Revoke an invitation", status_code=status.HTTP_204_NO_CONTENT)
async def delete_invitation(state: State, caller: Owner, invitation_id: UUID) -> None:
    """It is refused from now on. One that was used is not found: it is a user by now."""
    await service.revoke_invitation(state.accounts, caller.organization, invitation_id)
