"""What a value of any JSON type says, as one bounded string, with the digits of all scripts as 0 to 9."""

from __future__ import annotations

import re
import unicodedata

MAX_RAW_CHARS = 4_000
"""Characters of a raw value that are looked at; the rest is left out."""
MAX_NUMBER = 1e300
MAX_LEAVES = 64
"""Scalars of a list or an object that are looked at."""

_OTHER_DIGIT = re.compile(r"(?![0-9])\d")


def raw_text(value: object) -> str:
    """Flatten any JSON value to one bounded string: leaves of lists and objects, parted by spaces."""
    if isinstance(value, str):
        return value if len(value) <= MAX_RAW_CHARS else value[:MAX_RAW_CHARS]
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return plain_number(value) or ""
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


def plain_number(number: float) -> str | None:
    """Return the shortest decimal spelling of a number; `None` for what is none, or too large."""
    if not abs(number) < MAX_NUMBER:  # not a number compares false
        return None
    if number == int(number) and abs(number) < 1e15:
        return str(int(number))
    return repr(float(f"{number:.10g}"))


def plain_digits(text: str) -> str:
    """Write the digits of other scripts as 0 to 9."""
    if text.isascii():
        return text
    return _OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)
