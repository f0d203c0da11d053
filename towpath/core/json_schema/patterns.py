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
        pattern: As in the schema.

    Raises:
        BadPatternError: It is no regular expression, or none of linear time.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_CHARACTERS:
            raise BadPatternError(f"longer than {MAX_CHARACTERS:,} characters")
        self._text = pattern
        self._plain = _compile(_translate(pattern, _PLAIN))

    @cached_property
    def _whole(self) -> Any:
        return _compile(_translate(self._text, _UNICODE))

    @property
    def size(self) -> int:
        """Instructions of both forms; compiling takes about 0.3 microseconds for each.

        Raises:
            BadPatternError: It is too large for texts that are not ASCII.
        """
        return int(self._plain.programsize) + int(self._whole.programsize)

    def steps(self, text: str) -> int:
        """Return what a search takes at most, in steps of about five nanoseconds; measured with patterns made for it.

        Raises:
            BadPatternError: It is too large for texts that are not ASCII.
        """
        # Few of the instructions that Unicode's classes add are at work at once.
        extra = 0 if text.isascii() else int(self._whole.programsize) // 50
        return (int(self._plain.programsize) + extra) * (len(text) + 1)

    def found_in(self, text: str) -> bool:
        """Return whether it matches anywhere in a text.

        Raises:
            BadPatternError: It is too large for texts that are not ASCII.
        """
        return self._for(text).search(text.encode("utf-8", "surrogatepass")) is not None

    def _for(self, text: str) -> Any:
        return self._plain if text.isascii() else self._whole


def _compile(translated: str) -> Any:
    try:
        return re2.compile(translated, _options())
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise BadPatternError(
            _reason(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason))
        ) from error


@lru_cache(maxsize=MAX_PATTERNS)
def _compile_cached(pattern: str) -> Pattern:
    return Pattern(pattern)


def compile_pattern(pattern: str) -> Pattern:
    """Return a pattern, compiled once.

    Raises:
        BadPatternError: It is no regular expression, or none of linear time.
    """
    return _compile_cached(pattern)


def _options() -> Any:
    options = re2.Options()
    options.max_mem = MAX_MEMORY
    options.log_errors = False
    options.never_capture = True
    return options


def _reason(message: str) -> str:
    for begin, reason in _REASONS:
        if message.startswith(begin):
            detail = message.partition(": ")[2]
            return f"{reason}: {detail}" if detail and "failed" not in detail else reason
    if re.match(r"invalid escape sequence: \\[1-9k]", message):
        return f"back-references are not supported: {message.rpartition(' ')[2]}"
    return message or "it cannot be read"


def _translate(pattern: str, classes: Mapping[str, str]) -> str:
    """Return a pattern in the words of RE2, with the same meaning."""
    pieces: list[str] = []
    index, within = 0, False
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            piece, index = _translate_escape(pattern, index + 1, classes, within=within)
            pieces.append(piece)
            continue
        index += 1
        if within:
            within = char != "]"
            # `[[:alpha:]` is a set of characters, and no class by name.
            pieces.append(r"\[" if char == "[" else char)
        elif char == "[":
            within = True
            begin = re.match(r"\^?\]?", pattern[index:])
            lead = begin[0] if begin else ""
            pieces.append(char + lead.replace("]", r"\]"))
            index += len(lead)
        elif char == "{" and (repetition := _UP_TO.match(pattern, index - 1)):
            pieces.append(f"{{0,{repetition[1]}}}")
            index = repetition.end()
        else:
            pieces.append(char)
    return "".join(pieces)


def _translate_escape(pattern: str, index: int, classes: Mapping[str, str], *, within: bool) -> tuple[str, int]:
    """Return what stands for a backslash and what follows, and where to go on."""
    char = pattern[index : index + 1]
    if char in classes:
        return (classes[char] if within else f"[{classes[char]}]"), index + 1
    if char == "u":
        return _translate_character(pattern, index + 1)
    if char == "Z" and not within:
        return r"\z", index + 1
    if char == "b" and within:
        return r"\x{8}", index + 1
    if char and char in _FOREIGN:
        raise BadPatternError(f"unknown escape \\{char}")
    return "\\" + char, index + 1


def _translate_character(pattern: str, index: int) -> tuple[str, int]:
    if braced := _BRACED.match(pattern, index):
        return f"\\x{{{braced[1]}}}", braced.end()
    digits = _HEX.match(pattern, index)
    if digits is None:
        raise BadPatternError("\\u needs four hexadecimal digits")
    number, index = int(digits[0], 16), digits.end()
    low = _HEX.match(pattern, index + 2) if pattern.startswith("\\u", index) else None
    if 0xD800 <= number < 0xDC00 and low is not None and 0xDC00 <= int(low[0], 16) < 0xE000:
        return f"\\x{{{0x10000 + ((number - 0xD800) << 10) + int(low[0], 16) - 0xDC00:x}}}", low.end()
    return f"\\x{{{number:x}}}", index
