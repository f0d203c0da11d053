"""Rows as CSV and as Markdown: what is stored of a query's result, and the answer that is made without a model."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from contracts.ai import MOST_CSV_BYTES, MOST_CSV_ROWS, ChartType, ResultColumn, StoredAction, Turn

TABLE_ROWS = 10
# A cell may be as large as the whole; the default stops at 128 KiB.
csv.field_size_limit(2 * MOST_CSV_BYTES)
MOST_CELL = 80


def write_csv(columns: Sequence[ResultColumn], rows: Sequence[Sequence[Any]]) -> tuple[str, bool]:
    """Rows as CSV with a head of labels, cut at 1,000 rows or 1 MiB.

    Returns:
        The text, and whether rows were left out.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.label for column in columns])
    size = kept = 0
    for row in rows[:MOST_CSV_ROWS]:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([text_of(value) for value in row])
        size += len(line.getvalue().encode())
        if size > MOST_CSV_BYTES:
            break
        file.write(line.getvalue())
        kept += 1
    return file.getvalue(), kept < len(rows)


def text_of(value: Any) -> str:
    """A value as text; nothing for null, numbers without noise, dates as in ISO 8601."""
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


def markdown_table(columns: Sequence[ResultColumn], text: str, *, most: int = TABLE_ROWS) -> str:
    """The first rows of a CSV as a Markdown table."""
    rows = list(csv.reader(io.StringIO(text)))[1 : most + 1]
    head = [_cell(column.label) for column in columns]
    ruler = ["---:" if column.measure else "---" for column in columns]
    lines = [head, ruler, *([_cell(one) for one in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    flat = " ".join(text.split())
    shown = flat if len(flat) <= MOST_CELL else flat[: MOST_CELL - 1] + "…"
    for mark in "\\|`*_[]<>":
        shown = shown.replace(mark, f"\\{mark}")
    return shown


def plain_answer(prompt: str, action: StoredAction, left_out: Sequence[str] = ()) -> str:
    """The answer without a model's words: the rows themselves, which nobody can get wrong.

    Args:
        prompt: The question.
        action: The query that answers it.
        left_out: What the question may have wanted to be narrowed to, and the query is not.
    """
    title = _cell(action.title or (prompt.strip() or "Answer").splitlines()[0][:MOST_CELL])
    if action.rows == 0:
        return f"### {title}\n\nThe query brought no rows."
    table = markdown_table(action.columns, action.csv or "")
    more = f"\n\nThe first {TABLE_ROWS} of {action.rows:,} rows." if action.rows > TABLE_ROWS else ""
    told = ", ".join(f"“{_cell(one)}”" for one in left_out)
    whole = f"\n\nNot narrowed to {told}: the embedded model sets no filters." if left_out else ""
    return f"### {title}\n\n{table}{more}{whole}"


def last_drawable(turns: Sequence[Turn]) -> tuple[StoredAction, ChartType | None] | None:
    """The last query of a thread that brought rows, and the chart that was wanted of it since; None: there is none."""
    found: StoredAction | None = None
    wanted: ChartType | None = None
    for turn in turns:
        for action in turn.actions:
            if action.drawable:
                found, wanted = action, action.chart
            elif action.chart is not None and found is not None:
                wanted = action.chart
    return None if found is None else (found, wanted)
