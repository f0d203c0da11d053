"""Words with boxes -> rows of cells: what stands side by side, and what hangs together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from towpath.documents.types import Box, Word

# Gaps between words of one cell are narrower than the height of its text.
CELL_GAP = 1.0
# Words of a row share at least half of the lower one's height.
SHARED_HEIGHT = 0.5
# Slant below which a page counts as straight, as rise a run.
STRAIGHT = 0.003
SLANT_WORDS = 200
SIDEWAYS = 2.0
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")


@dataclass(slots=True)
class PlacedWord:
    """A word with its place in points, straightened."""

    word: Word
    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(slots=True)
class Cell:
    """Words of a row without a wide gap between them.

    Attributes:
        x0, x1: In points.
    """

    words: list[Word]
    text: str
    x0: float
    x1: float
    y0: float
    y1: float

    @property
    def box(self) -> Box:
        """Return the box around all its words, in fractions of the page."""
        return enclose(word.box for word in self.words)

    @property
    def confidence(self) -> float:
        """Return that of its least certain word."""
        return min(word.confidence for word in self.words)


@dataclass(slots=True)
class Row:
    """Cells side by side, from left to right.

    Attributes:
        y0, y1: In points, from the top.
        height: Of its text.
    """

    cells: list[Cell]
    y0: float
    y1: float
    height: float

    @property
    def text(self) -> str:
        """Return its cells, with wide gaps between them."""
        return "   ".join(cell.text for cell in self.cells)


def enclose(boxes: Iterable[Box]) -> Box:
    """Return the box around boxes."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def find_rows(words: Sequence[Word], width: float, height: float) -> list[Row]:
    """Find the rows of a page from the top; words that stand sideways come last, each line a row.

    Args:
        words: In any order; those of one line should follow each other, so that a slant is seen.
        width, height: Of the page, in points or pixels.
    """
    upright, sideways = _place_words(words, width, height)
    rows = [_row(group) for group in _group_words(upright)]
    return rows + [_sideways_row(each) for each in sideways]


def measure_usual_height(rows: Sequence[Row]) -> float:
    """Measure the height of most of the text; 0 without text."""
    heights = sorted((row.height, sum(len(cell.text) for cell in row.cells)) for row in rows)
    # The median, each row weighed by its letters: a large heading has few of them.
    half = sum(length for _, length in heights) / 2
    for tall, length in heights:
        half -= length
        if half <= 0:
            return tall
    return 0.0


def _place_words(words: Sequence[Word], width: float, height: float) -> tuple[list[PlacedWord], list[PlacedWord]]:
    upright: list[PlacedWord] = []
    sideways: list[PlacedWord] = []
    for word in words:
        left, top, right, bottom = word.box
        place = PlacedWord(word, left * width, top * height, right * width, bottom * height)
        if place.y1 - place.y0 > SIDEWAYS * (place.x1 - place.x0) and len(word.text) > 2:
            sideways.append(place)
        else:
            upright.append(place)
    # A page's own text lies straight; what a camera or a scanner saw may not.
    slant = _slant([place for place in upright if place.word.confidence < 1][:SLANT_WORDS])
    if abs(slant) > STRAIGHT:
        for place in upright:
            drop = slant * (place.x0 + place.x1) / 2
            place.y0 -= drop
            place.y1 -= drop
    return upright, sideways


def _slant(words: Sequence[PlacedWord]) -> float:
    """Return how much a line falls on its way to the right: the median from each word to the one after it."""
    seen = []
    for left, right in pairwise(words):
        gap = right.x0 - left.x1
        tall = left.y1 - left.y0
        fall = (right.y0 + right.y1 - left.y0 - left.y1) / 2
        # Only neighbours on one line: not the step from the end of a line to the beginning of the next.
        if -tall < gap < 2 * tall and abs(fall) < SHARED_HEIGHT * tall:
            seen.append(2 * fall / max(right.x0 + right.x1 - left.x0 - left.x1, tall))
    return median(seen) if seen else 0.0


def _group_words(words: list[PlacedWord]) -> list[list[PlacedWord]]:
    """Group words into rows, rows from the top, words as they come."""
    groups: list[list[PlacedWord]] = []
    top, bottom = 0.0, -1.0
    for word in sorted(words, key=lambda each: each.y0 + each.y1):
        y0, y1 = word.y0, word.y1
        tall, high = bottom - top, y1 - y0
        # How much of the heights of row and word lie beside each other; min and max are calls, and this runs per word.
        shared = (bottom if bottom < y1 else y1) - (top if top > y0 else y0)
        if shared < SHARED_HEIGHT * (tall if tall < high else high) or not groups:
            groups.append([word])
            top, bottom = y0, y1
            continue
        groups[-1].append(word)
        # A dot is low: the tallest word so far stands for the row.
        if high > tall and shared >= SHARED_HEIGHT * high:
            top, bottom = y0, y1
    return groups


def _row(words: list[PlacedWord]) -> Row:
    words.sort(key=lambda each: each.x0)
    heights = sorted(each.y1 - each.y0 for each in words)
    tall = heights[len(heights) // 2]
    cells = []
    start, edge = 0, words[0].x1
    for place in range(1, len(words)):
        if words[place].x0 - edge > CELL_GAP * tall:
            cells.append(_cell(words[start:place]))
            start = place
            edge = words[place].x1
        elif words[place].x1 > edge:
            edge = words[place].x1
    cells.append(_cell(words[start:]))
    return Row(cells, min(each.y0 for each in words), max(each.y1 for each in words), tall)


def _sideways_row(word: PlacedWord) -> Row:
    return Row([_cell([word])], word.y0, word.y1, word.x1 - word.x0)


def _cell(placed_words: list[PlacedWord]) -> Cell:
    words = [each.word for each in placed_words]
    text = " ".join(word.text for word in words)
    if _RIGHT_TO_LEFT.search(text) and 2 * len(_RIGHT_TO_LEFT.findall(text)) > len(text):
        words.reverse()
        text = " ".join(word.text for word in words)
    return Cell(
        words,
        text,
        placed_words[0].x0,
        max(each.x1 for each in placed_words),
        min(each.y0 for each in placed_words),
        max(each.y1 for each in placed_words),
    )
