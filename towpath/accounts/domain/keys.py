"""Keys and names, as pure functions: the bytes come from the caller."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterator

from towpath.core.names import name_key

KEY_BYTES = 25
KEY_FORM = re.compile(r"ent_[a-z2-7]{40}")
PREFIX_CHARACTERS = 12
SLUG_CHARACTERS = 40
SUFFIX_CHARACTERS = 8


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


def slugs(name: str) -> Iterator[str]:
    """Short ids for an organisation's name, the best first: ASCII letters, digits and hyphens.

    The first is what the name reads like in ASCII. Where that is another organization's, or nothing of the name is
    left, a digest of the name follows it, always the same one: so names of any script get an id of their own.

    Args:
        name: The name; two that differ only in case give the same ids.
    """
    key = name_key(name)
    plain = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode().lower()
    short = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_CHARACTERS].strip("-")
    if short:
        yield short
    digest = hashlib.sha256(key.encode()).hexdigest()
    for length in (SUFFIX_CHARACTERS, 2 * SUFFIX_CHARACTERS):
        room = SLUG_CHARACTERS - length - 1
        yield f"{(short or 'org')[:room].strip('-')}-{digest[:length]}"
