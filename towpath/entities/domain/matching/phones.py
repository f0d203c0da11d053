"""Numbers that name something, such as phone numbers: their digits count, however they are parted.

`+1 212-555-0147`, `(212) 555-0147` and `212.555.0147` become `2125550147`. A country code is left out where a plus or
two zeros say that it is one, and so are leading zeros, which spreadsheets lose: what is left is what all spellings
share. Dates, years, addresses of computers and decimals are none of these.
"""

from __future__ import annotations

import re

MAX_CHARS = 40
MIN_DIGITS, MAX_DIGITS = 7, 15
"""Of a number whose digits are joined over marks; E.164 has no longer ones."""
MAX_CODE_DIGITS = 3

_SPELLING = re.compile(
    r"(\+ ?|00 ?(?=[1-9]))?([\d(][\d ()./-]*\d)(?: *(?:ext|extension|x|app|durchwahl)[. ]*\d{1,5})?", re.ASCII
)
_CALLED = re.compile(
    r"(?:tel|telephone|telefon|telefono|phone|ph|fax|mob|mobile|mobil|cell)[.:]? *(?=[+(\d])", re.ASCII
)
_DECIMALS = re.compile(r"\d+\.\d+(?: +\d+\.\d+)*|\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_DATE = re.compile(
    r"(?:1[89]|2[01])\d\d([-/. ])[01]?\d\1[0-3]?\d(?!\d)|[0-3]?\d([-/. ])[0-3]?\d\2(?:1[89]|2[01])\d\d(?!\d)", re.ASCII
)
_YEARS = re.compile(r"(?:1[89]|2[01])\d\d", re.ASCII)
# ITU-T E.164: which beginnings are codes of one, two and three digits.
_COUNTRY = re.compile(r"[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9]\d\d")
_NORTH_AMERICAN = re.compile(r"1([2-9]\d\d[2-9]\d{6})")


def join_digits(text: str) -> str | None:
    """Return the digits of a text that is a number and nothing else, in the form that its spellings share.

    Args:
        text: A whole value, in lower case, without spaces around it.

    Returns:
        None: the text is something else, or its marks mean something.
    """
    if len(text) > MAX_CHARS:
        return None
    if text.isdigit():
        return text.lstrip("0") or "0"
    # As in `tel:+1-212-555-0147`, the form of links.
    match = _SPELLING.fullmatch(_CALLED.sub("", text, count=1) if text[0].isalpha() else text)
    if match is None:
        return None
    prefix, number = match.groups()
    digits = re.sub(r"\D", "", number)
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS:
        return None
    if prefix:
        digits = _COUNTRY.sub("", digits, count=1) if _COUNTRY.match(digits) else digits
    elif _DECIMALS.fullmatch(number) or _DATE.match(number) or (len(digits) == 8 and _has_year(number)):
        return None
    elif national := _NORTH_AMERICAN.fullmatch(digits):
        digits = national[1]
    return digits.lstrip("0") or None


def _has_year(number: str) -> bool:
    return any(_YEARS.fullmatch(run) for run in re.findall(r"\d+", number))


def is_phone(value: str) -> bool:
    """Say whether a normalised value is digits that may be those of a phone."""
    return MIN_DIGITS <= len(value) <= MAX_DIGITS and value.isdigit()


def is_same_phone(first: str, second: str) -> bool:
    """Say whether two normalised values are one phone number, of which one side may have a country code before it."""
    if not (is_phone(first) and is_phone(second)):
        return False
    short, long = sorted((first, second), key=len)
    return len(long) - len(short) <= MAX_CODE_DIGITS and long.endswith(short)
