"""Finds room for the names of points, so that none lies on another one."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

LETTER = 6.4
"""Pixels of a letter of a label of 11 pixels, on average and rather more."""
LINE = 13
GAP = 8


class Side(StrEnum):
    """Where a name stands to its point."""

    RIGHT = "right"
    LEFT = "left"
    ABOVE = "above"
    BELOW = "below"


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def place_names(points: Sequence[tuple[float, float]], names: Sequence[str], *, width: float) -> list[Side | None]:
    """Choose the side on which each name has room; None: on none.

    Args:
        points: Pixels from the left and from the top.
        names: As many.
        width: Pixels of the area that names must not leave at its sides.
    """
    dots = [_Box(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    taken: list[_Box] = []
    sides: list[Side | None] = []
    for at, ((x, y), name) in enumerate(zip(points, names, strict=True)):
        others = [*taken, *dots[:at], *dots[at + 1 :]]
        for side in Side:
            box = _box(side, x, y, len(name) * LETTER)
            if box.left >= 0 and box.right <= width and not any(box.touches(other) for other in others):
                taken.append(box)
                sides.append(side)
                break
        else:
            sides.append(None)
    return sides


def _box(side: Side, x: float, y: float, long: float) -> _Box:
    half = LINE / 2
    match side:
        case Side.RIGHT:
            return _Box(x + GAP, y - half, x + GAP + long, y + half)
        case Side.LEFT:
            return _Box(x - GAP - long, y - half, x - GAP, y + half)
        case Side.ABOVE:
            return _Box(x - long / 2, y - GAP - LINE, x + long / 2, y - GAP)
        case Side.BELOW:
            return _Box(x - long / 2, y + GAP, x + long / 2, y + GAP + LINE)
