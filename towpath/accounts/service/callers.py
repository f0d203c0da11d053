"""Who calls: the principal behind an API key or the token of a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from towpath.accounts.service import Accounts
from towpath.accounts.store import auth as store
from towpath.accounts.store.sessions import find_session
from towpath.accounts.store.tables import ApiKeyRow, UserRow
from towpath.accounts.tokens import read_token, sign_token
from towpath.accounts.types import KeyKind, Principal, Scope
from towpath.core.errors import UnauthorizedError

SESSION_SECONDS = 3600
SESSION_AUDIENCE = "session"


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in that is still open; `csrf` must go with its writes."""

    caller: Principal
    csrf: str


def normalize_credential(credential: str) -> str:
    """Return a key or a token in the spelling under which it is looked up."""
    text = credential.strip()
    # Keys are not case-sensitive; a token is.
    return text.lower() if text.lower().startswith("ent_") else text


async def authenticate_key(accounts: Accounts, key: str) -> Principal:
    """Return the caller that a key stands for, and count the call.

    Raises:
        UnauthorizedError: The key is unknown, revoked or expired, or its user may not enter any more.
    """
    caller = accounts.keys.get(key)
    if caller is None:
        match = await store.find_key(accounts.db, key)
        if match is None:
            raise UnauthorizedError("this key is not valid")
        caller = _principal_of_key(*match)
        accounts.keys.put(key, caller)
    if caller.key_id is not None:
        accounts.key_uses.note(caller.key_id)
    return caller


async def authenticate_session(accounts: Accounts, token: str) -> Session:
    """Return the open session that a token belongs to.

    Raises:
        UnauthorizedError: The token is not valid, or the session has ended, or its user or key is gone.
    """
    claims = read_token(accounts.secret, token, SESSION_AUDIENCE)
    return Session(caller=await _principal_of_session(accounts, claims), csrf=str(claims["csrf"]))


def sign_session_token(accounts: Accounts, session_id: UUID, csrf: str) -> str:
    """Sign the token of a session, for the header or the cookie; it is taken as long as the session is open."""
    claims = {"sub": str(session_id), "jti": str(session_id), "csrf": csrf}
    return sign_token(accounts.secret, claims, SESSION_AUDIENCE, SESSION_SECONDS)


def read_session_id(accounts: Accounts, token: str) -> UUID | None:
    """Return the session that a token names, open or ended; None: it is no valid token of a session."""
    try:
        return _session_id(read_token(accounts.secret, token, SESSION_AUDIENCE))
    except UnauthorizedError:
        return None


def _principal_of_key(key: ApiKeyRow, user: UserRow | None) -> Principal:
    role = key.role
    if key.kind is KeyKind.PERSONAL:
        if user is None or not user.may_enter:
            raise UnauthorizedError("this key's user was removed or is deactivated")
        # A personal key never does more than its user may today.
        role = user.role if role.covers(user.role) else role
    return Principal(
        organization=key.organization,
        user_id=key.user_id,
        key_id=key.id,
        kind=key.kind,
        role=role,
        scopes=frozenset(Scope(scope) for scope in key.scopes),
        expires_at=key.expires_at,
    )


async def _principal_of_session(accounts: Accounts, claims: dict[str, Any]) -> Principal:
    session_id = _session_id(claims)
    session = None if session_id is None else await find_session(accounts.db, session_id)
    if session is None:
        raise UnauthorizedError("this sign-in was ended")
    key, user = session
    if key is not None:
        accounts.key_uses.note(key.id)
        return _principal_of_key(key, user).model_copy(update={"session_id": session_id})
    assert user is not None
    return Principal(
        organization=user.organization,
        user_id=user.id,
        kind=KeyKind.PERSONAL,
        role=user.role,
        scopes=frozenset(Scope),
        session_id=session_id,
    )


def _session_id(claims: dict[str, Any]) -> UUID | None:
    try:
        return UUID(str(claims.get("jti")))
    except ValueError:
        # A token of a version that did not store sessions.
        return None
