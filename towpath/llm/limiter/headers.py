"""What providers tell of their limits: `Retry-After`, and how much is left of a minute."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from towpath.net.http import parse_retry_after

LOW_SHARE = 0.1
"""From this part of a limit on, what is left is spread until the reset."""
MIN_PACE = 0.2
"""Requests a second that are sent all the same: what is left grows meanwhile with most providers."""
MAX_RESET_SECONDS = 120.0
"""A reset that is farther away is of a day, not of a minute."""
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FAMILIES = (
    ("x-ratelimit-limit-{}", "x-ratelimit-remaining-{}", "x-ratelimit-reset-{}"),
    ("anthropic-ratelimit-{}-limit", "anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset"),
)


@dataclass(frozen=True, slots=True)
class Room:
    """How fast requests may follow each other so that what is left lasts until the reset.

    Attributes:
        rate: Requests a second.
        seconds: Until the reset.
    """

    rate: float
    seconds: float


def read_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a provider asks to wait; None: it does not say."""
    text = headers.get("retry-after-ms", "").strip()
    if text.isdigit():
        return int(text) / 1000
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+\.\d+", text):
        return float(text)
    return parse_retry_after(headers)


def read_room(headers: Mapping[str, str], *, busy: int) -> Room | None:
    """Read how much is left of the requests of a minute; None: enough, or nothing is told.

    Args:
        headers: Of a response.
        busy: Requests that are on the way.
    """
    for names in _FAMILIES:
        limit, left, reset = (headers.get(name.format("requests")) for name in names)
        if limit is None or left is None or reset is None or not limit.isdigit() or not left.isdigit():
            continue
        seconds = _read_reset(reset)
        if seconds is None or not 0 < seconds <= MAX_RESET_SECONDS:
            return None
        if int(left) > max(int(limit) * LOW_SHARE, busy):
            return None
        return Room(max(int(left) / seconds, MIN_PACE), seconds)
    return None


def _read_reset(text: str) -> float | None:
    """Return the seconds until a reset: OpenAI writes `1m30s`, Anthropic a time, others a number."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _SPAN.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
