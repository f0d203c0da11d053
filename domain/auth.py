"""Keys and names, as pure functions: the bytes come from the caller."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata

KEY_BYTES = 25
KEY_FORM = re.compile(r"ent_[a-z2-7]{40}")
PREFIX_CHARACTERS = 12
SLUG_CHARACTERS = 40


def make_key(random: bytes) -> str:
    """An API key of 200 random bits: `ent_` and 40 characters of `a-z2-7`.

    Raises:
        ValueError: Not 25 bytes.
    """
    if len(random) != KEY_BYTES:
        raise ValueError(f"a key needs {KEY_BYTES} bytes")
    return "ent_" + base64.b32encode(random).decode().lower()


def hash_key(key: str) -> bytes:
    """What is stored of a key; keys are not case-sensitive."""
    return hashlib.sha256(key.strip().lower().encode()).digest()


def key_prefix(key: str) -> str:
    """What is shown of a key."""
    return key.strip().lower()[:PREFIX_CHARACTERS]


def slug(name: str) -> str:
    """A short id for an organisation's name: ASCII letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_CHARACTERS].strip("-") or "org"
