"""Raw JSON values to comparable strings, one pure function for each field type.

Every function takes any JSON value, does a bounded amount of work and answers `None` for "nothing to
compare". A normalised value is a plain string, so that it can be stored and read without a schema:
`text` and `string` are lower-case words parted by one space, `number` is the shortest decimal spelling,
`date` is eight digits `yyyymmdd` with zeros for a part that is not known.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable
from functools import cached_property, lru_cache

from towpath.entities.domain.matching.dates import normalise_date
from towpath.entities.domain.matching.legal_forms import join_dotted_form, shorten_forms
from towpath.entities.domain.matching.numbers import normalise_number
from towpath.entities.domain.matching.phones import join_digits
from towpath.entities.domain.matching.quantities import SYMBOLS
from towpath.entities.domain.matching.raw import plain_digits, raw_text
from towpath.entities.domain.matching.scripts import part_characters
from towpath.entities.types import FieldType

__all__ = ["NORMALISERS", "normalise_date", "normalise_number", "normalise_string", "normalise_text"]

MAX_CHARS = 1_200
"""Characters of a normalised value."""
MAX_HELD_CHARS = 40
"""Of a value that is remembered, so that it is normalised once."""

# Letters that Unicode decomposition leaves alone although people write them with plain ones.
_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ß": "ss", "×": "x"}
)
_APOSTROPHES = re.compile(r"(?<=\w)['’`](?=\w)")
_JOINED = re.compile(r"(?<![a-z0-9])[a-z0-9]+(?:[-/.][a-z0-9]+)+")
_BEFORE_DIGIT = re.compile(r"([-/.a-z]+)([0-9]?)")
_DIMENSION = re.compile(r"(?<=\d)\s*x\s*(?=\d)")
_UNIT = re.compile(rf"(?<![a-z0-9.])(\d+(?:\.\d+)?)({'|'.join(SYMBOLS)})(?![a-z0-9])")
_WORD = re.compile(r"[0-9]+\.[0-9]+(?![0-9.])|[^\W_]+")
_BESIDE_DIGIT = re.compile(r"\d\s*x|\d[a-z]")
_DIGIT = re.compile(r"[0-9]")
_DIGIT_RUNS = re.compile(r"[0-9]+")
_EMPTY_WORDS = frozenset({"", "nan", "none", "null", "n/a", "na", "-", "--", "?", "unknown"})


def normalise_text(value: object) -> str | None:
    """Lower-case words without accents and punctuation; codes written with marks inside are joined.

    `PSL-X350H` becomes `pslx350h`, `40mm` becomes `40 mm`, `M8x40` becomes `m8 40`; a decimal point stays.
    """
    if isinstance(value, str) and len(value) <= MAX_HELD_CHARS:
        return _normalise_short(value)
    return _normalise(raw_text(value))


@lru_cache(maxsize=1 << 15)
def _normalise_short(raw: str) -> str | None:
    """Names of places, states, sexes and the like come again and again."""
    return _normalise(raw)


def _normalise(raw: str) -> str | None:
    raw = raw.strip()
    if not raw:
        return None
    if raw.isascii():
        text = raw.lower()
    else:
        raw = plain_digits(raw)
        text = "".join(c for c in unicodedata.normalize("NFKD", raw.casefold()) if not unicodedata.combining(c))
        text = part_characters(unicodedata.normalize("NFKC", text.translate(_LETTERS))).strip()
    if text in _EMPTY_WORDS:
        return None
    if not text.isalpha():
        text = _join_words(text)
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS].rsplit(" ", 1)[0]


def _join_words(text: str) -> str:
    if text[-1].isdigit() and (digits := join_digits(text)):
        return digits
    if text.isascii() and text.replace(" ", "").isalnum():
        # Without marks only `40mm` and `8x40` are to be parted.
        if _BESIDE_DIGIT.search(text):
            text = _UNIT.sub(r"\1 \2", _DIMENSION.sub(" ", text))
        words = text.split()
    else:
        if "." in text:
            text = join_dotted_form(text)
        if "'" in text or "’" in text or "`" in text:
            text = _APOSTROPHES.sub("", text)
        if _DIGIT.search(text):
            text = _join_codes(text)
        words = _WORD.findall(text)
    # Only marks: they are kept as they are, so that two entities named "***" can still be compared.
    return " ".join(shorten_forms(words) if words else text.split())


def _join_codes(text: str) -> str:
    # Quantities first: the marks within `1.7l` join no code.
    text = _UNIT.sub(r"\1 \2", _DIMENSION.sub(" ", text))
    if "-" in text or "/" in text or "." in text:
        text = _JOINED.sub(_Codes(text).join, text)
    return text


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


NORMALISERS: dict[FieldType, Callable[[object], str | None]] = {
    FieldType.TEXT: normalise_text,
    FieldType.STRING: normalise_string,
    FieldType.NUMBER: normalise_number,
    FieldType.DATE: normalise_date,
}
"""How a value of each type becomes comparable."""
