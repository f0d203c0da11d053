"""Signing in, by address and password or by a key, and out; how often it may be tried."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from towpath.accounts.domain.keys import KEY_FORM
from towpath.accounts.domain.policy import AccountAction, assert_may
from towpath.accounts.rate_limiter import Rate
from towpath.accounts.service import Accounts
from towpath.accounts.service.callers import (
    SESSION_SECONDS,
    normalize_credential,
    read_session_id,
    sign_session_token,
)
from towpath.accounts.service.passwords import UNKNOWN_USER_HASH, is_right_password
from towpath.accounts.store import auth as store
from towpath.accounts.store import sessions
from towpath.accounts.store.tables import ApiKeyRow, UserRow
from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError, LimitReachedError, UnauthorizedError
from towpath.core.names import normalize_email

# Only wrong passwords stay counted. An account can be closed to one who guesses, but not by them to everyone: the two
# that others can use up are not asked of an address from which its user has signed in before.
FROM_ONE_ADDRESS = Rate("wrong_passwords_of_an_account_from_an_address", 10, 60)
FROM_ONE_ADDRESS_LONG = Rate("wrong_passwords_of_an_account_from_an_address_an_hour", 50, 3600)
FROM_ANYWHERE = Rate("wrong_passwords_of_an_account", 100, 3600)
OF_ADDRESS = Rate("wrong_passwords_from_an_address", 60, 600)
PRESENT = Rate("wrong_present_passwords", 50, 3600)
WRONG_KEYS = Rate("wrong_keys_from_an_address", 20, 60)
WRONG_PASSWORD = "address or password is wrong"
NO_USER_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class SignIn:
    """A session that was just opened.

    Attributes:
        token: For the header or the cookie.
        csrf: What must go with a write by cookie.
    """

    token: str
    csrf: str


async def verify_user(accounts: Accounts, email: str, password: str, *, address: str) -> UserRow:
    """Return the user whom an address and a password belong to.

    Args:
        accounts: The parts.
        email: In any spelling.
        password: As it was typed.
        address: The caller's network address.

    Raises:
        LimitReachedError: Too many wrong passwords, of this account or from there.
        UnauthorizedError: Address or password is wrong, or the user is deactivated.
    """
    user = await store.find_user(accounts.db, email)
    is_known_place = await sessions.is_known_place(accounts.db, user.id if user else NO_USER_ID, hash_address(address))
    account = str(user.id) if user else _spelling_of(email)
    # What many share comes first: who is refused by it writes no row for each account that they name.
    attempts = [] if is_known_place else [(OF_ADDRESS, address), (FROM_ANYWHERE, account)]
    attempts += [(FROM_ONE_ADDRESS, f"{address} {account}"), (FROM_ONE_ADDRESS_LONG, f"{address} {account}")]
    await _count(accounts, attempts)
    is_right = await is_right_password(user.password_hash if user else UNKNOWN_USER_HASH, password)
    if not is_right or user is None:
        raise UnauthorizedError(WRONG_PASSWORD)
    await _forgive(accounts, attempts)
    if not user.may_enter:
        raise UnauthorizedError("this user is deactivated; an owner of the organization can change that")
    await sessions.note_place(accounts.db, user.id, hash_address(address))
    return user


async def verify_present_password(accounts: Accounts, user: UserRow, password: str, *, address: str) -> None:
    """Verify that someone who is signed in knows their present password.

    Raises:
        LimitReachedError: Too many wrong ones from there.
        BadInputError: It is wrong.
    """
    attempts = [(PRESENT, str(user.id)), (FROM_ONE_ADDRESS, f"{address} {user.id}")]
    await _count(accounts, attempts)
    if not await is_right_password(user.password_hash, password):
        raise BadInputError("currentPassword: this is not your present password", field="currentPassword")
    await _forgive(accounts, attempts)


async def verify_key(accounts: Accounts, key: str, *, address: str) -> ApiKeyRow:
    """Return the key that somebody signs in with.

    Args:
        accounts: The parts.
        key: As it was typed.
        address: Whose wrong keys are counted: the caller's network address, which many may share.

    Raises:
        LimitReachedError: Too many wrong ones from there.
        UnauthorizedError: It is no key, or was revoked or has expired.
    """
    await accounts.limiter.hit(WRONG_KEYS, address, strict=True)
    secret = normalize_credential(key)
    match = await store.find_key(accounts.db, secret) if KEY_FORM.fullmatch(secret) else None
    if match is None:
        raise UnauthorizedError("this key is not valid")
    await accounts.limiter.forgive(WRONG_KEYS, address)
    return match[0]


async def sign_in_user(accounts: Accounts, user: UserRow) -> SignIn:
    """Open a session of a user whose password was verified.

    Raises:
        UnauthorizedError: The password was changed meanwhile.
    """
    session_id = await sessions.open_user_session(accounts.db, user, seconds=SESSION_SECONDS)
    if session_id is None:
        raise UnauthorizedError(WRONG_PASSWORD)
    return _sign_in(accounts, session_id)


async def sign_in_key(accounts: Accounts, key: ApiKeyRow) -> SignIn:
    """Open a session of a key that was verified."""
    return _sign_in(accounts, await sessions.open_key_session(accounts.db, key.id, seconds=SESSION_SECONDS))


async def sign_out(accounts: Accounts, tokens: Iterable[str]) -> None:
    """End the sessions that tokens name; what is no token of a session is passed over."""
    for session_id in {session_id for token in tokens if (session_id := read_session_id(accounts, token))}:
        await sessions.end_session(accounts.db, session_id)


async def sign_out_everywhere(accounts: Accounts, caller: Principal) -> None:
    """End all sessions of the caller, who is a user; personal keys stay.

    Raises:
        ForbiddenError: The caller is an organization's key.
    """
    assert_may(caller, AccountAction.END_OWN_SESSIONS)
    assert caller.user_id is not None
    await sessions.end_sessions(accounts.db, caller.user_id)


def hash_address(address: str) -> bytes:
    """Return what is stored of a place from which a user has signed in."""
    return hashlib.sha256(address.encode()).digest()


def _sign_in(accounts: Accounts, session_id: UUID) -> SignIn:
    csrf = secrets.token_urlsafe(24)
    return SignIn(token=sign_session_token(accounts, session_id, csrf), csrf=csrf)


async def _count(accounts: Accounts, attempts: list[tuple[Rate, str]]) -> None:
    """Count a try before it is made, so that many at once are no way around; one that is refused does not count."""
    for index, (rate, key) in enumerate(attempts):
        try:
            await accounts.limiter.hit(rate, key, strict=True)
        except LimitReachedError:
            await _forgive(accounts, attempts[:index])
            raise


async def _forgive(accounts: Accounts, attempts: list[tuple[Rate, str]]) -> None:
    for rate, key in attempts:
        await accounts.limiter.forgive(rate, key)


def _spelling_of(email: str) -> str:
    try:
        return normalize_email(email)
    except ValueError:
        return email.strip().lower()
