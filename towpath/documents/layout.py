"""Words with boxes -> Markdown in reading order: headings, paragraphs, columns, forms and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from towpath.documents.bands import BandKind, find_bands
from towpath.documents.lines import Cell, Row, find_rows, measure_usual_height
from towpath.documents.types import Word

# How much taller than most text a heading is, by level.
HEADINGS = ((1.7, "# "), (1.35, "## "), (1.15, "### "))
MAX_HEADING_WORDS = 16
# Gap between rows that parts paragraphs, of the height of text.
PARAGRAPH_GAP = 0.65
MAX_DEPTH = 3
BULLETS = re.compile(r"^[•●▪◦‣∙·]\s*")
MARKS = re.compile(r"^(#{1,6}\s|>|```)")


def write_markdown(words: Sequence[Word], width: float, height: float) -> str:
    """Write the text of a page in the order in which it is read.

    Args:
        words: Of one page.
        width, height: Of the page, in points or pixels.
    """
    rows = find_rows(words, width, height)
    return "\n\n".join(_blocks(rows, measure_usual_height(rows), 0))


def write_table(rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; its first row is the header."""
    width = max(map(len, rows))
    lines = [_table_line(row, width) for row in rows]
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)


def _table_line(row: Sequence[str], width: int) -> str:
    cells = [cell.replace("\\", "\\\\").replace("|", r"\|").replace("\n", "<br>") for cell in row]
    return "| " + " | ".join(cells + [""] * (width - len(cells))) + " |"


def _blocks(rows: Sequence[Row], usual: float, depth: int) -> Iterator[str]:
    for band in find_bands(rows, usual):
        if band.kind == BandKind.TABLE:
            yield write_table([[_join_cells(cells) for cells in columns] for columns in band.grid()])
        elif band.kind == BandKind.FORM:
            yield "\n".join(line for columns in band.grid() for line in write_form_lines(columns))
        elif band.kind == BandKind.COLUMNS and depth < MAX_DEPTH:
            for column in band.columns():
                yield from _blocks(column, usual, depth + 1)
        else:
            yield from _paragraphs(band.rows, usual)


def write_form_lines(columns: Sequence[Sequence[Cell]]) -> list[str]:
    """Write a form's row as lines, each label with what follows it."""
    lines: list[str] = []
    for cell in (cell for cells in columns for cell in cells):
        if not lines or cell.text.endswith(":") or ": " in cell.text:
            lines.append(cell.text)
        else:
            lines[-1] += f" {cell.text}" if lines[-1].endswith(":") else f"   {cell.text}"
    return lines


def _paragraphs(rows: Sequence[Row], usual: float) -> Iterator[str]:
    lines: list[str] = []
    level = ""
    last: Row | None = None
    for row in rows:
        own = _level(row, usual)
        gap = 0.0 if last is None else row.y0 - last.y1
        if last is not None and own and own == level and abs(gap) < PARAGRAPH_GAP * row.height:
            # Lines of one heading stay one heading.
            lines[-1] += f" {row.text}"
        elif last is not None and (own or level or gap > PARAGRAPH_GAP * usual or row.y0 < last.y0):
            yield "\n".join(lines)
            lines = _row_lines(row, own)
        else:
            lines += _row_lines(row, own)
        level, last = own, row
    if lines:
        yield "\n".join(lines)


def _row_lines(row: Row, level: str) -> list[str]:
    return [level + row.text] if level else [_plain(line) for line in write_form_lines([row.cells])]


def _level(row: Row, usual: float) -> str:
    if sum(len(cell.words) for cell in row.cells) > MAX_HEADING_WORDS or not any(map(str.isalpha, row.text)):
        return ""
    return next((mark for ratio, mark in HEADINGS if row.height >= ratio * usual), "")


def _plain(line: str) -> str:
    """Return a line that means in Markdown what it means on the page."""
    line, bullets = BULLETS.subn("- ", line)
    return line if bullets else MARKS.sub(r"\\\1", line)


def _join_cells(cells: Sequence[Cell]) -> str:
    return "   ".join(cell.text for cell in cells)
