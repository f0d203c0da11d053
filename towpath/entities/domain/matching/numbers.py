"""Numbers as people and programs write them, to the shortest decimal spelling."""

from __future__ import annotations

import math
import re

from towpath.entities.domain.matching.raw import plain_digits, plain_number, raw_text

# Groups of three parted by spaces, or any digits with marks between them.
_NUMBER = re.compile(
    r"[-+]?(?:\d{1,3}(?:[ \u2009]\d{3})+(?!\d)(?:[.,]\d+)?|\d[\d.,'’\u00a0\u202f]*(?:[eE][-+]?\d{1,3}(?![\w]))?)",
    re.ASCII,
)
_GROUP_MARKS = re.compile(r"['’ \u00a0\u2009\u202f]")
# Minus, and the marks of Arabic script for thousands and decimals.
_OTHER_MARKS = str.maketrans({"\u2212": "-", "\u066c": "'", "\u066b": "."})
_MONEY = frozenset("$¢£¥" + "".join(map(chr, range(0x20A0, 0x20D0))))
_THOUSANDS = re.compile(r"[1-9]\d{0,2}\.\d{3}")


def normalise_number(value: object) -> str | None:
    """Return the first number of the value, without currency, unit and thousands marks; `None` when there is none."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return (
            str(value)
            if value.bit_length() < 60
            else plain_number(float(value) if value.bit_length() < 900 else math.nan)
        )
    if isinstance(value, float):
        return plain_number(value)
    raw = raw_text(value)
    if not raw.isascii():
        raw = plain_digits(raw).translate(_OTHER_MARKS)
    match = _NUMBER.search(raw)
    if match is None:
        return None
    digits = match.group()
    # A minus is a sign only when no word or number stands right before it: "322-331" is a range.
    if digits[0] in "+-" and match.start() and raw[match.start() - 1].isalnum():
        digits = digits[1:]
    if _THOUSANDS.fullmatch(digits) and "/" not in raw and not _MONEY.isdisjoint(raw):
        # An amount of money has no three decimals; a price by the litre may.
        digits = digits.replace(".", "")
    return plain_number(_decimal(digits))


def _decimal(digits: str) -> float:
    text = _GROUP_MARKS.sub("", digits).rstrip(".,")
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
