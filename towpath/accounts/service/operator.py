"""What the command line does to accounts: whoever has the database is above everyone in it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from towpath.accounts.domain.keys import KEY_BYTES, make_key
from towpath.accounts.domain.policy import AccountAction, UserTarget, assert_may
from towpath.accounts.limits import LimitName
from towpath.accounts.store import accounts as store
from towpath.accounts.store import auth, usage
from towpath.accounts.store.tables import ApiKeyRow, UserRow
from towpath.accounts.types import KeyKind, Principal, Role, Scope
from towpath.core.errors import ConflictError, NotFoundError
from towpath.db.engine import Database


async def ensure_bootstrap_key(database: Database, key: str) -> None:
    """Create the default organization and its first key unless they exist; several processes may do so at once."""
    await auth.ensure_bootstrap_key(database, key)


async def create_key(
    database: Database, organization: str, *, name: str, role: Role, scopes: Sequence[Scope], days: int | None
) -> str:
    """Make an organization key.

    Args:
        database: The database.
        organization: Whose key.
        name: What it is for.
        role: What it may do.
        scopes: What it was made for.
        days: How long it is valid; None: for ever.

    Returns:
        The key itself, of which only a hash is stored.
    """
    secret = make_key(secrets.token_bytes(KEY_BYTES))
    key = auth.new_key(
        organization,
        name=name,
        kind=KeyKind.ORGANIZATION,
        role=role,
        scopes=scopes,
        user_id=None,
        expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
    )
    await auth.add_key(database, secret, key)
    return secret


async def list_keys(database: Database, organization: str) -> list[ApiKeyRow]:
    """Return all keys of an organization, newest first."""
    return await auth.list_keys(database, organization)


async def revoke_key(database: Database, organization: str, key_id: UUID, *, children: bool) -> list[UUID]:
    """Revoke a key, with those that it has made or without.

    Returns:
        All that were valid until now.

    Raises:
        NotFoundError: No such key in the organization.
    """
    return await auth.revoke_key(database, organization, key_id, children=children)


async def list_users(database: Database, organization: str) -> Sequence[UserRow]:
    """Return all users of an organization, also those who are deactivated."""
    return await auth.list_users(database, organization)


async def set_user_active(database: Database, email: str, *, active: bool) -> None:
    """Let a user in again, or end their sessions and let them in no more.

    Raises:
        NotFoundError: No such user.
        ConflictError: The organization would be without an owner.
    """
    user = await _find_user(database, email)

    def check(row: UserRow) -> None:
        assert_may(_operator_of(row.organization), AccountAction.CHANGE_USER, UserTarget(row.id, row.role))

    await store.change_user(database, user.organization, user.id, check, active=active)


async def issue_reset(database: Database, email: str) -> str:
    """Make a reset for a user's password, valid for 24 hours.

    Returns:
        Its token, of which only a hash is stored.

    Raises:
        NotFoundError: No such user.
        ConflictError: The user is deactivated.
    """
    user = await _find_user(database, email)
    if not user.may_enter:
        raise ConflictError(f"{email} is deactivated; `towpath users activate` first")
    assert_may(_operator_of(user.organization), AccountAction.RESET_PASSWORD, UserTarget(user.id, user.role))
    token = secrets.token_hex(24)
    await store.make_reset(database, user.id, token, by=None)
    return token


async def set_limits(
    database: Database, organization: str, changes: dict[LimitName, int | None]
) -> dict[LimitName, int]:  # fmt: skip
    """Change limits of an organization; None: as the settings say again.

    Returns:
        All limits that are its own.
    """
    await usage.set_limits(database, organization, changes)
    return dict(await usage.get_own_limits(database, organization))


def _operator_of(organization: str) -> Principal:
    return Principal(organization=organization, kind=KeyKind.ORGANIZATION, role=Role.ADMIN, scopes=frozenset(Scope))


async def _find_user(database: Database, email: str) -> UserRow:
    user = await auth.find_user(database, email)
    if user is None:
        raise NotFoundError(f"no user {email}")
    return user
