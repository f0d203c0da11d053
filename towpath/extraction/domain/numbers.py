"""Numbers as people write them: marks of thousands and decimals, signs, currencies, units."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

DecimalMark = Literal[".", ","]

_SPACES = "\u0020\u00a0\u2007\u2009\u202f'\u2019"
_AMOUNT = re.compile(rf"\d(?:[\d.,{_SPACES}]*\d)?")
_MINUS = str.maketrans({"\u2212": "-", "\u2012": "-", "\u2013": "-"})
_GROUPED = re.compile(rf"^\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?=[.,]|$)|^\d+(?=[.,]|$)")
_BEFORE = re.compile(r"^[\s()+\-]*(?:[^\W\d_]{1,20}\.?(?=[\s()+\-])|[A-Z]{3}|[$€£¥₹#№])?[\s()+\-]*$")
_AFTER = re.compile(r"^[\s)\-]*(?:[^\W\d_]{1,20}\.?|[$€£¥₹%])?[\s)\-]*$")
MAX_DIGITS = 30
LONGEST = 200
"""Characters of a number with what stands around it; what is longer is a sentence."""


def parse_number(text: str, mark: DecimalMark | None = None) -> Decimal | None:
    """Parse the one number that a text states, with at most a currency, unit or sign around it; None: it states none.

    Args:
        mark: What parts decimals on these pages; None: not known, and `1,234` is taken for thousands.
    """
    text = text.translate(_MINUS).strip()
    match = _AMOUNT.search(text)
    if match is None or len(match[0]) > MAX_DIGITS or len(text) > LONGEST:
        return None
    before, after = text[: match.start()], text[match.end() :]
    if not _BEFORE.match(before) or not _AFTER.match(after):
        return None
    amount = _plain(match[0], mark)
    if amount is None:
        return None
    negative = "-" in before or after.strip() == "-" or ("(" in before and ")" in after)
    return -amount if negative else amount


def detect_decimal_mark(texts: Iterable[str]) -> DecimalMark | None:
    """Detect what parts decimals, as far as a document's numbers show it; None: they do not, or disagree."""
    seen: set[DecimalMark] = set()
    for text in texts:
        for amount in _AMOUNT.findall(text):
            shown = _find_mark(amount)
            if shown is not None:
                seen.add(shown)
    return seen.pop() if len(seen) == 1 else None


def _find_mark(amount: str) -> DecimalMark | None:
    """Return the mark that a number can only be read with."""
    dots, commas = amount.count("."), amount.count(",")
    if dots and commas:
        last: DecimalMark = "." if amount.rindex(".") > amount.rindex(",") else ","
        return last if amount.count(last) == 1 else None
    mark: DecimalMark = "." if dots else ","
    if dots + commas != 1:
        return None
    _, _, decimals = amount.partition(mark)
    return mark if len(decimals) in {1, 2} and decimals.isdigit() else None


def _plain(amount: str, mark: DecimalMark | None) -> Decimal | None:
    head = _GROUPED.match(amount)
    if head is not None:
        amount = re.sub(rf"[{_SPACES}]", "", head[0]) + amount[head.end() :]
    parts = re.split(r"[.,]", amount)
    if not all(part.isdigit() and part.isascii() for part in parts):
        return None
    marks = [each for each in amount if each in ".,"]
    if not marks:
        return Decimal(amount)
    if _is_decimal(marks, parts, mark):
        whole, decimals = parts[:-1], parts[-1]
    else:
        whole, decimals = parts, "0"
    # 1.2.2026 is a date, 12,34,567 nobody's thousands.
    grouped = len(whole) == 1 or (len(whole[0]) <= 3 and all(len(part) == 3 for part in whole[1:]))
    alike = len(set(marks[: len(whole) - 1])) <= 1
    return Decimal(f"{''.join(whole)}.{decimals}") if grouped and alike else None


def _is_decimal(marks: list[str], parts: list[str], mark: DecimalMark | None) -> bool:
    """Return whether the last mark parts decimals."""
    last = marks[-1]
    if len(set(marks)) > 1:
        return marks.count(last) == 1
    if len(marks) > 1:
        return False
    if len(parts[-1]) != 3 or len(parts[0]) > 3 or parts[0] == "0":
        return True
    return last == (mark or ".")
