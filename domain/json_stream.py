"""Cuts a stream of JSON into its items without reading them: exact bytes, exact offsets, bounded memory.

Why not an event parser such as ijson: it makes an object of every token (three times the time here),
gives no offset for an error, and the bytes as the client sent them are lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from contracts.errors import BadInput, ErrorCode, TooLarge

# A whole string, a bracket, or a quote whose string has not ended yet.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|"', re.DOTALL)
# A whole object without objects or arrays in it, which most items are: one match instead of one a token.
_FLAT = re.compile(rb'\{(?:[^{}\[\]"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+\}', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
_SCALAR_END = re.compile(rb"[,\]} \t\r\n]")


@dataclass(frozen=True, slots=True)
class Slice:
    """The bytes of one value and where they begin in the body."""

    offset: int
    raw: bytes


class Splitter(Protocol):
    """Takes a body in pieces and gives its items."""

    options: dict[bytes, bytes]

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Add bytes and give the items that are whole now."""
        ...

    def close(self) -> Iterator[Slice]:
        """Say that the body has ended; give what is left, or raise if it ended too early."""
        ...


class _State(Enum):
    START = auto()
    KEY = auto()
    COLON = auto()
    OPTION = auto()
    AFTER_OPTION = auto()
    FIRST = auto()
    VALUE = auto()
    AFTER_VALUE = auto()
    TAIL = auto()


class ArraySplitter:
    """Cuts `[...]` or `{"<name>": [...], ...}`; other members of the object end up in `options`.

    Args:
        most_bytes: The largest item.
        name: The member that holds the list.
        bare: Whether the body may be the list itself.
    """

    def __init__(self, *, most_bytes: int, name: str = "entities", bare: bool = True) -> None:
        self.options: dict[bytes, bytes] = {}
        self._name = name
        self._list_key = f'"{name}"'.encode()
        self._may_be_bare = bare
        self._most_bytes = most_bytes
        self._buffer = bytearray()
        self._base = 0
        self._at = 0
        self._state = _State.START
        self._bare = True
        self._seen_list = False
        self._key = b""
        # How far the value at `_at` has been looked through, and how deep it is there.
        self._scanned = 0
        self._depth = 0

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Add bytes and give the items that are whole now.

        Raises:
            BadInput: The body is not JSON of one of the two forms; the message has the offset.
            TooLarge: An item is larger than `most_bytes`.
        """
        self._buffer += data
        while True:
            self._skip_space()
            if self._at >= len(self._buffer):
                break
            before = (self._at, self._state)
            found = self._step()
            if found is not None:
                yield found
            if (self._at, self._state) == before:
                break
        del self._buffer[: self._at]
        self._base += self._at
        self._scanned = max(self._scanned - self._at, 0)
        self._at = 0
        if len(self._buffer) > self._most_bytes:
            raise TooLarge(f"the value at offset {self._base} is larger than {self._most_bytes} bytes")

    def close(self) -> Iterator[Slice]:
        """Check that the body has come to its end.

        Raises:
            BadInput: It ended in the middle.
        """
        if self._state is not _State.TAIL:
            empty = self._state is _State.START
            raise BadInput(
                "the body is empty"
                if empty
                else f"the body ends too early, at offset {self._base + len(self._buffer)}",
                code=ErrorCode.INVALID_JSON if empty else ErrorCode.TRUNCATED_BODY,
            )
        if not self._seen_list:
            raise BadInput(f"{self._name} is required", code=ErrorCode.MISSING_FIELD, field=self._name)
        return iter(())

    def _step(self) -> Slice | None:
        char = bytes(self._buffer[self._at : self._at + 1])
        if self._state in {_State.FIRST, _State.VALUE}:
            if self._state is _State.FIRST and self._leave(char, b"]", self._outer()):
                return None
            return self._read_value(_State.AFTER_VALUE)
        match self._state:
            case _State.START:
                self._start(char)
            case _State.KEY:
                self._read_key(char)
            case _State.COLON:
                self._expect(char, b":", _State.OPTION)
            case _State.OPTION:
                self._read_option(char)
            case _State.AFTER_OPTION:
                self._after(char, b"}", _State.TAIL, _State.KEY)
            case _State.AFTER_VALUE:
                self._after(char, b"]", self._outer(), _State.VALUE)
            case _:
                raise self._malformed("something follows the end of the JSON")
        return None

    def _after(self, char: bytes, end: bytes, ended: _State, following: _State) -> None:
        if not self._leave(char, end, ended):
            self._expect(char, b",", following)

    def _start(self, char: bytes) -> None:
        if char == b"[" and self._may_be_bare:
            self._seen_list = True
            self._go(_State.FIRST)
        elif char == b"{":
            self._bare = False
            self._go(_State.KEY)
        else:
            raise self._malformed("expected an object or an array" if self._may_be_bare else "expected an object")

    def _read_key(self, char: bytes) -> None:
        if char == b"}" and not self.options and not self._seen_list:
            self._go(_State.TAIL)
            return
        if char != b'"':
            raise self._malformed("expected a member's name")
        found = self._read_value(_State.COLON)
        if found is not None:
            self._key = found.raw

    def _read_option(self, char: bytes) -> None:
        if self._key != self._list_key:
            found = self._read_value(_State.AFTER_OPTION)
            if found is not None:
                self.options[self._key] = found.raw
            return
        if char != b"[":
            raise BadInput(f"{self._name} must be an array", field=self._name)
        if self._seen_list:
            raise self._malformed(f"{self._name} comes twice")
        self._seen_list = True
        self._go(_State.FIRST)

    def _read_value(self, following: _State) -> Slice | None:
        end = self._end_of_value()
        if end is None:
            return None
        if end - self._at > self._most_bytes:
            raise TooLarge(f"the value at offset {self._base + self._at} is larger than {self._most_bytes} bytes")
        if end == self._at:
            raise self._malformed("expected a value")
        found = Slice(self._base + self._at, bytes(self._buffer[self._at : end]))
        self._at, self._scanned, self._depth = end, end, 0
        self._state = following
        return found

    def _end_of_value(self) -> int | None:
        first = self._buffer[self._at]
        if first not in b'{["':
            ended = _SCALAR_END.search(self._buffer, self._at)
            return ended.start() if ended else None
        if self._scanned <= self._at and (flat := _FLAT.match(self._buffer, self._at)):
            return flat.end()
        for token in _TOKEN.finditer(self._buffer, max(self._scanned, self._at)):
            mark = token.group()
            if mark in (b"{", b"["):
                self._depth += 1
            elif mark in (b"}", b"]"):
                self._depth -= 1
            elif mark == b'"':
                self._scanned = token.start()
                return None
            self._scanned = token.end()
            if self._depth == 0:
                return token.end()
        self._scanned = len(self._buffer)
        return None

    def _outer(self) -> _State:
        return _State.TAIL if self._bare else _State.AFTER_OPTION

    def _skip_space(self) -> None:
        space = _SPACE.match(self._buffer, self._at)
        if space:
            self._at = space.end()

    def _go(self, state: _State) -> None:
        self._at += 1
        self._scanned = self._at
        self._state = state

    def _leave(self, char: bytes, end: bytes, state: _State) -> bool:
        if char != end:
            return False
        self._go(state)
        return True

    def _expect(self, char: bytes, wanted: bytes, state: _State) -> None:
        if not self._leave(char, wanted, state):
            raise self._malformed(f"expected {wanted.decode()}")

    def _malformed(self, why: str) -> BadInput:
        return BadInput(
            f"the body is not valid JSON: {why} at offset {self._base + self._at}", code=ErrorCode.INVALID_JSON
        )


class LineSplitter:
    """Cuts NDJSON into its lines; empty lines are skipped.

    Args:
        most_bytes: The largest line.
    """

    def __init__(self, *, most_bytes: int) -> None:
        self.options: dict[bytes, bytes] = {}
        self._most_bytes = most_bytes
        self._rest = b""
        self._base = 0

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Add bytes and give the lines that are whole now.

        Raises:
            TooLarge: A line is larger than `most_bytes`.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            yield from self._line(line)
            self._base += len(line) + 1
        self._check(self._rest)

    def close(self) -> Iterator[Slice]:
        """Give the last line, if no line break ended it."""
        yield from self._line(self._rest)

    def _line(self, line: bytes) -> Iterator[Slice]:
        self._check(line)
        stripped = line.strip()
        if stripped:
            yield Slice(self._base, stripped)

    def _check(self, line: bytes) -> None:
        if len(line) > self._most_bytes:
            raise TooLarge(f"the line at offset {self._base} is larger than {self._most_bytes} bytes")
