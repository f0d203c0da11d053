"""Signing in, by address and password or by a key, for the API and for the pages; the cookies of a session."""

from __future__ import annotations

import asyncio
import secrets
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from fastapi import Response

from towpath.accounts.domain.keys import KEY_FORM
from towpath.accounts.domain.passwords import why_refused
from towpath.accounts.store import auth as store
from towpath.accounts.store import sessions
from towpath.api.http.auth import COOKIE, TOKEN_SECONDS, folded, session_token
from towpath.api.http.clients import place_digest
from towpath.api.http.limiter import Rate
from towpath.api.http.state import AppState
from towpath.core.errors import BadInputError, LimitReachedError, UnauthorizedError
from towpath.core.names import normal_email
from towpath.db.tables import ApiKeyRow, UserRow

CSRF_COOKIE = "towpath_csrf"
hasher = PasswordHasher()
judging = asyncio.Semaphore(1)
# Only wrong passwords stay counted. An account can be closed to one who guesses, but not by them to everyone: the two
# that others can use up are not asked of an address from which its user has signed in before.
FROM_ONE_ADDRESS = Rate("wrong_passwords_of_an_account_from_an_address", 10, 60)
FROM_ONE_ADDRESS_LONG = Rate("wrong_passwords_of_an_account_from_an_address_an_hour", 50, 3600)
FROM_ANYWHERE = Rate("wrong_passwords_of_an_account", 100, 3600)
OF_ADDRESS = Rate("wrong_passwords_from_an_address", 60, 600)
REGISTRATIONS = Rate("registrations_from_an_address", 60, 3600)
PRESENT = Rate("wrong_present_passwords", 50, 3600)
WRONG_KEYS = Rate("wrong_keys_from_an_address", 20, 60)
WRONG = "address or password is wrong"
NOBODY_ID = UUID(int=0)
# Verified when the address is unknown, so that the answer takes as long as for a known one.
NOBODY = hasher.hash(secrets.token_urlsafe(16))


async def new_password_hash(
    password: str, *, email: str, organization: str = "", field: str = "password"
) -> str:  # fmt: skip
    """What is stored of a new password.

    Args:
        password: As it was typed.
        email: The address of its account.
        organization: The name of its organization.
        field: What the password is called where it was sent.

    Raises:
        BadInputError: It is too easy to guess; the sentence says why.
    """
    async with judging:
        # One after the other: the library keeps what it is told in a place of its own, and holds the interpreter.
        why = await asyncio.to_thread(why_refused, password, email=email, organization=organization)
    if why:
        raise BadInputError(f"{field}: this password {why}", field=field)
    return await asyncio.to_thread(hasher.hash, password)


async def user_by_password(state: AppState, email: str, password: str, *, place: str) -> UserRow:
    """The user who signs in.

    Args:
        state: The parts.
        email: In any spelling.
        password: As it was typed.
        place: The caller's network address.

    Raises:
        LimitReachedError: Too many wrong passwords, of this account or from there.
        UnauthorizedError: Address or password is wrong, or the user is deactivated.
    """
    user = await store.find_user(state.db, email)
    known = await sessions.knows_place(state.db, user.id if user else NOBODY_ID, place_digest(place))
    account = str(user.id) if user else _spelling(email)
    # What many share comes first: who is refused by it writes no row for each account that they name.
    counted = [] if known else [(OF_ADDRESS, place), (FROM_ANYWHERE, account)]
    counted += [(FROM_ONE_ADDRESS, f"{place} {account}"), (FROM_ONE_ADDRESS_LONG, f"{place} {account}")]
    await _count(state, counted)
    right = await asyncio.to_thread(_verified, user.password_hash if user else NOBODY, password)
    if not right or user is None:
        raise UnauthorizedError(WRONG)
    await _forgive(state, counted)
    if not user.may_enter:
        raise UnauthorizedError("this user is deactivated; an owner of the organization can change that")
    await sessions.note_place(state.db, user.id, place_digest(place))
    return user


async def _count(state: AppState, counted: list[tuple[Rate, str]]) -> None:
    """Count a try before it is made, so that many at once are no way around; one that is refused does not count."""
    for place, (rate, key) in enumerate(counted):
        try:
            await state.limiter.hit(rate, key, strict=True)
        except LimitReachedError:
            await _forgive(state, counted[:place])
            raise


async def _forgive(state: AppState, counted: list[tuple[Rate, str]]) -> None:
    for rate, key in counted:
        await state.limiter.forgive(rate, key)


def _spelling(email: str) -> str:
    try:
        return normal_email(email)
    except ValueError:
        return email.strip().lower()


def _verified(hashed: str, password: str) -> bool:
    try:
        return hasher.verify(hashed, password)
    except Argon2Error:
        return False


async def check_own_password(state: AppState, user: UserRow, password: str, *, place: str) -> None:
    """See that someone who is signed in knows the present password.

    Raises:
        LimitReachedError: Too many wrong ones from there.
        BadInputError: It is wrong.
    """
    counted = [(PRESENT, str(user.id)), (FROM_ONE_ADDRESS, f"{place} {user.id}")]
    await _count(state, counted)
    if not await asyncio.to_thread(_verified, user.password_hash, password):
        raise BadInputError("currentPassword: this is not your present password", field="currentPassword")
    await _forgive(state, counted)


async def key_by_secret(state: AppState, key: str, *, place: str) -> ApiKeyRow:
    """The key that signs in.

    Args:
        state: The parts.
        key: As it was typed.
        place: Whose wrong keys are counted: the caller's network address, which many may share.

    Raises:
        LimitReachedError: Too many wrong ones from there.
        UnauthorizedError: It is no key, or was revoked or has expired.
    """
    await state.limiter.hit(WRONG_KEYS, place, strict=True)
    secret = folded(key)
    found = await store.find_key(state.db, secret) if KEY_FORM.fullmatch(secret) else None
    if found is None:
        raise UnauthorizedError("this key is not valid")
    await state.limiter.forgive(WRONG_KEYS, place)
    return found[0]


async def open_user_session(state: AppState, response: Response, user: UserRow) -> str:
    """Store a sign-in of a user whose password was verified, and set its cookies; its token.

    Raises:
        UnauthorizedError: The password was changed meanwhile.
    """
    session_id = await sessions.open_user_session(state.db, user, seconds=TOKEN_SECONDS)
    if session_id is None:
        raise UnauthorizedError(WRONG)
    return _set_cookies(state, response, session_id)


async def open_key_session(state: AppState, response: Response, key: ApiKeyRow) -> str:
    """The same with a key."""
    return _set_cookies(state, response, await sessions.open_key_session(state.db, key.id, seconds=TOKEN_SECONDS))


def _set_cookies(state: AppState, response: Response, session_id: UUID) -> str:
    csrf = secrets.token_urlsafe(24)
    token, secure = session_token(state, session_id, csrf), state.settings.cookie_secure
    response.set_cookie(COOKIE, token, max_age=TOKEN_SECONDS, httponly=True, samesite="lax", secure=secure)
    response.set_cookie(CSRF_COOKIE, csrf, max_age=TOKEN_SECONDS, samesite="lax", secure=secure)
    return token


def clear_cookies(response: Response) -> None:
    """Take the session's cookies back."""
    response.delete_cookie(COOKIE)
    response.delete_cookie(CSRF_COOKIE)
