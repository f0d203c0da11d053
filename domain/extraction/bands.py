"""Rows -> bands: stretches of a page that are read alike, told apart by the empty lanes between their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from statistics import median

from domain.extraction.lines import Cell, Row

# Of the usual height of text: the narrowest lane, and the widest gap between rows of one band.
LANE = 0.8
APART = 3.0
TABLE_ROWS = 3
FORM_SHARE = 0.5
# Cells that are longer than both are lines of prose.
PROSE_WORDS = 4
PROSE_CHARACTERS = 24
# How many rows are looked at for one band; a table goes on in the next.
MOST_ROWS = 400

Lane = tuple[float, float]


class BandKind(StrEnum):
    """How a stretch of a page is read.

    LINES row by row; FORM labels with their values; TABLE as a grid; COLUMNS each lane's text to its end first.
    """

    LINES = "lines"
    FORM = "form"
    TABLE = "table"
    COLUMNS = "columns"


@dataclass(slots=True)
class Band:
    """Rows that are read alike.

    Attributes:
        lanes: The empty lanes between columns, in points; empty for LINES.
    """

    kind: BandKind
    rows: list[Row]
    lanes: list[Lane]

    def grid(self) -> list[list[list[Cell]]]:
        """Rows of columns of the cells that stand there."""
        return [_in_columns(row, self.lanes) for row in self.rows]

    def columns(self) -> list[list[Row]]:
        """The rows of each column by itself."""
        grid = self.grid()
        return [
            [_part(row, cells) for row, cells in zip(self.rows, column, strict=True) if cells]
            for column in zip(*grid, strict=True)
        ]


def bands_of(rows: Sequence[Row], usual: float) -> list[Band]:
    """The bands of a page or of a column, from its top.

    Args:
        usual: The height of most of its text.
    """
    bands: list[Band] = []
    start = 0
    while start < len(rows):
        count, lanes = _stretch(rows, start, usual)
        band = _judged(list(rows[start : start + count]), lanes)
        if band.kind == BandKind.LINES and bands and bands[-1].kind == BandKind.LINES:
            bands[-1].rows += band.rows
        else:
            bands.append(band)
        start += count
    return bands


def _stretch(rows: Sequence[Row], start: int, usual: float) -> tuple[int, list[Lane]]:
    """How many rows from here share lanes, and which."""
    if len(rows[start].cells) < 2:
        return 1, []
    count, lanes, worth = _best(rows, start, usual)
    # A line of a form right above a table would hide the table's other lanes.
    following = start + 1
    if count > 1 and following < len(rows) and len(rows[following].cells) > len(rows[start].cells):
        _, _, better = _best(rows, following, usual)
        if better > worth:
            return 1, []
    return count, lanes


def _best(rows: Sequence[Row], start: int, usual: float) -> tuple[int, list[Lane], int]:
    """The stretch from a row whose rows times lanes are most."""
    lanes = _gaps(rows[start])
    found = (1, _between(lanes), 0)
    filled = 1
    for place in range(start + 1, min(len(rows), start + MOST_ROWS)):
        row = rows[place]
        if row.y0 - rows[place - 1].y1 > APART * usual:
            break
        lanes = _shared(lanes, _gaps(row), LANE * usual)
        between = _between(lanes)
        if not between:
            break
        filled += len(row.cells) > 1
        worth = filled * len(between)
        if worth > found[2] or (worth == found[2] and len(between) == len(found[1])):
            found = (place - start + 1, between, worth)
    return found


def _judged(rows: list[Row], lanes: list[Lane]) -> Band:
    if not lanes or len(rows) < 2:
        return Band(BandKind.LINES, rows, [])
    grid = [_in_columns(row, lanes) for row in rows]
    paired = [columns for columns in grid if sum(map(bool, columns)) > 1]
    if sum(map(_is_labelled, paired)) >= max(1.0, FORM_SHARE * len(paired)):
        return Band(BandKind.FORM, rows, lanes)
    if _is_prose(grid):
        return Band(BandKind.COLUMNS, rows, lanes)
    if len(paired) >= TABLE_ROWS:
        return Band(BandKind.TABLE, rows, lanes)
    return Band(BandKind.LINES, rows, [])


def _is_labelled(columns: list[list[Cell]]) -> bool:
    """Whether a row tells what its cells mean: `Label:` before a value."""
    return any(cell.text.endswith(":") or ": " in cell.text for cells in columns for cell in cells[:1])


def _is_prose(grid: list[list[list[Cell]]]) -> bool:
    """Whether every column holds lines of running text."""
    for column in zip(*grid, strict=True):
        lines = [cells for cells in column if cells]
        if not lines or median(len(cell.words) for cells in lines for cell in cells) < PROSE_WORDS:
            return False
        if median(sum(len(cell.text) for cell in cells) for cells in lines) < PROSE_CHARACTERS:
            return False
    return True


def _in_columns(row: Row, lanes: Sequence[Lane]) -> list[list[Cell]]:
    columns: list[list[Cell]] = [[] for _ in range(len(lanes) + 1)]
    for cell in row.cells:
        columns[sum(cell.x0 >= end - 0.01 for _, end in lanes)].append(cell)
    return columns


def _part(row: Row, cells: list[Cell]) -> Row:
    return Row(cells, min(cell.y0 for cell in cells), max(cell.y1 for cell in cells), row.height)


def _gaps(row: Row) -> list[Lane]:
    edges = [-inf]
    for cell in row.cells:
        edges += [cell.x0, cell.x1]
    edges.append(inf)
    return list(zip(edges[::2], edges[1::2], strict=True))


def _shared(lanes: list[Lane], gaps: list[Lane], narrowest: float) -> list[Lane]:
    """What of the lanes is empty in a further row too."""
    shared = []
    at = 0
    for start, end in lanes:
        while at < len(gaps) and gaps[at][1] <= start:
            at += 1
        place = at
        while place < len(gaps) and gaps[place][0] < end:
            low, high = max(start, gaps[place][0]), min(end, gaps[place][1])
            if high - low >= narrowest:
                shared.append((low, high))
            place += 1
    return shared


def _between(lanes: Sequence[Lane]) -> list[Lane]:
    return [(start, end) for start, end in lanes if start > -inf and end < inf]
