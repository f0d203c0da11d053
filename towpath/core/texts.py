"""Texts for people: counts of things, and cuts that show that they are cuts."""

from __future__ import annotations

from datetime import UTC, datetime

CUT = " …"


def format_utc(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC, with milliseconds: `2026-11-26T21:40:09.125Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def format_count(number: int, thing: str) -> str:
    """Return a number of things: `1 row`, `3,323 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def shorten(text: str, most: int) -> str:
    """Return a text of at most so many characters; what is longer ends between two words, and with an ellipsis."""
    if len(text) <= most:
        return text
    room = most - len(CUT)
    head, _, rest = text[: room + 1].rpartition(" ")
    # A single long word has no place to be cut at.
    return (head if len(head) > room // 2 or not rest else text[:room]).rstrip() + CUT


def cut_with_note(text: str, most: int, what: str) -> str:
    """Return the beginning of a text and a line that says how much of it this is; the text itself if it fits."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[The {what} goes on: these are the first {most:,} of {len(text):,} characters.]"
