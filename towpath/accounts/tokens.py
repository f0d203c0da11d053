"""Signed tokens: claims that a client carries and cannot change, each for one audience and a limited time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from towpath.core.errors import UnauthorizedError

ALGORITHM = "HS256"


def sign_token(secret: str, claims: dict[str, Any], audience: str, seconds: int) -> str:
    """Sign claims.

    Args:
        secret: The key of all façades.
        claims: What the token says; `sub` must be among them.
        audience: What it is for: a token of one audience is refused by every other.
        seconds: How long it is valid.
    """
    expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
    return jwt.encode({**claims, "aud": audience, "exp": expires_at}, secret, algorithm=ALGORITHM)


def read_token(secret: str, token: str, audience: str) -> dict[str, Any]:
    """Verify a token and return its claims.

    Raises:
        UnauthorizedError: It is forged, has expired, or is for another audience.
    """
    try:
        return jwt.decode(token, secret, algorithms=[ALGORITHM], audience=audience, options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError as error:
        raise UnauthorizedError("this token is not valid or has expired") from error
