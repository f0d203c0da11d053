"""What of an item is embedded, and the ids that make storing it idempotent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.json_values import write_json

URL_KEYS = ("url", "uri", "file_url", "source_url", "source", "href")
PATH_KEYS = ("file", "path", "file_path", "filename", "source")
MAX_SAFE_INTEGER = 2**63


def object_uid(object_id: str) -> int:
    """Return a stable 63-bit number for an object's id: its key in every store."""
    digest = hashlib.blake2b(object_id.encode(), digest_size=8, person=b"object").digest()
    return int.from_bytes(digest, "big") % MAX_SAFE_INTEGER or 1


def payload_text(payload: dict[str, Any] | None) -> str | None:
    """Return the text that a payload asks to be embedded.

    Returns:
        `text` when it is there, be it a string, a number, or a list of these, one a line; else all strings of
        the top level in the order of their keys; None when there is nothing but space.

    Raises:
        BadInputError: `text` is of a kind that is no text.
    """
    return _text_of(payload or {}, "payload.text")


def _text_of(payload: dict[str, Any], field: str) -> str | None:
    text = _written(payload.get("text"), field)
    if text.strip():
        return text
    strings = [value for _, value in sorted(payload.items()) if isinstance(value, str) and value.strip()]
    return "\n".join(strings) or None


def _written(text: Any, field: str) -> str:
    if text is None:
        return ""
    if _is_line(text):
        return str(text)
    if not isinstance(text, list):
        raise _no_text(field, "true or false" if isinstance(text, bool) else "an object")
    if not all(_is_line(each) for each in text):
        raise _no_text(field, "a list with something else in it")
    return "\n".join(line for line in map(str, text) if line.strip())


def _is_line(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _no_text(field: str, what: str) -> BadInputError:
    detail = f"{field} is {what}; it can be a string, a number, or a list of strings and numbers"
    return BadInputError(detail, code=ErrorCode.NOTHING_TO_EMBED, field=field)


def query_text(query: Any) -> str | None:
    """Return the text of a search query: a string, or a structure read as a payload is.

    Raises:
        BadInputError: Its `text` is of a kind that is no text.
    """
    if isinstance(query, str):
        return query if query.strip() else None
    if isinstance(query, dict):
        return _text_of(query, "search_query.text")
    if isinstance(query, list):
        return "\n".join(part for part in query if isinstance(part, str) and part.strip()) or None
    return None if query is None else str(query)


@dataclass(frozen=True, slots=True)
class Source:
    """A file outside that holds an item's text: exactly one of the two is set."""

    url: str | None = None
    path: str | None = None


def item_source(item_info: dict[str, Any] | None) -> Source | None:
    """Return the file that an item's internal data names, if it names one."""
    info = item_info or {}
    for key in URL_KEYS:
        value = info.get(key)
        if isinstance(value, str) and value.strip().lower().startswith(("http://", "https://")):
            return Source(url=value.strip())
    for key in PATH_KEYS:
        value = info.get(key)
        if not isinstance(value, str) or not value.strip():
            continue
        path = value.strip().removeprefix("file://")
        # A `source` is a file only when it looks like one; it is as often the name of a feed.
        if key != "source" or path.startswith(("/", "./")) or value.startswith("file://"):
            return Source(path=path)
    return None


def canonical(value: Any) -> bytes:
    """JSON with sorted keys: equal values give equal bytes."""
    return write_json(value, options=orjson.OPT_SORT_KEYS)


def digest_of(value: Any) -> bytes:
    """16 bytes that stand for a JSON value."""
    return hashlib.blake2b(canonical(value), digest_size=16).digest()


def text_version(text: str, *, part_tokens: int, overlap: int) -> int:
    """Return a 63-bit number for a text as it is cut: the version of an object's vectors.

    Args:
        text: The whole text.
        part_tokens: The most tokens in a part.
        overlap: Tokens that a part shares with the one before.
    """
    cut = f"{part_tokens}/{overlap}\n".encode()
    digest = hashlib.blake2b(cut + text.encode("utf-8", "surrogatepass"), digest_size=8, person=b"version").digest()
    return int.from_bytes(digest, "big") % MAX_SAFE_INTEGER or 1


def entry_of(part: str) -> int:
    """Return a 63-bit number for the text of a part: equal texts have one vector, which the index holds once."""
    digest = hashlib.blake2b(part.encode("utf-8", "surrogatepass"), digest_size=8, person=b"entry").digest()
    return int.from_bytes(digest, "big") % MAX_SAFE_INTEGER or 1


def entry_id(entry: int) -> str:
    """Return an entry's id in the vector index."""
    return f"{entry:016x}"


def read_entry_id(text: str) -> int:
    """Return the entry that an id stands for."""
    return int(text, 16)
