"""Rows as CSV and as Markdown: what is stored of a query's result, and the answer that is made without a model."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from towpath.ai.domain.cells import format_cells
from towpath.ai.domain.words import describe_cut
from towpath.ai.types import MAX_CSV_BYTES, MAX_CSV_ROWS, ChartType, ResultColumn, StoredAction, Turn

TABLE_ROWS = 12
"""A year of months."""
# A cell may be as large as the whole; the default stops at 128 KiB.
csv.field_size_limit(2 * MAX_CSV_BYTES)
MAX_CELL = 80


def write_csv(columns: Sequence[ResultColumn], rows: Sequence[Sequence[Any]]) -> tuple[str, int]:
    """Write rows as CSV with a head of labels, cut at 1,000 rows or 1 MiB.

    Returns:
        The text, and how many of the rows it holds.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.label for column in columns])
    size = row_count = 0
    for row in rows[:MAX_CSV_ROWS]:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([format_value(value) for value in row])
        size += len(line.getvalue().encode())
        if size > MAX_CSV_BYTES:
            break
        file.write(line.getvalue())
        row_count += 1
    return file.getvalue(), row_count


def format_value(value: Any) -> str:
    """Format a value as text; nothing for null, numbers without noise, dates as in ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(round(number, 6))
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    # A lone carriage return would end a line for who reads the CSV, and a NUL cannot be stored.
    return str(value).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\N{REPLACEMENT CHARACTER}")


def write_markdown_table(columns: Sequence[ResultColumn], text: str, *, most: int = TABLE_ROWS) -> str:
    """Write the first rows of a CSV as a Markdown table."""
    rows = list(csv.reader(io.StringIO(text)))[1 : most + 1]
    shown = [[cell.text for cell in row] for row in format_cells(columns, rows)]
    head = [_cell(column.label) for column in columns]
    ruler = ["---:" if column.measure else "---" for column in columns]
    lines = [head, ruler, *([_cell(text) for text in row] for row in shown)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    flat = " ".join(text.split())
    return escape_markdown(flat if len(flat) <= MAX_CELL else flat[: MAX_CELL - 1] + "…")


def escape_markdown(text: str) -> str:
    """Escape a text within Markdown, so that its marks are shown as they are."""
    for mark in "\\|`*_[]<>":
        text = text.replace(mark, f"\\{mark}")
    return text


def write_plain_answer(prompt: str, action: StoredAction, left_out: Sequence[str] = ()) -> str:
    """Write the answer without a model's words: the rows themselves, which nobody can get wrong.

    Args:
        prompt: The question.
        action: The query that answers it.
        left_out: What the question may have wanted to be narrowed to, and the query is not.
    """
    title = _cell(action.title or (prompt.strip() or "Answer").splitlines()[0])
    if action.rows == 0:
        return f"### {title}\n\nThe query brought no rows."
    table = write_markdown_table(action.columns, action.csv or "")
    more = _describe_left_out(action)
    notes = "".join(f"\n\n{escape_markdown(note)}" for note in action.notes)
    names = ", ".join(f"“{_cell(name)}”" for name in left_out)
    whole = f"\n\nNot narrowed to {names}: the embedded model sets no filters." if left_out else ""
    return f"### {title}\n\n{table}{more}{notes}{whole}"


def write_unfinished_answer(prompt: str, action: StoredAction, steps: int) -> str:
    """Write the rows of the last query, where a model has come to no answer."""
    explanation = f"The model came to no answer within {steps} steps. These are the rows of its last query."
    return f"{explanation}\n\n{write_plain_answer(prompt, action)}"


def _describe_left_out(action: StoredAction) -> str:
    """Return what of a query's rows an answer's table does not show."""
    shown = min(TABLE_ROWS, len(list(csv.reader(io.StringIO(action.csv or "")))) - 1)
    more = describe_cut(action, shown)
    return "" if more is None else f"\n\n{more}."


def make_title(columns: Sequence[ResultColumn]) -> str | None:
    """Name a result that nobody has named: `Average departure delay by Airline`."""
    numbers = ", ".join(column.label for column in columns if column.measure)
    by = ", ".join(column.label for column in columns if not column.measure)
    return f"{numbers} by {by}" if numbers and by else numbers or by or None


def find_last_drawable(turns: Sequence[Turn]) -> tuple[StoredAction, ChartType | None] | None:
    """Find the last query of a thread that brought rows, and the chart requested of it since; None: there is none."""
    last: StoredAction | None = None
    chart: ChartType | None = None
    for turn in turns:
        for action in turn.actions:
            if action.drawable:
                last, chart = action, action.chart
            elif action.chart is not None and last is not None:
                chart = action.chart
    return None if last is None else (last, chart)
