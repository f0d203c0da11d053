"""Passwords: which are taken, how they are stored, and whether one is right."""

from __future__ import annotations

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error

from towpath.accounts.domain.passwords import find_weakness
from towpath.core.errors import BadInputError

_hasher = PasswordHasher()
_strength_check = asyncio.Semaphore(1)
UNKNOWN_USER_HASH = _hasher.hash(secrets.token_urlsafe(16))
"""Verified when the address is unknown, so that the answer takes as long as for a known one."""


async def hash_new_password(password: str, *, email: str, organization: str = "", field: str = "password") -> str:
    """Check a new password and return its hash.

    Args:
        password: As it was typed.
        email: The address of its account.
        organization: The name of its organization.
        field: What the password is called where it was sent.

    Raises:
        BadInputError: It is too easy to guess; the sentence says why.
    """
    async with _strength_check:
        # One at a time: zxcvbn keeps its user inputs in a module global, and holds the interpreter.
        reason = await asyncio.to_thread(find_weakness, password, email=email, organization=organization)
    if reason:
        raise BadInputError(f"{field}: this password {reason}", field=field)
    return await asyncio.to_thread(_hasher.hash, password)


async def is_right_password(password_hash: str, password: str) -> bool:
    """Return whether a password is the one that was hashed."""
    return await asyncio.to_thread(_verify, password_hash, password)


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except Argon2Error:
        return False
