"""Cuts a stream of JSON into its items without reading them: exact bytes, exact offsets, bounded memory.

Why not an event parser such as ijson: it makes an object of every token (three times the time here),
gives no offset for an error, and the bytes as the client sent them are lost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from towpath.core.errors import BadInputError, ErrorCode, TooLargeError
from towpath.core.json_values import BYTE_ORDER_MARK

HEAD_BYTES = 1 << 16
"""How much is kept of an item that is too large."""

# A whole string, a bracket, or a quote whose string has not ended yet.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]|"', re.DOTALL)
# A whole object without objects or arrays in it, which most items are: one match instead of one a token.
_FLAT = re.compile(rb'\{(?:[^{}\[\]"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+\}', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
_SCALAR_END = re.compile(rb"[,\]} \t\r\n]")
# What is left of a string that has begun; an escape that is not whole yet stays out.
_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SCALAR_MEMBER = re.compile(rb'\s*:\s*("[^"\\]*+(?:\\.[^"\\]*+)*+"|-?\d++(?=[,}\s]))', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Slice:
    """The bytes of one value and where they begin in the body."""

    offset: int
    raw: bytes
    """Of an item that is too large: its beginning."""
    digest: bytes = b""
    """SHA-256 of an item that is too large; empty: the item is whole."""

    @property
    def whole(self) -> bool:
        """Whether the item was within the limit."""
        return not self.digest


def scalar_member(raw: bytes, name: str) -> bytes | None:
    """Return a string or whole number among the members of an object of which only the beginning may be there."""
    depth, quoted = 0, f'"{name}"'.encode()
    for token in _TOKEN.finditer(raw):
        mark = token.group()
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and mark == quoted and (match := _SCALAR_MEMBER.match(raw, token.end())):
            return match.group(1)
    return None


class _LargeItem:
    """An item that is too large: passed over, with its beginning and its digest kept."""

    def __init__(self, offset: int, *, scalar: bool = False) -> None:
        self.scalar = scalar
        self._offset = offset
        self._head = bytearray()
        self._digest = hashlib.sha256()

    def add(self, data: bytes | bytearray) -> None:
        self._digest.update(data)
        self._head += data[: HEAD_BYTES - len(self._head)]

    def slice(self) -> Slice:
        return Slice(self._offset, bytes(self._head), self._digest.digest())

    @classmethod
    def of(cls, offset: int, data: bytes | bytearray) -> Slice:
        large = cls(offset)
        large.add(data)
        return large.slice()


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


_ITEM_STATES = frozenset({_State.FIRST, _State.VALUE})


class ArraySplitter:
    """Cuts `[...]` or `{"<name>": [...], ...}`; other members of the object end up in `options`.

    Args:
        most_bytes: The largest item; of a larger one only the beginning is given. Also the largest other member.
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
        self._in_string = False
        self._large: _LargeItem | None = None

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Add bytes and give the items that are whole now.

        Raises:
            BadInputError: The body is not JSON of one of the two forms; the message has the offset.
            TooLargeError: A member beside the list is larger than `most_bytes`.
        """
        self._buffer += data
        while True:
            if self._large is not None:
                passed = self._pass_over(self._large)
                if passed is None:
                    return
                yield passed
            self._skip_space()
            if self._at >= len(self._buffer):
                break
            before = (self._at, self._state)
            item = self._step()
            if item is not None:
                yield item
            if (self._at, self._state) == before:
                break
        del self._buffer[: self._at]
        self._base += self._at
        self._scanned = max(self._scanned - self._at, 0)
        self._at = 0
        if len(self._buffer) <= self._most_bytes:
            return
        if self._state not in _ITEM_STATES:
            raise TooLargeError(f"the value at offset {self._base} is larger than {self._most_bytes} bytes")
        self._large = _LargeItem(self._base, scalar=self._buffer[0] not in b'{["')
        # Its end is not there yet, or it would have been found.
        self._pass_over(self._large)

    def close(self) -> Iterator[Slice]:
        """Check that the body has come to its end.

        Raises:
            BadInputError: It ended in the middle.
        """
        if self._state is not _State.TAIL:
            empty = self._state is _State.START
            raise BadInputError(
                "the body is empty"
                if empty
                else f"the body ends too early, at offset {self._base + len(self._buffer)}",
                code=ErrorCode.INVALID_JSON if empty else ErrorCode.TRUNCATED_BODY,
            )
        if not self._seen_list:
            raise BadInputError(f"{self._name} is required", code=ErrorCode.MISSING_FIELD, field=self._name)
        return iter(())

    def _step(self) -> Slice | None:
        char = bytes(self._buffer[self._at : self._at + 1])
        if self._state in _ITEM_STATES:
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
        if self._base + self._at == 0 and BYTE_ORDER_MARK.startswith(bytes(self._buffer[:3])):
            if len(self._buffer) >= len(BYTE_ORDER_MARK):
                self._at = self._scanned = len(BYTE_ORDER_MARK)
        elif char == b"[" and self._may_be_bare:
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
        is_complete = self._read_value(_State.COLON)
        if is_complete is not None:
            self._key = is_complete.raw

    def _read_option(self, char: bytes) -> None:
        if self._key != self._list_key:
            is_complete = self._read_value(_State.AFTER_OPTION)
            if is_complete is not None:
                self.options[self._key] = is_complete.raw
            return
        if char != b"[":
            raise BadInputError(f"{self._name} must be an array", field=self._name)
        if self._seen_list:
            raise self._malformed(f"{self._name} comes twice")
        self._seen_list = True
        self._go(_State.FIRST)

    def _read_value(self, following: _State) -> Slice | None:
        end = self._end_of_value()
        if end is None:
            return None
        if end == self._at:
            raise self._malformed("expected a value")
        offset, raw = self._base + self._at, bytes(self._buffer[self._at : end])
        if len(raw) <= self._most_bytes:
            item = Slice(offset, raw)
        elif self._state in _ITEM_STATES:
            item = _LargeItem.of(offset, raw)
        else:
            raise TooLargeError(f"the value at offset {offset} is larger than {self._most_bytes} bytes")
        self._at, self._scanned, self._depth = end, end, 0
        self._state = following
        return item

    def _end_of_value(self) -> int | None:
        if self._buffer[self._at] not in b'{["':
            return self._end_of_scalar()
        if self._scanned <= self._at and (flat := _FLAT.match(self._buffer, self._at)):
            return flat.end()
        return self._end_of_nested()

    def _end_of_scalar(self) -> int | None:
        ended = _SCALAR_END.search(self._buffer, max(self._scanned, self._at))
        self._scanned = len(self._buffer)
        return ended.start() if ended else None

    def _end_of_nested(self) -> int | None:
        """Go on where the last look at this value ended, which may have been within a string."""
        start = max(self._scanned, self._at)
        if self._in_string:
            self._scanned = self._end_of_string(start)
            if self._buffer[self._scanned : self._scanned + 1] != b'"':
                return None
            self._in_string = False
            start = self._scanned = self._scanned + 1
            if self._depth == 0:
                return start
        for token in _TOKEN.finditer(self._buffer, start):
            if token.group() == b'"':
                self._in_string = True
                self._scanned = self._end_of_string(token.end())
                return None
            self._see(token.group())
            self._scanned = token.end()
            if self._depth == 0:
                return token.end()
        self._scanned = len(self._buffer)
        return None

    def _pass_over(self, large: _LargeItem) -> Slice | None:
        """Take what is there of an item that is too large, so that no more than a piece is ever held."""
        end = self._end_of_scalar() if large.scalar else self._end_of_nested()
        stop = self._scanned if end is None else end
        large.add(self._buffer[:stop])
        del self._buffer[:stop]
        self._base += stop
        self._at = self._scanned = 0
        if end is None:
            return None
        self._large, self._depth, self._state = None, 0, _State.AFTER_VALUE
        return large.slice()

    def _end_of_string(self, start: int) -> int:
        rest = _STRING_REST.match(self._buffer, start)
        return rest.end() if rest else start

    def _see(self, mark: bytes) -> None:
        if mark in (b"{", b"["):
            self._depth += 1
        elif mark in (b"}", b"]"):
            self._depth -= 1

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

    def _expect(self, char: bytes, expected: bytes, state: _State) -> None:
        if not self._leave(char, expected, state):
            raise self._malformed(f"expected {expected.decode()}")

    def _malformed(self, why: str) -> BadInputError:
        return BadInputError(
            f"the body is not valid JSON: {why} at offset {self._base + self._at}", code=ErrorCode.INVALID_JSON
        )


class LineSplitter:
    """Cuts NDJSON into its lines; empty lines are skipped.

    Args:
        most_bytes: The largest line; of a larger one only the beginning is given.
    """

    def __init__(self, *, most_bytes: int) -> None:
        self.options: dict[bytes, bytes] = {}
        self._most_bytes = most_bytes
        self._rest = b""
        self._base = 0
        self._large: _LargeItem | None = None

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Add bytes and give the lines that are whole now."""
        if self._large is not None:
            piece, line_break, data = data.partition(b"\n")
            self._large.add(piece)
            self._base += len(piece) + len(line_break)
            if not line_break:
                return
            yield self._large.slice()
            self._large = None
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            yield from self._line(line)
            self._base += len(line) + 1
        if len(self._rest) > self._most_bytes:
            self._large = _LargeItem(self._base)
            self._large.add(self._rest)
            self._base += len(self._rest)
            self._rest = b""

    def close(self) -> Iterator[Slice]:
        """Give the last line, if no line break ended it."""
        if self._large is None:
            yield from self._line(self._rest)
        else:
            yield self._large.slice()

    def _line(self, line: bytes) -> Iterator[Slice]:
        if self._base == 0:
            line = line.removeprefix(BYTE_ORDER_MARK)
        stripped = line.strip()
        if len(stripped) > self._most_bytes:
            yield _LargeItem.of(self._base, stripped)
        elif stripped:
            yield Slice(self._base, stripped)
