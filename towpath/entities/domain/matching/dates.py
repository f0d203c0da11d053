"""Dates as people and programs write them, to eight digits."""

from __future__ import annotations

import re

from towpath.core.months import month_in
from towpath.entities.domain.matching.raw import MAX_NUMBER, plain_digits, raw_text
from towpath.entities.domain.matching.words import ROMAN

_DIGIT_RUNS = re.compile(r"[0-9]+")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?!\d)", re.ASCII)
_WEEK = re.compile(r"(\d{4})-?w\d{2}", re.ASCII)
_LETTER = re.compile(r"[^\W\d_]")
# A month and a year, or a year and a month, with nothing but a mark between them, and no letter before them.
_JOINED = re.compile(r"(?<![^\W_])\d+ ?[-/.] ?\d+(?!\w)")
_ROMAN_MONTH = re.compile(r"(?<!\w)\d+[./ -]+([ivx]{1,4})[./ -]+\d+", re.ASCII)
_THAI = re.compile("[\u0e00-\u0e7f]")
BUDDHIST_ERA = 543
"""Years that Thailand counts more, where a text is in Thai and the year is none of the other calendar."""
_CJK_MARKS = str.maketrans({"年": "-", "月": "-", "日": " ", "号": " ", "년": "-", "월": "-", "일": " "})


def normalise_date(value: object) -> str | None:
    """Eight digits `yyyymmdd`, zeros for what is not known; `None` when no year can be read.

    Reads ISO dates and times, `yyyymmdd`, `dd.mm.yyyy`, `mm/dd/yyyy` (when the day cannot be a month),
    month names, and a year alone. Eight digits that are no real date are kept: a typing error in a birthday
    is still compared digit by digit.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and abs(value) < MAX_NUMBER:
        value = int(value)
    raw = raw_text(value).strip().lower()[:64]
    if iso := _ISO.match(raw):
        return "".join(iso.groups())
    if not raw.isascii():
        raw = plain_digits(raw).translate(_CJK_MARKS)
    runs = _DIGIT_RUNS.findall(raw)
    if runs and (len(runs[0]) == 8 or (len(runs[0]) == 14 and len(runs) == 1)):
        return _eight_digits(runs[0][:8])
    return _from_words(raw, runs) if _LETTER.search(raw) else _from_parts(runs, american="/" in raw)


def _from_words(raw: str, runs: list[str]) -> str | None:
    """Return a date from a text that has letters in it."""
    if week := _WEEK.match(raw):
        return f"{week[1]}0000"
    if month := month_in(raw) or _roman_month_in(raw):
        return _with_month_name([_common_year(run) for run in runs] if _THAI.search(raw) else runs, month)
    if len(runs) == 2 and not _JOINED.search(raw):
        # A word that is no known month leaves a number that may be the day.
        runs = [run for run in runs if len(run) == 4]
    return _from_parts(runs, american="/" in raw)


def _roman_month_in(raw: str) -> int:
    """Return the month of `12. V. 2001` or `2001. V. 12.`; 0: there is none."""
    match = _ROMAN_MONTH.search(raw)
    return ROMAN.index(match[1]) + 1 if match and match[1] in ROMAN[:12] else 0


def _common_year(run: str) -> str:
    is_buddhist = len(run) == 4 and 2400 <= int(run) <= 2700
    return str(int(run) - BUDDHIST_ERA) if is_buddhist else run


def _from_parts(runs: list[str], american: bool) -> str | None:
    """Return a date from its runs of digits, by how long each one is; `american` puts the month first."""
    match [len(run) for run in runs[:3]]:
        case [4, 1 | 2, 1 | 2]:
            return f"{runs[0]}{runs[1]:0>2}{runs[2]:0>2}"
        case [1 | 2, 1 | 2, 2 | 4]:
            first, second = runs[0], runs[1]
            month_first = int(second) > 12 or (american and int(first) <= 12)
            day, month = (second, first) if month_first else (first, second)
            return f"{_full_year(runs[2])}{month:0>2}{day:0>2}"
        case [4, 1 | 2]:
            return f"{runs[0]}{runs[1]:0>2}00"
        case [1 | 2, 4]:
            return f"{runs[1]}{runs[0]:0>2}00"
    year = next((run for run in runs if len(run) == 4), "")
    return f"{year}0000" if year else None


def _eight_digits(digits: str) -> str:
    """Turn `ddmmyyyy` around when only that way round it is a date."""
    year, month = int(digits[:4]), int(digits[4:6])
    if (
        not (1000 <= year <= 2999 and 1 <= month <= 12)
        and 1800 <= int(digits[4:]) <= 2199
        and (int(digits[2:4]) <= 12 and int(digits[:2]) <= 31)
    ):
        return digits[4:] + digits[2:4] + digits[:2]
    return digits


def _with_month_name(runs: list[str], month: int) -> str | None:
    year = next((run for run in runs if len(run) == 4), "")
    days = [run for run in runs if len(run) <= 2]
    if not year:
        if len(days) < 2 or len(days[-1]) < 2:
            return None
        year = _full_year(days.pop())
    return f"{year}{month:02d}{(days[0] if days else '0'):0>2}"


def _full_year(year: str) -> str:
    if len(year) == 4:
        return year
    return f"{'19' if int(year) > 30 else '20'}{year}"
