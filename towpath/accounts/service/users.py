"""Users of an organization and invitations to it, as its owners manage them."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from uuid import UUID

from towpath.accounts.domain.policy import AccountAction, UserTarget, assert_may
from towpath.accounts.service import Accounts
from towpath.accounts.store import accounts as store
from towpath.accounts.store import auth, sessions
from towpath.accounts.store.tables import InvitationRow, UserRow
from towpath.accounts.types import (
    InvitationBody,
    InvitationCreated,
    Principal,
    ResetCreated,
    UserChange,
    UserView,
)
from towpath.core.errors import NotFoundError

INVITATION_DAYS = 7
RESET_PATH = "/password-reset"
INVITATION_PATH = "/invitation"


def user_view(user: UserRow) -> UserView:
    """Return a user as answers show them."""
    return UserView.model_validate(user, from_attributes=True)


async def get_user(accounts: Accounts, user_id: UUID) -> UserRow | None:
    """Return a user, also one who was removed."""
    return await auth.get_user(accounts.db, user_id)


async def list_users(accounts: Accounts, organization: str) -> Sequence[UserRow]:
    """Return all users of an organization, also those who are deactivated."""
    return await auth.list_users(accounts.db, organization)


async def change_user(accounts: Accounts, caller: Principal, user_id: UUID, body: UserChange) -> UserRow:
    """Change what a body names of a user.

    Raises:
        NotFoundError: No such user in the organization.
        ForbiddenError: The user or the new role is above the caller.
        ConflictError: The organization would be without an owner.
    """

    def check(user: UserRow) -> None:
        assert_may(caller, AccountAction.CHANGE_USER, UserTarget(user.id, user.role, body.role))

    user = await store.change_user(
        accounts.db, caller.organization, user_id, check, active=body.active, role=body.role
    )  # fmt: skip
    accounts.keys.clear()
    return user


async def remove_user(accounts: Accounts, caller: Principal, user_id: UUID) -> None:
    """Remove a user.

    Raises:
        NotFoundError: No such user in the organization.
        ForbiddenError: The user is above the caller.
        ConflictError: The organization would be without an owner.
    """

    def check(user: UserRow) -> None:
        assert_may(caller, AccountAction.REMOVE_USER, UserTarget(user.id, user.role))

    await store.remove_user(accounts.db, caller.organization, user_id, check)
    accounts.keys.clear()


async def end_user_sessions(accounts: Accounts, caller: Principal, user_id: UUID) -> None:
    """End all sign-ins of a user of the organization.

    Raises:
        NotFoundError: No such user in the organization.
        ForbiddenError: The user is above the caller.
    """
    user = await store.get_member(accounts.db, caller.organization, user_id)
    assert_may(caller, AccountAction.END_SESSIONS, UserTarget(user.id, user.role))
    await sessions.end_sessions(accounts.db, user_id)


async def issue_reset(accounts: Accounts, caller: Principal, user_id: UUID) -> ResetCreated:
    """Make a reset for the password of a user of the organization.

    Raises:
        NotFoundError: No such user in the organization.
        ForbiddenError: The user is above the caller.
    """
    user = await store.get_member(accounts.db, caller.organization, user_id)
    assert_may(caller, AccountAction.RESET_PASSWORD, UserTarget(user.id, user.role))
    token = secrets.token_hex(24)
    expires_at = await store.make_reset(accounts.db, user.id, token, by=caller.user_id or caller.key_id)
    return ResetCreated(token=token, email=user.email, expires_at=expires_at, path=RESET_PATH)


async def issue_invitation(accounts: Accounts, caller: Principal, body: InvitationBody) -> InvitationCreated:
    """Invite an address.

    Raises:
        ForbiddenError: The role is above the caller's.
    """
    assert_may(caller, AccountAction.INVITE, body.role)
    token = secrets.token_hex(24)
    invitation = await auth.invite(
        accounts.db,
        caller.organization,
        body.email,
        body.role,
        token,
        INVITATION_DAYS,
        by=caller.user_id or caller.key_id,
    )
    return InvitationCreated(
        id=invitation.id,
        invitation=token,
        email=invitation.email,
        role=invitation.role,
        expires_at=invitation.expires_at,
    )


async def list_invitations(accounts: Accounts, organization: str) -> list[InvitationRow]:
    """Return the invitations that can still be used, newest first."""
    return await store.list_invitations(accounts.db, organization)


async def revoke_invitation(accounts: Accounts, organization: str, invitation_id: UUID) -> None:
    """Make an invitation useless from now on.

    Raises:
        NotFoundError: No such invitation in the organization, or it was used.
    """
    await store.revoke_invitation(accounts.db, organization, invitation_id)


async def get_names(accounts: Accounts, organization: str, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return what users and keys are called, by their ids; one that is gone is left out."""
    names: dict[UUID, str] = {}
    for user_or_key_id in ids:
        user = await auth.get_user(accounts.db, user_or_key_id)
        if user is not None and user.organization == organization:
            names[user_or_key_id] = user.email
            continue
        try:
            key = await auth.get_key(accounts.db, organization, user_or_key_id)
        except NotFoundError:
            continue
        names[user_or_key_id] = f"the key {key.name}"
    return names
