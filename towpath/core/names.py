"""How people and organizations are named: one spelling for what looks the same."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

import idna
from pydantic import AfterValidator, Field

EMAIL_FORM = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
MAX_EMAIL = 320
MAX_ORGANIZATION = 100
# Unicode's Default_Ignorable_Code_Point beyond the format characters: fillers, joiners and variation selectors.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
_SPACES = re.compile(r"\s+")


def normalize_text(text: str) -> str:
    """Text in its compatibility form (NFKC), without characters that are not seen.

    Raises:
        ValueError: It holds a control character.
    """
    plain = _without_format(_UNSEEN.sub("", unicodedata.normalize("NFKC", _without_format(_UNSEEN.sub("", text)))))
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in plain):
        raise ValueError("must not hold control characters")
    return plain


def _without_format(text: str) -> str:
    return "".join(char for char in text if unicodedata.category(char) != "Cf")


def normalize_email(address: str) -> str:
    """Return the one spelling of an e-mail address under which an account is kept and found.

    Full-width and other compatibility forms become plain ones, what is not seen is left out, the case is folded, the
    domain is written in ASCII (IDNA).

    Raises:
        ValueError: It is no address, or its domain cannot be one.
    """
    plain = normalize_text(address).strip()
    local, _, domain = plain.rpartition("@")
    local = unicodedata.normalize("NFKC", local.casefold())
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValueError(f"the domain of the address cannot be one: {error}") from error
    email = f"{local}@{domain.lower().rstrip('.')}"
    if not re.fullmatch(EMAIL_FORM, email):
        raise ValueError("must be an e-mail address")
    if len(email) > MAX_EMAIL:
        raise ValueError(f"must have at most {MAX_EMAIL} characters")
    return email


def normalize_name(text: str) -> str:
    """Return an organization's name as it is shown: what is not seen is left out, spaces are single.

    Raises:
        ValueError: Nothing is left, or it holds a control character.
    """
    name = _SPACES.sub(" ", normalize_text(_SPACES.sub(" ", text))).strip()
    if not name:
        raise ValueError("must have at least one character that is seen")
    if len(name) > MAX_ORGANIZATION:
        raise ValueError(f"must have at most {MAX_ORGANIZATION} characters")
    return name


def name_key(name: str) -> str:
    """Return what two names have in common that only differ in case: the same key is the same organization."""
    return unicodedata.normalize("NFKC", normalize_name(name).casefold())


Email = Annotated[str, Field(pattern=EMAIL_FORM, max_length=MAX_EMAIL), AfterValidator(normalize_email)]
OrganizationName = Annotated[str, Field(min_length=1, max_length=MAX_ORGANIZATION), AfterValidator(normalize_name)]
