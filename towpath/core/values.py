"""Values that clients give, bounded once: times, places in a list, ports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""One whose offset leads beyond the year 9999 could be stored, and never be read."""
LATEST_DEADLINE = datetime(2200, 1, 1, tzinfo=UTC)
"""A timer that is 292 years long is beyond what Temporal counts in nanoseconds."""
MAX_OFFSET = 2**31 - 1
MAX_NUMBER = 2**53 - 1
"""The largest that every JSON reader holds exactly."""
MAX_PORT = 65_535


def clamp_time(moment: datetime, latest: datetime = LATEST) -> datetime:
    """Return a time in UTC; one that names no time zone is taken to be in UTC.

    Raises:
        ValueError: Before 1970, or not before `latest`.
    """
    try:
        utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        utc = None
    if utc is None or not EARLIEST <= utc < latest:
        raise ValueError(f"a time from {EARLIEST.year} to {latest.year - 1} is needed")
    return utc


def _iso(value: Any) -> Any:
    # A bare number would be taken for seconds or for milliseconds, whichever fits.
    digits = value.strip().lstrip("+-").replace(".", "", 1) if isinstance(value, str) else ""
    if isinstance(value, int | float) or digits.isdigit():
        raise ValueError("a time such as 2026-03-02T08:00:00Z is needed")
    return value


Moment = Annotated[datetime, BeforeValidator(_iso), AfterValidator(lambda moment: clamp_time(moment))]
"""A time that a client gives: ISO 8601, in UTC from here on."""
EMPTY_IS_ABSENT = BeforeValidator(lambda value: None if value == "" else value)
"""For an optional query parameter: forms and low-code tools send those that a person has left empty."""
Offset = Annotated[int, Field(ge=0, le=MAX_OFFSET)]
"""How many entries of a list to pass over."""


def make_storable(text: str) -> str:
    """Text of others, such as a server's answer, without what no part can hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def refuse_null(value: Any) -> Any:
    """For a member of a change that may be left out, but has no empty value.

    Raises:
        ValueError: It is null.
    """
    if value is None:
        raise ValueError("must not be null; leave it out to keep it")
    return value


def refuse_booleans(value: Any) -> Any:
    """Refuse true and false where a number is meant: Pydantic would take them for 1 and 0.

    Raises:
        ValueError: It is one of them.
    """
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


NUMBER = BeforeValidator(refuse_booleans)
"""Comes last in what a field is annotated with, so that its bounds stay in the document."""


def is_port(port: int | None) -> bool:
    """Return whether a URL's port is one; none is the scheme's own."""
    return port is None or 0 < port <= MAX_PORT


def format_url_host(host: str) -> str:
    """Return a host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
