"""Dates as people write them; one that could be two days is none."""

from __future__ import annotations

import re
from datetime import date, datetime, time

from towpath.core.months import month_called

LONGEST = 100
"""Characters of a day with its time; what is longer is a sentence, and the forms below take more than their share."""
_NUMERIC = re.compile(r"^(\d{1,4})\s*([./-])\s*(\d{1,2})\s*\2\s*(\d{1,4})\.?$")
_DAY_FIRST = re.compile(
    r"^(\d{1,2})(?:st|nd|rd|th|er|\.)?[\s-]+(?:de\s+)?([^\W\d_]{3,12})\.?,?[\s-]+(?:de\s+)?(\d{4})$"
)
_MONTH_FIRST = re.compile(r"^([^\W\d_]{3,12})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})$")
_WEEKDAY = re.compile(r"^[^\W\d_]{2,12}\.?,\s+(?=\d|[^\W\d_]+\.?\s+\d)")
_CLOCK = re.compile(
    r"[\s,T]+(?:at\s+|um\s+)?(\d{1,2}:\d{2}(?::\d{2})?)\s*([ap]\.?m\.?)?(?:\s*(?:Uhr|h))?$", re.IGNORECASE
)


def parse_date(text: str) -> date | None:
    """Parse the day that a text names; None: none, or `04/05/2026`, which could be two."""
    text = text.strip()
    if len(text) > LONGEST:
        return None
    text = _WEEKDAY.sub("", text)
    numeric = _NUMERIC.match(text)
    if numeric:
        return _from_numbers(numeric[1], numeric[2], numeric[3], numeric[4])
    named = _DAY_FIRST.match(text)
    if named:
        return _day(named[3], month_called(named[2]), named[1])
    named = _MONTH_FIRST.match(text)
    if named:
        return _day(named[3], month_called(named[1]), named[2])
    return None


def parse_datetime(text: str) -> datetime | None:
    """Parse the moment that a text names; a day alone is none."""
    text = text.strip()
    if len(text) > LONGEST:
        return None
    if text[:4].isdigit() and len(text) > 10:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    clock = _CLOCK.search(text)
    day = parse_date(text[: clock.start()]) if clock else None
    if clock is None or day is None:
        return None
    try:
        hour = time.fromisoformat(clock[1].zfill(8 if clock[1].count(":") == 2 else 5))
    except ValueError:
        return None
    return datetime.combine(day, _in_day(hour, clock[2]))


def _in_day(hour: time, half: str | None) -> time:
    if half is None or not 1 <= hour.hour <= 12:
        return hour
    return hour.replace(hour=hour.hour % 12 + (12 if half[0].lower() == "p" else 0))


def _from_numbers(first: str, mark: str, second: str, third: str) -> date | None:
    if len(first) == 4:
        return _day(first, int(second), third)
    if len(third) not in {2, 4} or len(first) > 2:
        return None
    # Only where days and months are written with dots does the order go without saying.
    if mark == "." or int(first) > 12:
        return _day(third, int(second), first)
    if int(second) > 12 or first == second:
        return _day(third, int(first), second)
    return None


def _day(year: str, month: int, day: str) -> date | None:
    if not month:
        return None
    whole = int(year) if len(year) == 4 else int(year) + (2000 if int(year) < 70 else 1900)
    try:
        return date(whole, month, int(day))
    except ValueError:
        return None
