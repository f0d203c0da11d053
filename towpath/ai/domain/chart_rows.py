"""What of a query's rows can be drawn: its axes, its numbers, and their texts for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from towpath.ai.semantic_types import DataType
from towpath.ai.types import ResultColumn

MAX_LABEL = 60
"""Characters of a value's text; what is longer is cut."""
MAX_SEQUENCE = 60
"""Whole numbers up to this many different ones, each once, are steps such as months or hours, not a quantity."""
MAX_SERIES = 12
"""Lines, or colours, that can be told apart."""
LIKE_SIZES = 20
"""Measures share an axis when the peaks of both are less than this factor apart."""
NOTHING = "(none)"
UNDRAWN = "\ufffd"
BETWEEN = " · "
Row = Sequence[Any]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a query, with the places of the columns that matter.

    Attributes:
        columns: All.
        rows: All, with a value for each column.
        dimensions: Those that vary, or all of a single row; time comes first.
        constants: Those that have the same value in all rows.
        measures: Those with numbers.
    """

    columns: Sequence[ResultColumn]
    rows: Sequence[Row]
    dimensions: list[int]
    constants: list[int]
    measures: list[int]

    @property
    def times(self) -> list[int]:
        """Return the dimensions that are dates or times."""
        return [place for place in self.dimensions if self.columns[place].type.temporal]

    @property
    def quantities(self) -> list[int]:
        """Return the dimensions that are numbers to be measured, such as a distance."""
        numeric = [place for place in self.dimensions if self.columns[place].type is DataType.NUMBER]
        return [place for place in numeric if not self.is_sequence(place)]

    @property
    def numbers(self) -> list[int]:
        """Return all columns whose values are numbers, dimensions first."""
        numeric = [place for place in self.dimensions if self.columns[place].type is DataType.NUMBER]
        return numeric + self.measures

    def is_sequence(self, place: int) -> bool:
        """Return whether a column holds steps, such as the months 1 to 12."""
        column = self.columns[place]
        if column.measure or column.type is not DataType.NUMBER:
            return False
        values = [value for value in self.column(place) if value is not None]
        whole = bool(values) and all(float(value).is_integer() for value in values)
        alone = self.dimensions != [place] or len(set(values)) == len(values)
        return whole and alone and len(set(values)) <= MAX_SEQUENCE

    def column(self, place: int) -> list[Any]:
        """Return the values of a column."""
        return [row[place] for row in self.rows]

    def label(self, *places: int) -> str:
        """Return the names of columns, for people."""
        return cut(BETWEEN.join(make_drawable(self.columns[place].label) for place in places))

    def text(self, place: int, value: Any) -> str:
        """Return a value as people read it, not cut."""
        return format_value(self.columns[place], value)

    def keys(self, places: Sequence[int]) -> list[Key]:
        """Return what the rows have in some columns, in their order."""
        return [tuple(row[place] for place in places) for row in self.rows]

    def names(self, places: Sequence[int]) -> dict[Key, str]:
        """Return a text for each different key of `places`, each text only once, in the order of the rows."""
        keys = list(dict.fromkeys(self.keys(places)))
        texts = [
            BETWEEN.join(self.text(place, value) for place, value in zip(places, key, strict=True)) for key in keys
        ]
        return dict(zip(keys, make_distinct(texts), strict=True))

    def like_measures(self) -> list[int]:
        """Return the measures that can be read on one axis with the first."""
        first, *others = self.measures
        size = self._peak(first)
        return [first, *(place for place in others if size / LIKE_SIZES < self._peak(place) < size * LIKE_SIZES)]

    def _peak(self, place: int) -> float:
        return max(abs(float(value)) for value in self.column(place) if is_number(value))


def survey(columns: Sequence[ResultColumn], rows: Sequence[Row]) -> Answer:
    """Find out what rows consist of."""
    places = range(len(columns))
    dimensions = sorted(
        (place for place in places if not columns[place].measure), key=lambda place: not columns[place].type.temporal
    )
    constants = [place for place in dimensions if len(rows) > 1 and len({row[place] for row in rows}) == 1]
    measures = [
        place
        for place in places
        if columns[place].measure
        and columns[place].type is DataType.NUMBER
        and any(is_number(row[place]) for row in rows)
    ]
    varying = [place for place in dimensions if place not in constants]
    return Answer(columns, rows, varying, constants, measures)


def is_number(value: Any) -> bool:
    """Return whether a value can be drawn to scale."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def make_drawable(text: str) -> str:
    """Return a text on one line, without characters that cannot be seen or that turn the direction of others.

    A control character in a label would make the renderer abort the whole process. One beyond 16 bits, an emoji say, it
    takes for two, and refuses the half that is left where a label does not fit: such a one is shown as \ufffd.
    """
    return " ".join("".join(_drawable(character) for character in text).split())


def _drawable(character: str) -> str:
    if ord(character) > 0xFFFF:
        return UNDRAWN
    return character if character.isprintable() else " "


def cut(text: str, most: int = MAX_LABEL) -> str:
    """Cut a text to at most `most` characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def make_distinct(texts: Iterable[str]) -> list[str]:
    """Cut texts for a chart, and number those that would be the same."""
    names: dict[str, None] = {}
    for text in texts:
        name = once = cut(text)
        times = 1
        while name in names:
            times += 1
            name = f"{once} ({times})"
        names[name] = None
    return list(names)


def convert_to_utc(value: str) -> str:
    """Write a date or a time in UTC, so that a browser anywhere shows the hours that the database holds."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")


def format_value(column: ResultColumn, value: Any) -> str:
    """Format a value of a dimension as people read it; dates by the time frame that they are cut to."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return f"{value:.10g}" if isinstance(value, float) else str(value)
    if column.type.temporal:
        return _moment_text(column, datetime.fromisoformat(value))
    return make_drawable(str(value)) or NOTHING


def _moment_text(column: ResultColumn, moment: datetime) -> str:
    frame = column.name.rpartition("[")[2]
    if frame == "year]":
        return f"{moment.year}"
    if frame == "quarter]":
        return f"Q{(moment.month + 2) // 3} {moment.year}"
    if frame == "month]":
        return f"{moment:%b} {moment.year}"
    if column.type is DataType.DATE:
        return moment.date().isoformat()
    return moment.replace(tzinfo=None).isoformat(" ", "minutes" if moment.second == 0 else "seconds")


def format_amount(value: float) -> str:
    """Format a measure's value as people read it: `58,665`, `12.64`, `0.00041`."""
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-4:
        return f"{value:.3g}"
    if size >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{value:.3g}"


def format_amounts(values: Sequence[float | None]) -> list[str]:
    """Format values that stand side by side, with as many decimals each as the largest needs; nothing for None."""
    numbers = [value for value in values if value is not None]
    size = max((abs(value) for value in numbers), default=0)
    if size >= 1e15 or size < 1:
        return ["" if value is None else format_amount(value) for value in values]
    whole = size >= 1000 or all(float(value).is_integer() for value in numbers)
    decimals = 0 if whole else 1 if size >= 10 else 2
    return ["" if value is None else f"{value:,.{decimals}f}" for value in values]


def find_sequence(answer: Answer) -> int | None:
    """Return the column that a line can go along: time, or steps such as the months 1 to 12."""
    steps = [place for place in answer.dimensions if answer.is_sequence(place)]
    return next(iter(answer.times + steps), None)
