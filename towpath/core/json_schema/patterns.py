"""Patterns of JSON Schemas on RE2, whose time is linear in the text whatever the pattern.

RE2 knows `\\d`, `\\w` and `\\s` for ASCII alone, and no `\\u00e9`. Patterns were read by Python before, for which they
are Unicode's; so they are translated, and go on matching what they matched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import re2

MAX_MEMORY = 8 << 20
"""Bytes of one compiled pattern with its states; `\\w{1,255}` just fits."""
MAX_PATTERNS = 16
"""Compiled patterns that are kept, each of up to twice that."""
MAX_CHARACTERS = 10_000
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_BRACED = re.compile(r"\{([0-9a-fA-F]{1,6})\}")
_UP_TO = re.compile(r"\{,([0-9]{1,4})\}")
# RE2 alone gives these a meaning; where patterns come from they have none.
_FOREIGN = "CQE"
_WORD = r"\p{L}\p{N}_"
_NO_WORD = (
    r"\p{M}\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Po}\p{S}\p{Z}\p{C}"
    r"\x{203f}\x{2040}\x{2054}\x{fe33}\x{fe34}\x{fe4d}-\x{fe4f}\x{ff3f}"
)
_SPACE = r"\x{9}-\x{d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_NO_SPACE = (
    r"\x{0}-\x{8}\x{e}-\x{1b}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}"
    r"\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff}"
)
_UNICODE = {"d": r"\p{Nd}", "D": r"\P{Nd}", "w": _WORD, "W": _NO_WORD, "s": _SPACE, "S": _NO_SPACE}
_PLAIN = {
    "d": "0-9",
    "D": r"\x{0}-/:-\x{10ffff}",
    "w": "0-9A-Z_a-z",
    "W": r"\x{0}-/:-@\[-\^`{-\x{10ffff}",
    "s": r"\x{9}-\x{d}\x{1c}-\x{20}",
    "S": r"\x{0}-\x{8}\x{e}-\x{1b}!-\x{10ffff}",
}
_REASONS = (
    ("invalid perl operator", "look-ahead, look-behind and other conditions are not supported"),
    ("invalid repetition size", "a repetition of more than 1,000 is not supported"),
    ("bad repetition operator", "possessive and doubled repetitions are not supported"),
    ("pattern too large", "it is too large once its repetitions are written out"),
)


class BadPatternError(ValueError):
    """A pattern that does not run here; its text is the reason."""


class Pattern:
    """A pattern, compiled twice: Unicode's classes are hundreds of times the size of those that do for ASCII texts.

    Args:
        given: As in the schema.

    Raises:
        BadPatternError: It is no regular expression, or none of linear time.
    """

    def __init__(self, given: str) -> None:
        if len(given) > MAX_CHARACTERS:
            raise BadPatternError(f"longer than {MAX_CHARACTERS:,} characters")
        self._given = given
        self._plain = _compiled(_translated(given, _PLAIN))

    @cached_property
    def _whole(self) -> Any:
        return _compiled(_translated(self._given, _UNICODE))

    @property
    def size(self) -> int:
        """Instructions of both forms; compiling takes about 0.3 microseconds for each.

        Raises:
            BadPatternError: It is too large for texts that are not ASCII.
        """
        return int(self._plain.programsize) + int(self._whole.programsize)

    def steps(self, text: str) -> int:
        """What a search takes at most, in steps of about five nanoseconds; measured with patterns made for it.

        Raises:
            BadPatternError: It is too large for texts that are not ASCII.
        """
        # Few of the instructions that Unicode's classes add are at work at once.
        more = 0 if text.isascii() else int(self._whole.programsize) // 50
        return (int(self._plain.programsize) + more) * (len(text) + 1)

    def found_in(self, text: str) -> bool:
        """Whether it matches anywhere in a text.

        Raises:
            BadPatternError: It is too large for texts that are not ASCII.
        """
        return self._for(text).search(text.encode("utf-8", "surrogatepass")) is not None

    def _for(self, text: str) -> Any:
        return self._plain if text.isascii() else self._whole


def _compiled(translated: str) -> Any:
    try:
        return re2.compile(translated, _options())
    except re2.error as error:
        told = error.args[0] if error.args else ""
        raise BadPatternError(
            _reason(told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told))
        ) from error


@lru_cache(maxsize=MAX_PATTERNS)
def _kept(given: str) -> Pattern:
    return Pattern(given)


def compiled(given: str) -> Pattern:
    """A pattern, compiled once.

    Raises:
        BadPatternError: It is no regular expression, or none of linear time.
    """
    return _kept(given)


def _options() -> Any:
    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.log_errors = False
    options.never_capture = True
    return options


def _reason(told: str) -> str:
    for begin, reason in _REASONS:
        if told.startswith(begin):
            place = told.partition(": ")[2]
            return f"{reason}: {place}" if place and "failed" not in place else reason
    if re.match(r"invalid escape sequence: \\[1-9k]", told):
        return f"back-references are not supported: {told.rpartition(' ')[2]}"
    return told or "it cannot be read"


def _translated(given: str, classes: Mapping[str, str]) -> str:
    """A pattern in the words of RE2, with the same meaning."""
    made: list[str] = []
    place, within = 0, False
    while place < len(given):
        char = given[place]
        if char == "\\":
            piece, place = _escape(given, place + 1, classes, within=within)
            made.append(piece)
            continue
        place += 1
        if within:
            within = char != "]"
            # `[[:alpha:]` is a set of characters, and no class by name.
            made.append(r"\[" if char == "[" else char)
        elif char == "[":
            within = True
            begin = re.match(r"\^?\]?", given[place:])
            lead = begin[0] if begin else ""
            made.append(char + lead.replace("]", r"\]"))
            place += len(lead)
        elif char == "{" and (found := _UP_TO.match(given, place - 1)):
            made.append(f"{{0,{found[1]}}}")
            place = found.end()
        else:
            made.append(char)
    return "".join(made)


def _escape(given: str, place: int, classes: Mapping[str, str], *, within: bool) -> tuple[str, int]:
    """What stands for a backslash and what follows, and where to go on."""
    char = given[place : place + 1]
    if char in classes:
        return (classes[char] if within else f"[{classes[char]}]"), place + 1
    if char == "u":
        return _character(given, place + 1)
    if char == "Z" and not within:
        return r"\z", place + 1
    if char == "b" and within:
        return r"\x{8}", place + 1
    if char and char in _FOREIGN:
        raise BadPatternError(f"unknown escape \\{char}")
    return "\\" + char, place + 1


def _character(given: str, place: int) -> tuple[str, int]:
    if braced := _BRACED.match(given, place):
        return f"\\x{{{braced[1]}}}", braced.end()
    found = _HEX.match(given, place)
    if found is None:
        raise BadPatternError("\\u needs four hexadecimal digits")
    number, place = int(found[0], 16), found.end()
    low = _HEX.match(given, place + 2) if given.startswith("\\u", place) else None
    if 0xD800 <= number < 0xDC00 and low is not None and 0xDC00 <= int(low[0], 16) < 0xE000:
        return f"\\x{{{0x10000 + ((number - 0xD800) << 10) + int(low[0], 16) - 0xDC00:x}}}", low.end()
    return f"\\x{{{number:x}}}", place
