"""Charts of a query's rows: which one fits, its Vega-Lite spec, and its picture."""

from __future__ import annotations

import csv as csv_files
import io
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from towpath.ai.domain.chart_looks import Canvas
from towpath.ai.domain.chart_rows import (
    BETWEEN,
    MAX_SERIES,
    Answer,
    Row,
    cut,
    find_sequence,
    is_number,
    make_drawable,
    survey,
)
from towpath.ai.semantic_types import DataType
from towpath.ai.types import MAX_CSV_BYTES, ChartType, ResultColumn, StoredAction
from towpath.core.errors import ErrorCode, TowpathError
from towpath.core.extras import Extra, using

PURPOSE = "drawing a chart"
MAX_DIMENSIONS = 3
MAX_NUMBERS = 4
"""Numbers that stand side by side."""
MAX_SLICES = 12
MAX_TITLE = 200
NAMES = {
    ChartType.BAR: "bars",
    ChartType.LINE: "a line",
    ChartType.AREA: "an area",
    ChartType.SCATTER: "a scatter plot",
    ChartType.PIE: "a pie",
    ChartType.NUMBER: "a number",
    ChartType.TABLE: "a table",
}


class UndrawableError(TowpathError):
    """422: the rows make no chart; the sentence tells why."""

    status = 422
    title = "Unprocessable Content"
    default_code = ErrorCode.INVALID_VALUE


def read_rows(columns: Sequence[ResultColumn], csv: str) -> list[list[Any]]:
    """Read the values of a stored result.

    Args:
        columns: What it consists of.
        csv: A line of labels, then the rows; an empty field is null.

    Returns:
        Numbers as int or float, booleans, all else as text, dates in ISO 8601. A field that its column's type cannot
        have, or that is missing, is None.
    """
    # A text may be larger than the 128 KiB that Python's reader allows at first.
    csv_files.field_size_limit(max(csv_files.field_size_limit(), MAX_CSV_BYTES))
    # Python's writer leaves a carriage return within a value without quotes, where its reader would end the row.
    lines = csv_files.reader(io.StringIO(csv.replace("\r\n", "\n").replace("\r", " "), newline=""))
    next(lines, None)
    empty = [""] * len(columns)
    return [
        [_READERS[column.type](text) if text else None for column, text in zip(columns, line + empty, strict=False)]
        for line in lines
        if line
    ]


def _number(text: str) -> int | float | None:
    try:
        value = float(text)
        if not math.isfinite(value):
            return None
        return int(text) if text.lstrip("-").isdecimal() else value
    except ValueError:
        return None


def _moment(text: str) -> str | None:
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return None


def _day(text: str) -> str | None:
    moment = _moment(text)
    return moment and moment.partition("T")[0]


_READERS: dict[DataType, Callable[[str], Any]] = {
    DataType.STRING: str,
    DataType.NUMBER: _number,
    DataType.BOOLEAN: lambda text: {"true": True, "false": False}.get(text.lower()),
    DataType.DATE: _day,
    DataType.TIMESTAMP: _moment,
}


def choose_chart(columns: Sequence[ResultColumn], rows: Sequence[Row], requested: ChartType | None) -> ChartType:
    """Choose the chart that was asked for if these rows make one, else the one that fits, else a table.

    Args:
        columns: What the rows consist of.
        rows: As `read_rows` gives them.
        requested: What somebody asked for.
    """
    return _choose(survey(columns, rows), requested)


def explain_undrawable(action: StoredAction, requested: ChartType | None) -> str | None:
    """Explain why rows are not drawn as requested, and how instead; None: they are."""
    if requested is None or requested is ChartType.TABLE:
        return None
    answer = survey(action.columns, read_rows(action.columns, action.csv or ""))
    why = _obstacle(requested, answer)
    if why is None:
        return None
    kind = _choose(answer, requested)
    instead = "They stay a table." if kind is ChartType.TABLE else f"They are drawn as {NAMES[kind]} instead."
    return f"These rows cannot be drawn as {NAMES[requested]}: {why}. {instead}"


def build_chart_spec(
    columns: Sequence[ResultColumn],
    rows: Sequence[Row],
    *,
    requested: ChartType | None,
    title: str | None,
    width: int,
    height: int,
    dark: bool = False,
    remark: str | None = None,
) -> dict[str, Any]:
    """Build a Vega-Lite spec with its data, for a picture of exactly this size.

    Args:
        columns: What the rows consist of.
        rows: As `read_rows` gives them; bars keep their order.
        requested: The chart that was asked for; another one if the rows do not make it.
        title: Above the chart.
        width: Pixels, all included.
        height: The same.
        dark: For a dark page.
        remark: What is to be known of the rows, such as that there are more of them.

    Raises:
        UndrawableError: The rows make no chart.
        MissingExtraError: The extra `charts` is not installed.
    """
    answer, canvas = survey(columns, rows), Canvas(width, height, dark)
    kind = _choose(answer, requested)
    if kind is ChartType.TABLE:
        why = _obstacle(ChartType.TABLE if requested is ChartType.TABLE else _fitting(answer), answer)
        raise UndrawableError(f"the answer is a table: {why}")
    with using(Extra.CHARTS, PURPOSE):
        from towpath.ai.domain.chart_marks import draw
    drawing = draw(kind, answer, canvas)
    constants = [f"{answer.label(place)}: {answer.text(place, rows[0][place])}" for place in answer.constants]
    remarks_and_constants = [*constants, *drawing.notes, *([remark] if remark else [])]
    heading, remarks = cut(make_drawable(title or ""), MAX_TITLE), BETWEEN.join(remarks_and_constants)
    spec = drawing.marks | {
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": max(2, min(18, width // 20, height // 20)),
        "background": canvas.ground,
        "description": heading or "Chart",
        "config": canvas.config(legend=drawing.legend),
    }
    if heading or remarks:
        # Without a title the remarks would not be drawn.
        spec["title"] = {"text": heading or remarks} | ({"subtitle": remarks} if heading and remarks else {})
    return spec


def render_png(spec: dict[str, Any]) -> bytes:
    """Render a spec as PNG; some 0.1 s of one core, the first one more. Nothing is fetched from anywhere."""
    # Loading it takes 0.4 s, which processes that draw nothing shall not wait for.
    with using(Extra.CHARTS, PURPOSE):
        import vl_convert

    return vl_convert.vegalite_to_png(spec, scale=1, allowed_base_urls=[])


def render_svg(spec: dict[str, Any]) -> str:
    """Render a spec as SVG, with its texts as texts."""
    with using(Extra.CHARTS, PURPOSE):
        import vl_convert

    return vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])


def _choose(answer: Answer, requested: ChartType | None) -> ChartType:
    for kind in (requested, _fitting(answer)):
        if kind is ChartType.TABLE:
            break
        if kind is not None and _obstacle(kind, answer) is None:
            return kind
    return ChartType.TABLE


def _fitting(answer: Answer) -> ChartType:
    if len(answer.rows) == 1 and 1 <= len(answer.measures) <= MAX_NUMBERS:
        return ChartType.NUMBER
    if answer.times:
        return ChartType.LINE
    if len(answer.quantities) < len(answer.dimensions):
        return ChartType.BAR
    return ChartType.SCATTER


def _obstacle(kind: ChartType, answer: Answer) -> str | None:
    """Return why an answer cannot be drawn so; None: it can be."""
    if kind is ChartType.TABLE:
        return "it was asked for as a table"
    if not answer.rows:
        return "it has no rows to draw"
    if not answer.measures and (kind is not ChartType.SCATTER or len(answer.numbers) < 2):
        return "it has no numbers to draw"
    if len(answer.dimensions) > MAX_DIMENSIONS:
        return f"its numbers are told by {len(answer.dimensions)} dimensions, and a chart shows {MAX_DIMENSIONS}"
    return _OBSTACLES[kind](answer)


def _number_obstacle(answer: Answer) -> str | None:
    if len(answer.rows) == 1 and len(answer.measures) <= MAX_NUMBERS:
        return None
    return f"one row of up to {MAX_NUMBERS} numbers is needed"


def _line_obstacle(answer: Answer) -> str | None:
    along = find_sequence(answer)
    if along is None or len(set(answer.column(along)) - {None}) < 2:
        return "it has no two dates to draw a line between"
    others = [place for place in answer.dimensions if place != along]
    series = len(set(answer.keys(others)))
    if series > MAX_SERIES:
        return f"{answer.label(*others)} would make {series} lines, and {MAX_SERIES} can be told apart"
    return None


def _bar_obstacle(answer: Answer) -> str | None:
    return None if answer.dimensions else "its numbers belong to no dimension"


def _scatter_obstacle(answer: Answer) -> str | None:
    if len(answer.numbers) < 2:
        return "it has no two numbers for each row"
    across, up = answer.numbers[:2]
    points = sum(is_number(row[across]) and is_number(row[up]) for row in answer.rows)
    return "it has no two rows with both numbers" if points < 2 else None


def _pie_obstacle(answer: Answer) -> str | None:
    values = [value for value in answer.column(answer.measures[0]) if is_number(value)]
    if not answer.dimensions or not 1 <= len(answer.rows) <= MAX_SLICES:
        return f"a pie needs one to {MAX_SLICES} rows"
    if min(values) < 0 or sum(values) <= 0:
        return "slices need amounts above nothing"
    return None


_OBSTACLES: dict[ChartType, Callable[[Answer], str | None]] = {
    ChartType.NUMBER: _number_obstacle,
    ChartType.LINE: _line_obstacle,
    ChartType.AREA: _line_obstacle,
    ChartType.BAR: _bar_obstacle,
    ChartType.SCATTER: _scatter_obstacle,
    ChartType.PIE: _pie_obstacle,
}
