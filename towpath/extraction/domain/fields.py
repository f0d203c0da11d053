"""Pairs of labels and values, and tables, as they stand on a page: what a form says without anybody reading it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from towpath.documents.bands import Band, BandKind, find_bands
from towpath.documents.lines import Cell, Row, enclose, find_rows, measure_usual_height
from towpath.documents.types import Box, PageContent, Word
from towpath.extraction.domain.marked import find_markdown_lines, find_markdown_tables

# How sure a pair is by where its value stands.
AFTER_COLON = 0.97
RIGHT_OF_COLON = 0.95
BELOW_COLON = 0.85
TICKED = 0.85
RIGHT = 0.75
BELOW = 0.65
STACKED = 0.55
# Of the usual height: the gap to a value below its label, to the next line of a value, and how far off it may start.
BELOW_GAP = 1.2
LINE_GAP = 0.7
ASIDE = 0.6
MAX_LABEL = 60
MAX_LABEL_WORDS = 8
MAX_VALUE_LINES = 6
MAX_DEPTH = 3
COLON = (":", "：")
LETTERS = re.compile(r"[^\W\d_]")
TICK = re.compile(r"^(\[[xX ]?\]|[☐☑☒✓✔□■])\s*(\S.*)$")
UNTICKED = frozenset({"[]", "[ ]", "☐", "□"})
INNER_LABEL = re.compile(r"[^\W\d_]:(\s|$)")
JOINED = re.compile(r"^([^\W\d_][^:]*):([^\s/\\:][^:]*)$")


@dataclass(frozen=True, slots=True)
class Entry:
    """A text with its place; no boxes: the page has no places."""

    text: str
    confidence: float = 1.0
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A value with what labels it.

    Attributes:
        confidence: 0..1, that the one belongs to the other and is read rightly.
        boxes: Of the value, one a line.
    """

    label: str
    value: str
    confidence: float
    page: int
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """A table with its header."""

    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    page: int


@dataclass(frozen=True, slots=True)
class PageFields:
    """What one page pairs and tabulates."""

    pairs: list[Pair]
    grids: list[Grid]


def read_fields(page: PageContent) -> PageFields:
    """Read the pairs and tables of a page: by the places of its words, else by its Markdown."""
    fields = PageFields([], [])
    if page.words and page.width and page.height:
        rows = find_rows(page.words, page.width, page.height)
        _Region(page.page, measure_usual_height(rows), fields).read(rows)
    else:
        _read_markdown(page, fields)
    return fields


def is_label(text: str) -> bool:
    """Return whether a text can name something: a few words with letters."""
    plain = text.strip().rstrip("".join(COLON)).strip()
    if not 2 <= len(plain) <= MAX_LABEL or len(plain.split()) > MAX_LABEL_WORDS:
        return False
    return LETTERS.search(plain) is not None


def strip_label(text: str) -> str:
    """Strip a label of its colon."""
    return text.strip().rstrip("".join(COLON)).strip()


@dataclass(frozen=True, slots=True)
class _Region:
    """A page or a column of it.

    Attributes:
        values: The ids of cells that are a label's value, and so no labels.
        depth: 0 for a page, more for a column of it, in which lines below a label belong together.
    """

    page: int
    usual: float
    fields: PageFields
    values: set[int] = field(default_factory=set)
    depth: int = 0

    def read(self, rows: Sequence[Row]) -> None:
        plain: list[tuple[Row, BandKind]] = []
        for band in find_bands(rows, self.usual):
            if band.kind == BandKind.COLUMNS and self.depth < MAX_DEPTH:
                for column in band.columns():
                    replace(self, depth=self.depth + 1).read(column)
            elif band.kind == BandKind.TABLE:
                self._table(band)
            else:
                plain += [(row, band.kind) for row in band.rows]
        below = [row for row, _ in plain]
        for place, (row, kind) in enumerate(plain, 1):
            self._row(row, below[place : place + MAX_VALUE_LINES], kind)

    def _table(self, band: Band) -> None:
        grid = band.grid()
        entries = [tuple(_entry(cells) for cells in columns) for columns in grid]
        header = tuple(entry.text for entry in entries[0])
        self.fields.grids.append(Grid(header, tuple(entries[1:]), self.page))
        # A table of two columns may be a form; totals below a table have a label and a number.
        for columns in entries:
            filled = [entry for entry in columns if entry.text]
            if len(filled) == 2:
                self._add(filled[0].text, filled[1], RIGHT)

    def _row(self, row: Row, below: Sequence[Row], kind: BandKind) -> None:
        labelled = any(cell.text.endswith(COLON) or INNER_LABEL.search(cell.text) for cell in row.cells)
        for place, cell in enumerate(row.cells):
            ticked = TICK.match(cell.text)
            if ticked:
                answer = "no" if ticked[1] in UNTICKED else "yes"
                self._add(ticked[2], Entry(answer, cell.confidence, (cell.box,)), TICKED)
            elif cell.text.endswith(COLON):
                self._after_label(row, place, below)
            elif INNER_LABEL.search(cell.text) or JOINED.match(cell.text):
                self._within(cell)
            elif not labelled and id(cell) not in self.values:
                self._read_unmarked(row, place, below, kind)

    def _after_label(self, row: Row, place: int, below: Sequence[Row]) -> None:
        label = row.cells[place]
        right = row.cells[place + 1] if place + 1 < len(row.cells) else None
        if right is not None and not _names(right):
            lines = [right, *self._further_lines(label, right, row.y1, below)]
            self.values.update(map(id, lines))
            self._add(label.text, _lines_entry(lines), RIGHT_OF_COLON)
            return
        under = self._under(label, row, below)
        if under is not None and not _names(under):
            further = self._further_lines(label, under, below[0].y1, below[1:]) if self.depth else ()
            lines = [under, *further]
            self.values.update(map(id, lines))
            self._add(label.text, _lines_entry(lines), BELOW_COLON)

    def _within(self, cell: Cell) -> None:
        """Read a label and its value without a gap between them."""
        at = next((place for place, word in enumerate(cell.words) if ":" in word.text or "：" in word.text), None)
        if at is None:
            return
        before, word, after = cell.words[:at], cell.words[at], cell.words[at + 1 :]
        if word.text.endswith(COLON):
            self._add(_text([*before, word]), _words_entry(after), AFTER_COLON)
            return
        joined = JOINED.match(word.text)
        if joined:
            label = " ".join([*(each.text for each in before), joined[1]])
            value = " ".join([joined[2], *(each.text for each in after)])
            entry = _words_entry([word, *after])
            self._add(label, Entry(value, entry.confidence, entry.boxes), AFTER_COLON)

    def _read_unmarked(self, row: Row, place: int, below: Sequence[Row], kind: BandKind) -> None:
        """Read a label without a colon: its value stands right of it or below it, as far as that can be seen."""
        cell = row.cells[place]
        right = row.cells[place + 1] if place % 2 == 0 and len(row.cells) % 2 == 0 else None
        under = None if kind == BandKind.FORM else self._under(cell, row, below)
        if under is not None and _names(under):
            under = None
        sure_right = RIGHT if len(row.cells) == 2 else BELOW
        sure_under = STACKED if len(row.cells) == 1 else BELOW
        if right is not None and under is not None:
            # Figures are values; where both have some or neither has, nobody can tell.
            if _has_figures(right) == _has_figures(under):
                sure_right = sure_under = STACKED
            elif _has_figures(right):
                under = None
            else:
                right = None
                self.values.add(id(under))
        if right is not None:
            self._add(cell.text, _entry([right]), sure_right)
        if under is not None:
            self._add(cell.text, _entry([under]), sure_under)

    def _under(self, cell: Cell, row: Row, below: Sequence[Row]) -> Cell | None:
        if not below or not 0 <= below[0].y0 - row.y1 + self.usual <= (BELOW_GAP + 1) * self.usual:
            return None
        for other in below[0].cells:
            middle = (cell.x0 + cell.x1) / 2
            if abs(other.x0 - cell.x0) < ASIDE * self.usual or other.x0 <= middle <= other.x1:
                return other
        return None

    def _further_lines(self, label: Cell, value: Cell, bottom: float, below: Sequence[Row]) -> Iterator[Cell]:
        """Yield the lines of a value below its first: they start where it starts, with nothing under the label."""
        for other in below:
            cell = next((each for each in other.cells if abs(each.x0 - value.x0) < ASIDE * self.usual), None)
            beside = any(each.x0 < value.x0 - ASIDE * self.usual and each.x1 > label.x0 for each in other.cells)
            if cell is None or beside or _names(cell) or other.y0 - bottom > LINE_GAP * self.usual:
                return
            yield cell
            bottom = other.y1

    def _add(self, label: str, value: Entry, sure: float) -> None:
        label = strip_label(label)
        # A label within the value: nobody can say where the one ends and the other begins.
        if value.text and is_label(label) and not INNER_LABEL.search(value.text):
            self.fields.pairs.append(Pair(label, value.text, sure * value.confidence, self.page, value.boxes))


def _read_markdown(page: PageContent, fields: PageFields) -> None:
    for table in find_markdown_tables(page.content):
        rows = tuple(tuple(Entry(cell) for cell in row) for row in table[1:])
        fields.grids.append(Grid(tuple(table[0]), rows, page.page))
        for row in table:
            filled = [cell for cell in row if cell]
            if len(filled) == 2 and is_label(filled[0]):
                sure = RIGHT_OF_COLON if filled[0].endswith(COLON) else RIGHT
                fields.pairs.append(Pair(strip_label(filled[0]), filled[1], sure, page.page))
    for line in find_markdown_lines(page.content):
        label, colon, value = line.partition(":")
        ticked = TICK.match(line)
        if ticked:
            answer = "no" if ticked[1] in UNTICKED else "yes"
            fields.pairs.append(Pair(ticked[2], answer, TICKED, page.page))
        elif colon and value[:1].isspace() and is_label(label) and not INNER_LABEL.search(value):
            fields.pairs.append(Pair(strip_label(label), value.strip(), AFTER_COLON, page.page))


def _names(cell: Cell) -> bool:
    return cell.text.endswith(COLON) or INNER_LABEL.search(cell.text) is not None


def _has_figures(cell: Cell) -> bool:
    return any(map(str.isdigit, cell.text))


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _words_entry(words: Sequence[Word]) -> Entry:
    if not words:
        return Entry("")
    return Entry(_text(words), min(word.confidence for word in words), (enclose(word.box for word in words),))


def _entry(cells: Sequence[Cell]) -> Entry:
    return _words_entry([word for cell in cells for word in cell.words])


def _lines_entry(cells: Sequence[Cell]) -> Entry:
    text = "\n".join(cell.text for cell in cells)
    return Entry(text, min(cell.confidence for cell in cells), tuple(cell.box for cell in cells))
