"""Signing in, by address and password or by a key, for the API and for the pages; the cookies of a session."""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from fastapi import Response

from api.auth import COOKIE, TOKEN_SECONDS, Throttle, folded
from api.state import AppState
from contracts.errors import TooMany, Unauthorized
from domain.auth import KEY_FORM
from stores import auth as store
from stores.tables import ApiKeyRow, UserRow

CSRF_COOKIE = "towpath_csrf"
hasher = PasswordHasher()
logins = Throttle(most=10, seconds=60)
key_sign_ins = Throttle(most=20, seconds=60)
# Verified when the address is unknown, so that the answer takes as long as for a known one.
NOBODY = hasher.hash(secrets.token_urlsafe(16))


async def hash_password(password: str) -> str:
    """What is stored of a password."""
    return await asyncio.to_thread(hasher.hash, password)


async def user_by_password(state: AppState, email: str, password: str) -> UserRow:
    """The user who signs in.

    Raises:
        TooMany: Too many attempts for this address.
        Unauthorized: Address or password is wrong.
    """
    if wait := logins.wait(email.lower()):
        raise TooMany("too many sign-ins for this address", retry_after=wait)
    user = await store.find_user(state.db, email)
    if not await asyncio.to_thread(_verified, user.password_hash if user else NOBODY, password) or user is None:
        raise Unauthorized("address or password is wrong")
    return user


def _verified(hashed: str, password: str) -> bool:
    try:
        return hasher.verify(hashed, password)
    except Argon2Error:
        return False


async def key_by_secret(state: AppState, key: str, *, client: str) -> ApiKeyRow:
    """The key that signs in.

    Args:
        key: As it was typed.
        client: Whose wrong keys are counted: the caller's network address, which many may share.

    Raises:
        TooMany: Too many wrong ones from there.
        Unauthorized: It is no key, or was revoked or has expired.
    """
    if wait := key_sign_ins.wait(client):
        raise TooMany("too many wrong keys came from here", retry_after=wait)
    secret = folded(key)
    found = await store.find_key(state.db, secret) if KEY_FORM.fullmatch(secret) else None
    if found is None:
        raise Unauthorized("this key is not valid")
    key_sign_ins.forgive(client)
    return found[0]


def open_session(state: AppState, response: Response, token: str, csrf: str) -> None:
    """Set the session's cookies."""
    secure = state.settings.cookie_secure
    response.set_cookie(COOKIE, token, max_age=TOKEN_SECONDS, httponly=True, samesite="lax", secure=secure)
    response.set_cookie(CSRF_COOKIE, csrf, max_age=TOKEN_SECONDS, samesite="lax", secure=secure)


def end_session(response: Response) -> None:
    """Clear them."""
    response.delete_cookie(COOKIE)
    response.delete_cookie(CSRF_COOKIE)
