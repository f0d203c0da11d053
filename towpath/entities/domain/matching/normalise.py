"""Raw JSON values to comparable strings, one pure function for each field type.

Every function takes any JSON value, does a bounded amount of work and answers `None` for "nothing to
compare". A normalised value is a plain string, so that it can be stored and read without a schema:
`text` and `string` are lower-case words parted by one space, `number` is the shortest decimal spelling,
`date` is eight digits `yyyymmdd` with zeros for a part that is not known.
"""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable
from functools import cached_property

from towpath.entities.types import FieldType

MAX_RAW_CHARS = 4_000
"""Characters of a raw value that are looked at; the rest is left out."""
MAX_CHARS = 1_200
"""Characters of a normalised value."""
MAX_NUMBER = 1e300
MAX_LEAVES = 64
"""Scalars of a list or an object that are looked at."""

# Letters that Unicode decomposition leaves alone although people write them with plain ones.
_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ß": "ss", "×": "x"}
)
_APOSTROPHES = re.compile(r"(?<=\w)['’`](?=\w)")
_JOINED = re.compile(r"(?<![a-z0-9])[a-z0-9]+(?:[-/.][a-z0-9]+)+")
_BEFORE_DIGIT = re.compile(r"([-/.a-z]+)([0-9]?)")
_DIMENSION = re.compile(r"(?<=\d)\s*x\s*(?=\d)")
_UNIT = re.compile(
    r"(?<![a-z0-9.])(\d+(?:\.\d+)?)"
    r"(mm|cm|km|in|inch|ft|yd|kb|mb|gb|tb|kg|mg|g|lb|lbs|oz|ml|cl|l|w|kw|v|mah|ah|hz|khz|mhz|ghz|pc|pcs|pk|ct|mp)"
    r"(?![a-z0-9])"
)
_WORD = re.compile(r"[0-9]+\.[0-9]+(?![0-9.])|[^\W_]+")
_NUMBER = re.compile(r"[-+]?\d[\d.,'’\u00a0\u202f]*(?:[eE][-+]?\d{1,3}(?![\w]))?", re.ASCII)
_DIGIT_RUNS = re.compile(r"[0-9]+")
_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
         "sep sept september", "oct october", "nov november", "dec december"),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH_WORD = re.compile(r"[a-z]{3,9}")
_EMPTY_WORDS = frozenset({"", "nan", "none", "null", "n/a", "na", "-", "--", "?", "unknown"})


def raw_text(value: object) -> str:
    """Flatten any JSON value to one bounded string: leaves of lists and objects, parted by spaces."""
    if isinstance(value, str):
        return value if len(value) <= MAX_RAW_CHARS else value[:MAX_RAW_CHARS]
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _plain_number(value) or ""
    if isinstance(value, int):
        # An int of thousands of digits has no sensible text, and Python refuses to spell it.
        return str(value) if value.bit_length() < 2_000 else ""
    leaves: list[str] = []
    stack: list[object] = [value]
    visited = 0
    while stack and len(leaves) < MAX_LEAVES and visited < 16 * MAX_LEAVES:
        visited += 1
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(list(item.values())[: 4 * MAX_LEAVES][::-1])
        elif isinstance(item, list | tuple):
            stack.extend(list(item[: 4 * MAX_LEAVES])[::-1])
        elif item is not None:
            leaves.append(raw_text(item) if isinstance(item, str | bool | int | float) else str(item)[:MAX_RAW_CHARS])
    return " ".join(leaf for leaf in leaves if leaf)[:MAX_RAW_CHARS]


def normalise_text(value: object) -> str | None:
    """Lower-case words without accents and punctuation; codes written with marks inside are joined.

    `PSL-X350H` becomes `pslx350h`, `40mm` becomes `40 mm`, `M8x40` becomes `m8 40`; a decimal point stays.
    """
    raw = raw_text(value).strip()
    if not raw:
        return None
    if raw.isascii():
        text = raw.lower()
    else:
        text = "".join(c for c in unicodedata.normalize("NFKD", raw.casefold()) if not unicodedata.combining(c))
        text = unicodedata.normalize("NFKC", text.translate(_LETTERS))
    if text in _EMPTY_WORDS:
        return None
    if not text.isalpha():
        if "'" in text or "’" in text or "`" in text:
            text = _APOSTROPHES.sub("", text)
        if any(c in text for c in "0123456789"):
            text = _join_codes(text)
        words = _WORD.findall(text)
        if not words:
            # Only marks: keep them as they are, so that two entities named "***" can still be compared.
            return " ".join(text.split())[:MAX_CHARS] or None
        text = " ".join(words)
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS].rsplit(" ", 1)[0]


def _join_codes(text: str) -> str:
    text = _DIMENSION.sub(" ", text)
    if "-" in text or "/" in text or "." in text:
        text = _JOINED.sub(_Codes(text).join, text)
    return _UNIT.sub(r"\1 \2", text)


class _Codes:
    """Which joined parts of a text are codes: those with a digit in them, or behind them after marks and letters.

    What is behind is looked at once for the whole text: each part looking for itself takes the square of its length.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _runs(self) -> tuple[list[int], list[bool]]:
        runs = list(_BEFORE_DIGIT.finditer(self._text))
        return [run.end(1) for run in runs], [bool(run[2]) for run in runs]

    def join(self, match: re.Match[str]) -> str:
        """Return what stands for parts that marks join."""
        if not _DIGIT_RUNS.search(match[0]):
            ends, followed = self._runs
            if not followed[bisect_left(ends, match.end())]:
                return match[0]
        return _join_code(match)


def _join_code(match: re.Match[str]) -> str:
    """Join the parts of a code, but leave dates, fractions, ranges and plain decimals in parts."""
    code = match.group()
    parts = re.split(r"[-/.]", code)
    if not any(c.isalpha() for c in code):
        return code if code.count(".") == 1 and "-" not in code and "/" not in code else " ".join(parts)
    # `8-port` and `high-1080` are words beside a number; a code mixes letters and digits in one part,
    # or is made of short parts (`dsc-w55`, `kx-tg6700b`, `fs-105`).
    if any(len(part) > 4 and part.isalpha() for part in parts) or (parts[0].isdigit() and parts[-1].isalpha()):
        return " ".join(parts)
    return "".join(parts) if len(parts) <= 4 else " ".join(parts)


def normalise_string(value: object) -> str | None:
    """As `normalise_text`: a short value differs in how it is compared, not in how it is spelt."""
    return normalise_text(value)


def normalise_number(value: object) -> str | None:
    """Return the first number of the value, without currency, unit and thousands marks; `None` when there is none."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return (
            str(value)
            if value.bit_length() < 60
            else _plain_number(float(value) if value.bit_length() < 900 else math.nan)
        )
    if isinstance(value, float):
        return _plain_number(value)
    raw = raw_text(value)
    match = _NUMBER.search(raw)
    if match is None:
        return None
    digits = match.group()
    # A minus is a sign only when no word or number stands right before it: "322-331" is a range.
    if digits[0] in "+-" and match.start() and raw[match.start() - 1].isalnum():
        digits = digits[1:]
    return _plain_number(_decimal(digits))


def _decimal(digits: str) -> float:
    text = re.sub(r"['’\u00a0\u202f]", "", digits).rstrip(".,")
    dot, comma = text.rfind("."), text.rfind(",")
    if dot >= 0 and comma >= 0:
        text = text.replace(",", "") if dot > comma else text.replace(".", "").replace(",", ".")
    elif comma >= 0:
        thousands = text.count(",") > 1 or len(text) - comma - 1 == 3
        text = text.replace(",", "") if thousands else text.replace(",", ".")
    elif text.count(".") > 1:
        text = text.replace(".", "")
    try:
        return float(text)
    except ValueError:
        return math.nan


def _plain_number(number: float) -> str | None:
    if not abs(number) < MAX_NUMBER:  # not a number compares false
        return None
    if number == int(number) and abs(number) < 1e15:
        return str(int(number))
    return repr(float(f"{number:.10g}"))


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
    runs = _DIGIT_RUNS.findall(raw)
    if not runs:
        return None
    if len(runs[0]) == 8:
        return _eight_digits(runs[0])
    if len(runs[0]) == 14 and len(runs) == 1:
        return _eight_digits(runs[0][:8])
    month = next((_MONTHS[word] for word in _MONTH_WORD.findall(raw) if word in _MONTHS), 0)
    if month:
        return _with_month_name(runs, month)
    return _from_parts(runs, american="/" in raw)


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
        if len(days) < 2:
            return None
        year = _full_year(days.pop())
    return f"{year}{month:02d}{(days[0] if days else '0'):0>2}"


def _full_year(year: str) -> str:
    if len(year) == 4:
        return year
    return f"{'19' if int(year) > 30 else '20'}{year}"


NORMALISERS: dict[FieldType, Callable[[object], str | None]] = {
    FieldType.TEXT: normalise_text,
    FieldType.STRING: normalise_string,
    FieldType.NUMBER: normalise_number,
    FieldType.DATE: normalise_date,
}
"""How a value of each type becomes comparable."""
