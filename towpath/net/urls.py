"""URLs as they are shown: to who may not call them, in logs, in what is kept readable.

A signed link proves its right by its query, a webhook by its path as often as by its query.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

BLANK = "***"


def document_shown(url: str) -> str:
    """Return a document's URL without user name, password and the values of its query; its path names it."""
    parts = _split(url)
    return BLANK if parts is None else urlunsplit(parts._replace(netloc=_host(parts), query=_names(parts), fragment=""))


def show_endpoint(url: str) -> str:
    """Return a receiver's URL down to its host: a token may be anywhere behind it."""
    parts = _split(url)
    if parts is None:
        return BLANK
    path = f"/{BLANK}" if parts.path not in {"", "/"} or parts.query else parts.path
    return urlunsplit(parts._replace(netloc=_host(parts), path=path, query="", fragment=""))


def has_credentials(url: str) -> bool:
    """Return whether a URL has a part that is there for secrets: a query, a user name or a password."""
    parts = _split(url)
    return parts is None or bool(parts.query) or "@" in parts.netloc


def without_url(text: str, url: str, shown: str) -> str:
    """Return a message in which a URL, and what of it a client repeats, stand as shown."""
    parts = _split(url)
    if parts is None or url == shown:
        return text
    # A client cuts it, or writes it in another form: whatever begins with its host goes.
    text = re.sub(rf"(?i)https?://{re.escape(_host(parts))}[^\s'\"]*", lambda _: shown, text.replace(url, shown))
    bare = urlunsplit(parts._replace(netloc=_host(parts), query="", fragment=""))
    if parts.path not in {"", "/"}:
        text = text.replace(bare, shown).replace(parts.path, f"/{BLANK}")
    return text.replace(parts.query, BLANK) if parts.query else text


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _names(parts: SplitResult) -> str:
    """Return the query with each value blanked; a part without a name is all value."""
    pairs = (pair.partition("=") for pair in parts.query.split("&") if pair)
    return "&".join(f"{name}={BLANK}" if equals else BLANK for name, equals, _ in pairs)
