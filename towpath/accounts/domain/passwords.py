"""Which passwords are refused, and the reason that is told."""

from __future__ import annotations

from contextlib import suppress

from zxcvbn import zxcvbn

from towpath.core.names import normalize_text

MIN_CHARACTERS = 10
MAX_CHARACTERS = 1024
LOOKED_AT = 20
"""The estimate takes much more than linear time, seconds at 72; a password is judged by its beginning."""
MIN_SCORE = 2
MIN_NAME = 4
"""A shorter name is part of too many good passwords."""


def find_weakness(password: str, *, email: str, organization: str = "") -> str | None:
    """Return why a password is not taken; None: it is.

    Args:
        password: As it was typed.
        email: The address of its account.
        organization: The name of the account's organization, or its id.
    """
    if len(password) < MIN_CHARACTERS:
        return f"must have at least {MIN_CHARACTERS} characters"
    if len(password) > MAX_CHARACTERS:
        return f"must have at most {MAX_CHARACTERS} characters"
    folded = _fold(password)
    local = email.partition("@")[0]
    if _fold(email) in folded or _contains_name(local, folded):
        return "must not contain the e-mail address"
    if _contains_name(organization, folded):
        return "must not contain the organization's name"
    estimate = zxcvbn(password[:LOOKED_AT], user_inputs=[email, local, organization])
    if estimate["score"] < MIN_SCORE:
        hint = str(estimate["feedback"]["warning"] or "").strip().rstrip(".")
        return "is too easy to guess" + (f": {hint[:1].lower()}{hint[1:]}" if hint else "")
    return None


def _contains_name(name: str, password: str) -> bool:
    name = _fold(name)
    return len(name) >= MIN_NAME and name in password


def _fold(text: str) -> str:
    # A password may hold any character; a name with such a one is not stored.
    with suppress(ValueError):
        text = normalize_text(text)
    return "".join(text.casefold().split())
