"""Rows -> bands: stretches of a page that are read alike, told apart by the empty lanes between their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from statistics import median

from towpath.documents.lines import Cell, Row

# Of the usual height of text: the narrowest lane, and the widest gap between rows of one band, and of prose.
LANE = 0.8
APART = 1.6
PROSE_APART = 3.0
# A smaller gap parts bands where it breaks their rhythm: how wide, and how much more than the steps before.
PAUSE = 0.8
PAUSE_STEP = 1.8
# Text that is so much taller belongs to something else.
TALLER = 1.4
TABLE_ROWS = 3
FORM_SHARE = 0.5
# Cells that are longer than both are lines of prose.
PROSE_WORDS = 4
PROSE_CHARACTERS = 24
# How many rows are looked at for one band; a table goes on in the next.
MAX_ROWS = 400

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
        """Return rows of columns of the cells that stand there."""
        return [_in_columns(row, self.lanes) for row in self.rows]

    def columns(self) -> list[list[Row]]:
        """Return the rows of each column by itself."""
        grid = self.grid()
        return [
            [_part(row, cells) for row, cells in zip(self.rows, column, strict=True) if cells]
            for column in zip(*grid, strict=True)
        ]


def find_bands(rows: Sequence[Row], usual: float) -> list[Band]:
    """Find the bands of a page or of a column, from its top.

    Args:
        usual: The height of most of its text.
    """
    bands: list[Band] = []
    start = 0
    while start < len(rows):
        band = _band_at(rows, start, usual)
        if band.kind == BandKind.LINES and bands and bands[-1].kind == BandKind.LINES:
            bands[-1].rows += band.rows
        else:
            bands.append(band)
        start += len(band.rows)
    return bands


def _band_at(rows: Sequence[Row], start: int, usual: float) -> Band:
    """Return the band that begins with a row."""
    alone = Band(BandKind.LINES, [rows[start]], [])
    if len(rows[start].cells) < 2:
        return alone
    count, lanes, _ = _stretch(rows, start, usual, PROSE_APART)
    stretch = list(rows[start : start + count])
    if count > 1 and lanes and _is_prose([_in_columns(row, lanes) for row in stretch]):
        return Band(BandKind.COLUMNS, stretch, lanes)
    count, lanes, worth = _stretch(rows, start, usual, APART)
    # A line of a form right above a table would hide the table's other lanes.
    following = start + 1
    if count > 1 and len(rows[following].cells) > len(rows[start].cells):
        _, _, better = _stretch(rows, following, usual, APART)
        if better > worth:
            return alone
    return _judge(list(rows[start : start + count]), lanes) if count > 1 and lanes else alone


def _stretch(rows: Sequence[Row], start: int, usual: float, apart: float) -> tuple[int, list[Lane], int]:
    """Find the rows from one on that are most worth being read in columns: how many, their lanes, and how much.

    Worth is what stands in further columns of its row, less what has to share a column with its neighbour.
    """
    # A lane is an interval of x that no cell of any row so far touches. Each row narrows the lanes to what is empty in
    # it too, so a stretch ends where the last lane between two cells would close.
    lanes = _gaps(rows[start])
    best = (1, _drop_margins(lanes), 0)
    last_lanes: list[Lane] = []
    worth = 0
    step = inf
    for place in range(start + 1, min(len(rows), start + MAX_ROWS)):
        row, above = rows[place], rows[place - 1]
        # `gap` is the white between two rows, `further` the step from middle to middle, which is even within a block.
        gap, further = row.y0 - above.y1, (row.y0 + row.y1 - above.y0 - above.y1) / 2
        paused = apart < PROSE_APART and gap > PAUSE * usual and further > PAUSE_STEP * step
        if gap > apart * usual or paused or _differ(row.height, rows[start].height):
            break
        step = min(step, further)
        lanes = _intersect(lanes, _gaps(row), LANE * usual)
        between = _drop_margins(lanes)
        if not between:
            break
        # Lanes that only narrow leave every cell in its column.
        counted = [row] if len(between) == len(last_lanes) else rows[start : place + 1]
        worth = (worth if len(between) == len(last_lanes) else 0) + sum(_worth(each, between) for each in counted)
        last_lanes = between
        # The longest of the stretches that are worth most, as long as the number of columns stays.
        if worth > best[2] or (worth == best[2] and len(between) == len(best[1])):
            best = (place - start + 1, between, worth)
    return best


def _worth(row: Row, lanes: Sequence[Lane]) -> int:
    # `filled - 1` cells stand in a column after the first; `cells - filled` share a column with a neighbour.
    filled = sum(map(bool, _in_columns(row, lanes)))
    return (filled - 1) - (len(row.cells) - filled)


def _differ(height: float, other_height: float) -> bool:
    return max(height, other_height) > TALLER * min(height, other_height)


def _judge(rows: list[Row], lanes: list[Lane]) -> Band:
    grid = [_in_columns(row, lanes) for row in rows]
    paired = [columns for columns in grid if sum(map(bool, columns)) > 1]
    if _is_headed(grid):
        return Band(BandKind.COLUMNS, rows, lanes)
    if sum(map(_is_labelled, paired)) >= max(1.0, FORM_SHARE * len(paired)):
        blocks = _beside_text(grid, lanes)
        return Band(BandKind.COLUMNS, rows, blocks) if blocks else Band(BandKind.FORM, rows, lanes)
    if len(paired) < TABLE_ROWS:
        return Band(BandKind.LINES, rows, [])
    # What follows a table at its left is no row of it.
    while sum(map(bool, grid[-1])) == 1 and grid[-1][0]:
        grid.pop()
    return Band(BandKind.TABLE, rows[: len(grid)], lanes)


def _is_headed(grid: list[list[list[Cell]]]) -> bool:
    """Return whether blocks of text stand side by side, each below a label of its own."""
    first, rest = grid[0], grid[1:]
    named = all(cells and cells[-1].text.endswith(":") for cells in first)
    return named and not any(map(_is_labelled, rest))


def _beside_text(grid: list[list[list[Cell]]], lanes: Sequence[Lane]) -> list[Lane]:
    """Return the lanes between a form and text that stands beside it; none when all of it is a form."""
    labels = [_is_label_column([cells for cells in column if cells]) for column in zip(*grid, strict=True)]
    starts = [place for place in range(1, len(labels)) if labels[place] and not labels[place - 1]]
    parts = zip([0, *starts], [*starts, len(labels)], strict=True)
    if starts and not all(any(labels[start:end]) for start, end in parts):
        return [lanes[place - 1] for place in starts]
    return []


def _is_label_column(lines: list[list[Cell]]) -> bool:
    named = sum(_names(cells[0]) for cells in lines)
    return named > 0 and named >= FORM_SHARE * len(lines)


def _names(cell: Cell) -> bool:
    return cell.text.endswith(":") or ": " in cell.text


def _is_labelled(columns: list[list[Cell]]) -> bool:
    """Return whether a row tells what its cells mean: `Label:` before a value."""
    return any(_names(cell) for cells in columns for cell in cells[:1])


def _is_prose(grid: list[list[list[Cell]]]) -> bool:
    """Return whether every column holds lines of running text."""
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
    # Outside of the first and the last cell a row is empty for ever: these lanes never close, and part no columns.
    edges = [-inf]
    for cell in row.cells:
        edges += [cell.x0, cell.x1]
    edges.append(inf)
    return list(zip(edges[::2], edges[1::2], strict=True))


def _intersect(lanes: list[Lane], gaps: list[Lane], narrowest: float) -> list[Lane]:
    """Return what of the lanes is empty in a further row too."""
    # Both lists rise, so one walk through them is enough: `at` is the first gap that ends behind the lane's beginning.
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


def _drop_margins(lanes: Sequence[Lane]) -> list[Lane]:
    return [(start, end) for start, end in lanes if start > -inf and end < inf]
