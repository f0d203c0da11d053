"""A query's result as a table that people read, and a chart of it in words."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from contracts.ai import MOST_CSV_BYTES, ChartType, ResultColumn, StoredAction
from contracts.semantics import DataType, TimeFrame

FIRST_ROWS = 20
LONGEST_CELL = 500
FRAME = re.compile(r"\[(\w+)\]$")
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
csv.field_size_limit(max(csv.field_size_limit(), MOST_CSV_BYTES))


@dataclass(frozen=True, slots=True)
class Cell:
    """One value; `machine` is a time's own form where `text` is for people."""

    text: str
    machine: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A result: its head, which columns are numbers, its rows, and how many there would be."""

    head: list[str]
    numeric: list[bool]
    first: list[list[Cell]]
    rest: list[list[Cell]]
    total: int
    truncated: bool

    @property
    def kept(self) -> int:
        """How many rows there are to see."""
        return len(self.first) + len(self.rest)


def table_of(action: StoredAction) -> Table | None:
    """The rows that an action brought; None: it brought none."""
    head, rows = _read(action)
    if not head:
        return None
    columns = _columns(action, head)
    digits = [_digits(rows, place) if column.measure else None for place, column in enumerate(columns)]
    cells = [
        [_cell(text, column, most) for text, column, most in zip(row, columns, digits, strict=False)] for row in rows
    ]
    return Table(
        head=head,
        numeric=[column.type is DataType.NUMBER for column in columns],
        first=cells[:FIRST_ROWS],
        rest=cells[FIRST_ROWS:],
        total=max(action.rows, len(cells)),
        truncated=action.truncated or action.rows > len(cells),
    )


def _read(action: StoredAction) -> tuple[list[str], list[list[str]]]:
    lines = list(csv.reader(io.StringIO(action.csv or "", newline="")))
    return (lines[0], lines[1:]) if lines else ([], [])


def _columns(action: StoredAction, head: Sequence[str]) -> list[ResultColumn]:
    """What is known of each column; one of which nothing is known holds text."""
    known = list(action.columns[: len(head)])
    unknown = head[len(known) :]
    return known + [ResultColumn(name=label, label=label, type=DataType.STRING, measure=False) for label in unknown]


def _digits(rows: Sequence[Sequence[str]], place: int) -> int:
    """How many decimals a column of measures needs, so that they stand below each other."""
    values = [_value(row[place]) for row in rows if place < len(row)]
    return max((_digits_of(value) for value in values if value is not None), default=0)


def _digits_of(value: Decimal) -> int:
    if value == value.to_integral_value():
        return 0
    return 2 if abs(value) >= 1 else 4


def _value(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _cell(text: str, column: ResultColumn, digits: int | None = None) -> Cell:
    if text == "":
        return Cell("")
    if column.type is DataType.NUMBER:
        return Cell(_number(text, digits) if column.measure else text)
    if column.type.temporal:
        return _moment(text, column)
    if column.type is DataType.BOOLEAN:
        return Cell({"true": "yes", "false": "no"}.get(text.lower(), text))
    return Cell(text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…")


def _number(text: str, digits: int | None) -> str:
    """A measure as people read it. (Other numbers may be years or ids, and keep their form.)"""
    value = _value(text)
    if value is None:
        return text
    shown = f"{value:,.{_digits_of(value) if digits is None else digits}f}"
    return f"{value:.2e}" if value != 0 and Decimal(shown.replace(",", "")) == 0 else shown


def _moment(text: str, column: ResultColumn) -> Cell:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return Cell(text)
    found = FRAME.search(column.name)
    day = f"{at:%-d %b %Y}"
    frames: dict[str, str] = {
        TimeFrame.YEAR: f"{at:%Y}",
        TimeFrame.QUARTER: f"Q{(at.month + 2) // 3} {at:%Y}",
        TimeFrame.MONTH: f"{at:%b %Y}",
        TimeFrame.WEEK: f"week of {day}",
        TimeFrame.DAY: day,
    }
    shown = frames.get(found.group(1)) if found else None
    if shown is None:
        shown = day if column.type is DataType.DATE else f"{day}, {at:%H:%M:%S}".removesuffix(":00")
    return Cell(shown, machine=text)


def chart_in_words(action: StoredAction, kind: ChartType) -> str:
    """What a chart of an action's rows shows, for those who do not see it."""
    head, rows = _read(action)
    columns = _columns(action, head)
    measures = [place for place, column in enumerate(columns) if column.measure]
    others = [place for place, column in enumerate(columns) if not column.measure]
    name = f"{CHARTS[kind]}: {action.title}." if action.title else f"{CHARTS[kind]}."
    if not measures:
        return name
    shown = _joined(columns[place].label for place in measures)
    if not others:
        values = _joined(f"{columns[place].label} {_cell(rows[0][place], columns[place]).text}" for place in measures)
        return f"{name} {values}." if len(rows) == 1 else name
    by = _joined(columns[place].label for place in others)
    return f"{name} {shown} by {by}, {len(rows):,} values.{_extremes(rows, columns, others[0], measures[0])}"


def _joined(words: Iterable[str]) -> str:
    found = list(words)
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def _extremes(rows: Sequence[Sequence[str]], columns: Sequence[ResultColumn], label: int, measure: int) -> str:
    found: list[tuple[Decimal, Sequence[str]]] = []
    for row in rows:
        value = _value(row[measure]) if measure < len(row) else None
        if value is not None:
            found.append((value, row))
    if len(found) < 2:
        return ""
    highest, lowest = (choose(found, key=lambda pair: pair[0])[1] for choose in (max, min))

    def told(row: Sequence[str]) -> str:
        return f"{_cell(row[label], columns[label]).text} with {_cell(row[measure], columns[measure]).text}"

    return f" Highest is {told(highest)}, lowest is {told(lowest)}."
