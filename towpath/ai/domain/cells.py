"""The values of a query's rows as people read them: numbers with separators, dates by their time frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

from towpath.ai.semantic_types import DataType, TimeFrame
from towpath.ai.types import ResultColumn

MAX_CELL = 500
FRAME = re.compile(r"\[(\w+)\]$")


@dataclass(frozen=True, slots=True)
class Cell:
    """One value; `machine` is a time's own form where `text` is for people."""

    text: str
    machine: str | None = None


def format_cells(columns: Sequence[ResultColumn], rows: Sequence[Sequence[str]]) -> list[list[Cell]]:
    """Format the rows of a CSV for people; a measure has the same number of decimals in each row."""
    digits = [_digits(rows, place) if column.measure else None for place, column in enumerate(columns)]
    return [
        [format_cell(text, column, most) for text, column, most in zip(row, columns, digits, strict=False)]
        for row in rows
    ]


def _digits(rows: Sequence[Sequence[str]], place: int) -> int:
    """Return how many decimals a column of measures needs, so that they stand below each other."""
    values = [parse_decimal(row[place]) for row in rows if place < len(row)]
    return max((_digits_of(value) for value in values if value is not None), default=0)


def _digits_of(value: Decimal) -> int:
    if value == value.to_integral_value():
        return 0
    return 2 if abs(value) >= 1 else 4


def parse_decimal(text: str) -> Decimal | None:
    """Read a text as a number; None: it is none."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def format_cell(text: str, column: ResultColumn, digits: int | None = None) -> Cell:
    """Format a value for people; `digits` None: as many decimals as it needs itself."""
    if text == "":
        return Cell("")
    if column.type is DataType.NUMBER:
        return Cell(_number(text, digits) if column.measure else text)
    if column.type.temporal:
        return _moment(text, column)
    if column.type is DataType.BOOLEAN:
        return Cell({"true": "yes", "false": "no"}.get(text.lower(), text))
    return Cell(text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}…")


def _number(text: str, digits: int | None) -> str:
    """Format a measure as people read it. (Other numbers may be years or ids, and keep their form.)"""
    value = parse_decimal(text)
    if value is None:
        return text
    shown = f"{value:,.{_digits_of(value) if digits is None else digits}f}"
    return f"{value:.2e}" if value != 0 and Decimal(shown.replace(",", "")) == 0 else shown


def _moment(text: str, column: ResultColumn) -> Cell:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return Cell(text)
    frame = FRAME.search(column.name)
    day = f"{at:%-d %b %Y}"
    frames: dict[str, str] = {
        TimeFrame.YEAR: f"{at:%Y}",
        TimeFrame.QUARTER: f"Q{(at.month + 2) // 3} {at:%Y}",
        TimeFrame.MONTH: f"{at:%b %Y}",
        TimeFrame.WEEK: f"week of {day}",
        TimeFrame.DAY: day,
    }
    shown = frames.get(frame.group(1)) if frame else None
    if shown is None:
        shown = day if column.type is DataType.DATE else f"{day}, {at:%H:%M:%S}".removesuffix(":00")
    return Cell(shown, machine=text)
