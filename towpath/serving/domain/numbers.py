"""The numbers of lines in a file that comes in pieces."""

from __future__ import annotations


class LineNumbers:
    """Tells the number of a line, from 1, by where it begins in a file that comes in pieces."""

    def __init__(self) -> None:
        self._piece = b""
        self._start = 0
        self._place = 0
        self._line = 1

    def feed(self, piece: bytes) -> None:
        """Go on to the next piece."""
        self._line += self._piece.count(b"\n", self._place)
        self._start += len(self._piece)
        self._piece, self._place = piece, 0

    def line_at(self, offset: int) -> int:
        """Return the number of the line that begins at an offset; offsets rise, and lie in this piece or before it."""
        place = max(offset - self._start, self._place)
        self._line += self._piece.count(b"\n", self._place, place)
        self._place = place
        return self._line
