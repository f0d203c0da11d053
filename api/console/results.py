"""A query's result as a table that people read, and a chart of it in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from towpath.ai.domain.cells import Cell, format_cell, format_cells, parse_decimal
from towpath.ai.domain.words import describe_cut, describe_total
from towpath.ai.semantic_types import DataType
from towpath.ai.types import MAX_CSV_BYTES, ChartType, ResultColumn, StoredAction

FIRST_ROWS = 20
CHARTS = {
    ChartType.BAR: "Bar chart",
    ChartType.LINE: "Line chart",
    ChartType.AREA: "Area chart",
    ChartType.SCATTER: "Scatter plot",
    ChartType.PIE: "Pie chart",
    ChartType.NUMBER: "Number",
    ChartType.TABLE: "Table",
}
# The module's own limit is below what a single text of a result may have.
csv.field_size_limit(max(csv.field_size_limit(), MAX_CSV_BYTES))


@dataclass(frozen=True, slots=True)
class Table:
    """A result: its head, which columns are numbers, its rows, and how many there would be, in words."""

    head: list[str]
    numeric: list[bool]
    first: list[list[Cell]]
    rest: list[list[Cell]]
    total: str
    truncated: bool

    @property
    def row_count(self) -> int:
        """Return how many rows there are to see."""
        return len(self.first) + len(self.rest)


def make_table(action: StoredAction) -> Table | None:
    """Return the rows that an action brought; None: it brought none."""
    head, rows = _read(action)
    if not head:
        return None
    columns = _columns(action, head)
    cells = format_cells(columns, rows)
    return Table(
        head=head,
        numeric=[column.type is DataType.NUMBER for column in columns],
        first=cells[:FIRST_ROWS],
        rest=cells[FIRST_ROWS:],
        total=describe_total(action),
        truncated=action.truncated or action.rows > len(cells),
    )


def _read(action: StoredAction) -> tuple[list[str], list[list[str]]]:
    lines = list(csv.reader(io.StringIO(action.csv or "", newline="")))
    return (lines[0], lines[1:]) if lines else ([], [])


def _columns(action: StoredAction, head: Sequence[str]) -> list[ResultColumn]:
    """Return what is known of each column; one of which nothing is known holds text."""
    known = list(action.columns[: len(head)])
    unknown = head[len(known) :]
    return known + [ResultColumn(name=label, label=label, type=DataType.STRING, measure=False) for label in unknown]


def describe_chart(action: StoredAction, kind: ChartType) -> str:
    """Return what a chart of an action's rows shows, for those who do not see it."""
    head, rows = _read(action)
    columns = _columns(action, head)
    measures = [place for place, column in enumerate(columns) if column.measure]
    others = [place for place, column in enumerate(columns) if not column.measure]
    name = f"{CHARTS[kind]}: {action.title}." if action.title else f"{CHARTS[kind]}."
    if not measures:
        return name
    shown = _join_words(columns[place].label for place in measures)
    if not others:
        values = _join_words(
            f"{columns[place].label} {format_cell(rows[0][place], columns[place]).text}" for place in measures
        )
        return f"{name} {values}." if len(rows) == 1 else name
    by = _join_words(columns[place].label for place in others)
    return f"{name} {shown} by {by}, {_values(action, len(rows))}.{_extremes(rows, columns, others[0], measures[0])}"


def _values(action: StoredAction, shown_rows: int) -> str:
    if describe_cut(action, shown_rows) is None:
        return f"{shown_rows:,} values"
    return f"the first {shown_rows:,} of {describe_total(action).removesuffix(' rows')} values"


def _join_words(words: Iterable[str]) -> str:
    items = list(words)
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _extremes(rows: Sequence[Sequence[str]], columns: Sequence[ResultColumn], label: int, measure: int) -> str:
    rows_by_value: list[tuple[Decimal, Sequence[str]]] = []
    for row in rows:
        value = parse_decimal(row[measure]) if measure < len(row) else None
        if value is not None:
            rows_by_value.append((value, row))
    if len(rows_by_value) < 2:
        return ""
    highest, lowest = (choose(rows_by_value, key=lambda pair: pair[0])[1] for choose in (max, min))

    def describe(row: Sequence[str]) -> str:
        return f"{format_cell(row[label], columns[label]).text} with {format_cell(row[measure], columns[measure]).text}"

    return f" Highest is {describe(highest)}, lowest is {describe(lowest)}."
