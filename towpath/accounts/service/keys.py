"""API keys: making, changing, rotating and revoking them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from towpath.accounts.domain.keys import KEY_BYTES, make_key
from towpath.accounts.domain.policy import AccountAction, KeyTarget, assert_may
from towpath.accounts.service import Accounts
from towpath.accounts.store import accounts as users
from towpath.accounts.store import auth as store
from towpath.accounts.store.tables import ApiKeyRow
from towpath.accounts.types import ApiKeyBody, ApiKeyCreated, ApiKeyView, KeyKind, Principal, Scope
from towpath.core.errors import BadInputError


def key_view(key: ApiKeyRow) -> ApiKeyView:
    """Return a key as answers show it, without its secret."""
    return ApiKeyView.model_validate(key, from_attributes=True)


async def list_keys(accounts: Accounts, organization: str) -> list[ApiKeyRow]:
    """Return all keys of an organization, newest first."""
    return await store.list_keys(accounts.db, organization)


async def get_key(accounts: Accounts, organization: str, key_id: UUID) -> ApiKeyRow:
    """Return one key.

    Raises:
        NotFoundError: No such key in the organization.
    """
    return await store.get_key(accounts.db, organization, key_id)


async def issue_key(accounts: Accounts, caller: Principal, body: ApiKeyBody) -> ApiKeyCreated:
    """Make a key.

    Raises:
        ForbiddenError: It could do more than its maker, or for longer.
        BadInputError: It has ended already.
        NotFoundError: The user whom it names is not one of the organization.
    """
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise BadInputError("expiresAt has passed", field="expiresAt")
    is_personal = body.kind is KeyKind.PERSONAL
    if is_personal and caller.user_id is None:
        raise BadInputError("a personal key is made by a signed-in user", field="kind")
    target = KeyTarget(
        kind=body.kind,
        role=body.role or caller.role,
        scopes=frozenset(body.scopes),
        expires_at=_expiry_of(body) or caller.expires_at,
        user_id=body.user_id or (caller.user_id if is_personal else None),
    )
    assert_may(caller, AccountAction.MAKE_KEY, target)
    if target.user_id is not None:
        await users.get_member(accounts.db, caller.organization, target.user_id)
    secret = make_key(secrets.token_bytes(KEY_BYTES))
    key = store.new_key(
        caller.organization,
        name=body.name,
        kind=target.kind,
        role=target.role,
        scopes=body.scopes,
        user_id=target.user_id,
        expires_at=target.expires_at,
        parent_id=caller.key_id,
    )
    key = await store.add_key(accounts.db, secret, key, maker=caller.key_id)
    return ApiKeyCreated(**key_view(key).model_dump(), key=secret)


async def change_key(
    accounts: Accounts, caller: Principal, key_id: UUID, changes: dict[str, object]
) -> ApiKeyRow:  # fmt: skip
    """Change a key's name, role or end.

    Args:
        accounts: The parts.
        caller: Who changes it.
        key_id: Which key.
        changes: The new values, by column.

    Raises:
        NotFoundError: No such key in the organization.
        ForbiddenError: The key or the new role is above the caller, or the new end after that of the caller's key.
        ConflictError: It is revoked or expired, and its end was to be moved.
    """

    def check(key: ApiKeyRow) -> None:
        assert_may(caller, AccountAction.CHANGE_KEY, _target_of(key, changes))

    key = await store.change_key(accounts.db, caller.organization, key_id, changes, check)
    accounts.keys.clear()
    return key


async def revoke_key(accounts: Accounts, caller: Principal, key_id: UUID, *, children: bool = True) -> list[UUID]:
    """Revoke a key, by default with those that it has made.

    Returns:
        All that were valid until now.

    Raises:
        NotFoundError: No such key in the organization.
        ForbiddenError: It is neither the caller's nor is the caller an owner.
    """

    def check(key: ApiKeyRow) -> None:
        assert_may(caller, AccountAction.REVOKE_KEY, _target_of(key))

    revoked = await store.revoke_key(accounts.db, caller.organization, key_id, check, children=children)
    accounts.keys.clear()
    return revoked


async def rotate_key(accounts: Accounts, caller: Principal, key_id: UUID) -> ApiKeyCreated:
    """Make a key with an old one's rights, and revoke that.

    Raises:
        NotFoundError: No such key in the organization.
        ForbiddenError: It is somebody's own, or could do more than the caller.
        ConflictError: It is revoked or expired.
    """

    def check(key: ApiKeyRow) -> None:
        assert_may(caller, AccountAction.ROTATE_KEY, _target_of(key))

    secret = make_key(secrets.token_bytes(KEY_BYTES))
    key = await store.rotate_key(accounts.db, caller.organization, key_id, secret, check, caller=caller.key_id)
    accounts.keys.clear()
    return ApiKeyCreated(**key_view(key).model_dump(), key=secret)


def _expiry_of(body: ApiKeyBody) -> datetime | None:
    if body.expires_in_days is not None:
        return datetime.now(UTC) + timedelta(days=body.expires_in_days)
    return body.expires_at


def _target_of(key: ApiKeyRow, changes: dict[str, Any] | None = None) -> KeyTarget:
    """Return a key as the policy sees it, with what is to be changed, by column."""
    changes = changes or {}
    return KeyTarget(
        id=key.id,
        kind=key.kind,
        role=key.role,
        scopes=frozenset(Scope(scope) for scope in key.scopes),
        expires_at=key.expires_at,
        user_id=key.user_id,
        new_role=changes.get("role"),
        new_expires_at=changes.get("expires_at"),
        moves_end="expires_at" in changes,
        live=key.live,
    )
