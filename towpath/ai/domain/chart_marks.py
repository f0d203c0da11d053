"""Draws an answer's rows as marks: bars, lines, areas, points, slices and numbers. Needs the extra `charts`.

Nothing of the data becomes part of a Vega expression: columns are called c0, c1, ..., labels are titles of axes and
legends alone, and values are put in the order of the rows, never in that of a list.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import altair as alt

from towpath.ai.domain.chart_looks import FRAME, LEGEND, Canvas
from towpath.ai.domain.chart_names import GAP, LETTER, Side, place_names
from towpath.ai.domain.chart_rows import (
    MAX_SERIES,
    Answer,
    Row,
    convert_to_utc,
    cut,
    find_sequence,
    format_amount,
    format_amounts,
    is_number,
    make_distinct,
)
from towpath.ai.semantic_types import DataType
from towpath.ai.types import ChartType, ResultColumn

MAX_BARS = 50
MAX_NAMED_POINTS = 30
MAX_VALUED_BARS = 24
"""So many bars get their value written beside them."""
EDGE = 16
"""Pixels between the outermost points and the axes."""
SIDES: dict[Side, dict[str, Any]] = {
    Side.RIGHT: {"align": "left", "dx": GAP},
    Side.LEFT: {"align": "right", "dx": -GAP},
    Side.ABOVE: {"baseline": "bottom", "dy": -GAP},
    Side.BELOW: {"baseline": "top", "dy": GAP},
}
FRAMES = {"month": 1, "quarter": 3, "year": 12}
"""Months of the time frames that are longer than a day."""
Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Marks, and what is to be said about them.

    Attributes:
        marks: A Vega-Lite spec of no size yet.
        notes: What was left out, for the subtitle.
        legend: Whether colours are told apart beside or below axes.
    """

    marks: dict[str, Any]
    notes: list[str]
    legend: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """Rows as points of one or several series.

    Attributes:
        points: A row, its value and the name of its series.
        names: All series, in the order of the rows.
        title: What they have in common; None: they are measures.
        measures: Those that are drawn.
    """

    points: list[tuple[Row, float | None, str]]
    names: list[str]
    title: str | None
    measures: list[int]

    @property
    def values(self) -> list[float]:
        """Return all numbers."""
        return [value for _, value, _ in self.points if value is not None]


def draw(kind: ChartType, answer: Answer, canvas: Canvas) -> Drawing:
    """Draw an answer that is known to be drawable in this way."""
    match kind:
        case ChartType.NUMBER:
            return _numbers(answer, canvas)
        case ChartType.PIE:
            return _pie(answer, canvas)
        case ChartType.SCATTER:
            return _scatter(answer, canvas)
        case ChartType.LINE | ChartType.AREA:
            return _lines(answer, canvas, filled=kind is ChartType.AREA)
        case _:
            return _bars(answer, canvas)


def _chart(values: Sequence[Value]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(values)))


def _series(answer: Answer, colours: Sequence[int]) -> Series:
    if colours:
        measure, names = answer.measures[0], answer.names(colours)
        points = [
            (row, _value(row[measure]), names[key]) for row, key in zip(answer.rows, answer.keys(colours), strict=True)
        ]
        return Series(points, list(names.values()), answer.label(*colours), [measure])
    measures = answer.like_measures()[:MAX_SERIES]
    labels = make_distinct(answer.label(place) for place in measures)
    points = [
        (row, _value(row[place]), label) for row in answer.rows for place, label in zip(measures, labels, strict=True)
    ]
    return Series(points, labels, None, measures)


def _value(value: Any) -> float | None:
    return value if is_number(value) else None


def _not_drawn(answer: Answer, places: Sequence[int]) -> list[str]:
    left = [place for place in [*answer.dimensions, *answer.measures] if place not in places]
    return [f"Not drawn: {', '.join(answer.label(place) for place in left)}"] if left else []


def _colour(series: Series, canvas: Canvas) -> alt.Color:
    legend = alt.Legend(title=series.title, **canvas.legend_place)
    # No list of the names: Vega-Lite would make it an expression that puts the marks in order.
    scale = alt.Scale(range=canvas.palette[: len(series.names)])
    return alt.Color("c2:N", sort=None, scale=scale, legend=legend if len(series.names) > 1 else None)


def _value_title(answer: Answer, series: Series) -> str | None:
    return answer.label(series.measures[0]) if len(series.measures) == 1 else None


def _value_axis(values: Sequence[float], title: str | None, **more: Any) -> alt.Axis:
    if max((abs(value) for value in values), default=0) < 10_000:
        return alt.Axis(title=title, **more)
    short = "datum.value == 0 ? '0' : replace(datum.label, 'G', 'B')"
    return alt.Axis(title=title, format="~s", labelExpr=short, **more)


def _numbers(answer: Answer, canvas: Canvas) -> Drawing:
    row = answer.rows[0]
    subject = [answer.text(place, row[place]) for place in answer.dimensions]
    tile = canvas.width * 0.9 / len(answer.measures)
    texts = [format_amount(row[place]) for place in answer.measures]
    size = round(max(12, min(canvas.height * 0.32, 96, tile / 0.6 / max(len(text) for text in texts))))
    small = round(max(11, min(size * 0.34, 20)))
    labels = [" · ".join([answer.label(place), *subject]) for place in answer.measures]
    values: list[Value] = [
        {"c0": at + 0.5, "c1": text, "c2": _fold(label, tile / small / 0.55)}
        for at, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    at = alt.X("c0:Q", axis=None, scale=alt.Scale(domain=[0, len(values)], nice=False, zero=False))
    chart = _chart(values).encode(x=at)
    number = chart.mark_text(fontSize=size, fontWeight=600, baseline="bottom", dy=size * 0.3, color=canvas.ink)
    label = chart.mark_text(fontSize=small, baseline="top", dy=size * 0.36, lineBreak="\n", color=canvas.pale)
    return Drawing(alt.layer(number.encode(text="c1:N"), label.encode(text="c2:N")).to_dict(), [])


def _fold(text: str, letters: float) -> str:
    """Fold a text into at most two lines of so many letters."""
    lines = textwrap.wrap(text, max(8, int(letters)), max_lines=2, placeholder="…")
    return "\n".join(lines) or text


def _pie(answer: Answer, canvas: Canvas) -> Drawing:
    measure, names = answer.measures[0], answer.names(answer.dimensions)
    pairs = zip(answer.keys(answer.dimensions), answer.column(measure), strict=True)
    slices = [(names[key], value) for key, value in pairs if is_number(value)]
    whole = sum(value for _, value in slices)
    values: list[Value] = [
        {"c0": f"{_share(value / whole)}  {name}", "c1": value, "c2": at} for at, (name, value) in enumerate(slices)
    ]
    title = f"{answer.label(measure)} by {answer.label(*answer.dimensions)}"
    colour = alt.Color(
        "c0:N",
        sort=None,
        scale=alt.Scale(range=canvas.palette[: len(values)]),
        legend=alt.Legend(title=cut(title), **canvas.legend_place),
    )
    chart = _chart(values).mark_arc(stroke=canvas.ground, strokeWidth=2, padAngle=0)
    chart = chart.encode(theta=alt.Theta("c1:Q", stack=True), order=alt.Order("c2:Q"), color=colour)
    return Drawing(chart.to_dict(), _not_drawn(answer, [measure, *answer.dimensions]))


def _share(share: float) -> str:
    return "<1%" if 0 < share < 0.01 else f"{share:.0%}"


def _scatter(answer: Answer, canvas: Canvas) -> Drawing:
    across, up = answer.numbers[:2]
    others = [place for place in answer.dimensions if place not in {across, up}]
    rows = [row for row in answer.rows if is_number(row[across]) and is_number(row[up])]
    names = answer.names(others) if others else {}
    values: list[Value] = [
        {"c0": row[across], "c1": row[up], "c2": names.get(tuple(row[place] for place in others), "")} for row in rows
    ]
    named = bool(others) and len(values) == len({value["c2"] for value in values}) <= MAX_NAMED_POINTS
    coloured = bool(others) and not named and len(names) <= MAX_SERIES
    chart = _chart(values).encode(
        x=_quantity(alt.X, "c0", values, answer.label(across)), y=_quantity(alt.Y, "c1", values, answer.label(up))
    )
    points = chart.mark_circle(size=70 if len(values) <= 200 else 30, opacity=0.75, color=canvas.palette[0])
    notes = _not_drawn(answer, [across, up, *(others if named or coloured else [])])
    if coloured:
        series = Series([], list(names.values()), answer.label(*others), [])
        return Drawing(points.encode(color=_colour(series, canvas)).to_dict(), notes, legend=True)
    if named:
        sides = _sides(values, canvas)
        bare = sides.count(None)
        notes += [f"{bare} of {len(sides)} names have no room"] if bare else []
        return Drawing(alt.layer(points, *_names(chart, values, sides, canvas)).to_dict(), notes)
    return Drawing(points.to_dict(), notes)


def _quantity(channel: type[Any], column: str, values: Sequence[Value], title: str) -> Any:
    axis = _value_axis([value[column] for value in values], title, tickCount=7)
    return channel(f"{column}:Q", axis=axis, scale=alt.Scale(zero=False, nice=False, padding=EDGE))


def _sides(values: Sequence[Value], canvas: Canvas) -> list[Side | None]:
    width, height = canvas.width - FRAME, canvas.height - FRAME
    across, down = _pixels(values, "c0", width), [height - up for up in _pixels(values, "c1", height)]
    return place_names(list(zip(across, down, strict=True)), [value["c2"] for value in values], width=width)


def _names(chart: alt.Chart, values: Sequence[Value], sides: Sequence[Side | None], canvas: Canvas) -> list[alt.Chart]:
    """Make the names of points, a layer for each side."""
    layers = []
    for side, how in SIDES.items():
        here = [value for value, side_of_value in zip(values, sides, strict=True) if side_of_value is side]
        if here:
            layer = chart.properties(data=alt.InlineData(values=here))
            layers.append(layer.mark_text(fontSize=11, color=canvas.pale, **how).encode(text="c2:N"))
    return layers


def _pixels(values: Sequence[Value], column: str, room: float) -> list[float]:
    low = min(value[column] for value in values)
    span = max(value[column] for value in values) - low or 1
    return [EDGE + (value[column] - low) / span * (room - 2 * EDGE) for value in values]


def _lines(answer: Answer, canvas: Canvas, *, filled: bool) -> Drawing:
    along = find_sequence(answer)
    assert along is not None
    series = _series(answer, [place for place in answer.dimensions if place != along])
    timed = answer.columns[along].type.temporal
    values: list[Value] = [
        {"c0": convert_to_utc(row[along]) if timed else row[along], "c1": value, "c2": name}
        for row, value, name in series.points
        if row[along] is not None
    ]
    stacked = filled and series.title is not None and min(series.values) >= 0
    if stacked:
        values = _without_holes(values, series.names)
    low, high = min(series.values), max(series.values)
    scale = alt.Scale(zero=filled or not 0 < high * 0.6 < low, nice=True)
    x = _time(answer, along, canvas) if timed else _steps(answer, along)
    axis = _value_axis(series.values, _value_title(answer, series), tickCount=6)
    y = alt.Y("c1:Q", scale=scale, axis=axis, stack="zero" if stacked else None)
    notes = _not_drawn(answer, [*answer.dimensions, *series.measures])
    chart = _chart(values).encode(x=x, y=y, color=_colour(series, canvas))
    if filled:
        area = chart.mark_area(opacity=0.85 if stacked else 0.4, line=not stacked)
        return Drawing(area.to_dict(), notes, legend=len(series.names) > 1)
    dotted = len(values) <= 40 * len(series.names)
    points = alt.OverlayMarkDef(filled=True, size=34) if dotted else False
    line = chart.mark_line(strokeWidth=2.2, strokeJoin="round", point=points)
    return Drawing(line.to_dict(), notes, legend=len(series.names) > 1)


def _without_holes(values: Sequence[Value], names: Sequence[str]) -> list[Value]:
    """Give each series a value at each place, also where it is nothing, as stacked areas need it."""
    known = {(value["c0"], value["c2"]): value["c1"] for value in values}
    places = dict.fromkeys(value["c0"] for value in values)
    return [{"c0": place, "c1": known.get((place, name)) or 0, "c2": name} for place in places for name in names]


def _steps(answer: Answer, along: int) -> alt.X:
    steps = len(set(answer.column(along)))
    axis = alt.Axis(title=answer.label(along), format="d", tickCount=min(steps, 12), tickMinStep=1, grid=False)
    return alt.X("c0:Q", axis=axis, scale=alt.Scale(zero=False, nice=False))


def _time(answer: Answer, along: int, canvas: Canvas) -> alt.X:
    moments = [datetime.fromisoformat(value).replace(tzinfo=None) for value in answer.column(along) if value]
    ticks = _ticks(answer.columns[along], min(moments), max(moments), canvas.width - FRAME)
    axis = alt.Axis(title=answer.label(along), labelOverlap="greedy", grid=False, **ticks)
    return alt.X("c0:T", scale=alt.Scale(type="utc", nice=False), axis=axis)


def _ticks(column: ResultColumn, first: datetime, last: datetime, width: int) -> dict[str, Any]:
    """Choose ticks on whole days, months or years, so that none stands for a time that no row is of."""
    days, most = (last - first).days, max(width // 62, 2)
    if column.type is DataType.TIMESTAMP and days < 3:
        form = "%H:%M" if first.date() == last.date() else "%-d %b %H:%M"
        return {"tickCount": max(width // 90, 2), "format": form}
    frame = next((months for name, months in FRAMES.items() if column.name.endswith(f"[{name}]")), 0)
    if frame == 0 and days <= 10 * most:
        step = {"interval": "day", "step": max(1, math.ceil(days * 80 / width))}
        return {"tickCount": step, "format": "%-d %b %Y"}
    months = next((length for length in (1, 2, 3, 6) if length >= frame and days / 30.4 / length <= most), 12)
    if months < 12:
        return {"tickCount": {"interval": "month", "step": months}, "format": "Q%q %Y" if frame == 3 else "%b %Y"}
    return {"tickCount": {"interval": "year", "step": max(1, math.ceil(days / 365 / most))}, "format": "%Y"}


def divide_dimensions(answer: Answer) -> tuple[list[int], list[int]]:
    """Divide the dimensions into those that bars stand at, and those that colour them.

    Colours only where nearly all of them are there at each place: a list such as the ten busiest routes stays a list.
    """
    first, rest = answer.dimensions[:1], answer.dimensions[1:]
    for places, colours in ((first, rest), (rest, first)):
        if not rest:
            break
        kinds = len(set(answer.keys(colours)))
        if kinds <= MAX_SERIES and len(answer.rows) * 2 >= kinds * len(set(answer.keys(places))):
            return places, colours
    return answer.dimensions, []


def _bars(answer: Answer, canvas: Canvas) -> Drawing:
    places, colours = divide_dimensions(answer)
    series = _series(answer, colours)
    names = answer.names(places)
    lying, most = _lay(list(names.values()), len(series.names), canvas)
    shown_names = list(names.values())[:most]
    values: list[Value] = [
        {"c0": name, "c1": value, "c2": part}
        for row, value, part in series.points
        if (name := names[tuple(row[place] for place in places)]) in shown_names
    ]
    notes = [f"First {len(shown_names)} of {len(names):,}"] if len(shown_names) < len(names) else []
    notes += _not_drawn(answer, [*places, *colours, *series.measures])
    axis = alt.Axis(
        title=answer.label(*places),
        labelAngle=0,
        labelLimit=round(canvas.width * 0.34) if lying else 0,
        labelOverlap=True,
        ticks=False,
    )
    band = {"sort": None, "axis": axis, "scale": _band(len(shown_names) * len(series.names))}
    if len(series.names) > 1:
        return Drawing(_groups(values, band, _value_title(answer, series), series, lying, canvas), notes, legend=True)
    return Drawing(_single_bars(values, band, _value_title(answer, series), lying, canvas), notes)


def _groups(
    values: Sequence[Value], band: Value, title: str | None, series: Series, lying: bool, canvas: Canvas
) -> dict[str, Any]:
    """Draw bars of several series, side by side at each place."""
    axis = _value_axis(_numbers_of(values), title, tickCount=5)
    chart = _bar_chart(values, band, {"axis": axis, "scale": alt.Scale(zero=True)}, lying)
    beside: dict[str, Any] = {"yOffset": alt.YOffset("c2:N", sort=None)}
    if not lying:
        beside = {"xOffset": alt.XOffset("c2:N", sort=None)}
    marks: dict[str, Any] = chart.mark_bar(cornerRadiusEnd=2).encode(color=_colour(series, canvas), **beside).to_dict()
    return marks


def _single_bars(
    values: Sequence[Value], band: Value, title: str | None, lying: bool, canvas: Canvas
) -> dict[str, Any]:
    """Draw bars of one series, with their values at their ends if there is room."""
    numbers, texts = _numbers_of(values), format_amounts([value["c1"] for value in values])
    room = _text_room(texts, lying, canvas)
    if room is None or len(values) > MAX_VALUED_BARS or min(numbers) < 0:
        length: Value = {"axis": _value_axis(numbers, title, tickCount=5), "scale": alt.Scale(zero=True)}
        bars = _bar_chart(values, band, length, lying).mark_bar(cornerRadiusEnd=2, color=canvas.palette[0])
        marks: dict[str, Any] = bars.to_dict()
        return marks
    length = {
        "axis": _value_axis(numbers, title, tickCount=5, grid=False),
        "scale": alt.Scale(domain=[0, max(numbers) / (1 - room) or 1], nice=False),
    }
    valued = [value | {"c3": text} for value, text in zip(values, texts, strict=True)]
    chart = _bar_chart(valued, band, length, lying)
    place: Value = {"align": "left", "dx": 5} if lying else {"baseline": "bottom", "dy": -4}
    ends = chart.mark_text(**place, fontSize=11, color=canvas.pale).encode(text="c3:N")
    return alt.layer(chart.mark_bar(cornerRadiusEnd=2, color=canvas.palette[0]), ends).to_dict()


def _bar_chart(values: Sequence[Value], band: Value, length: Value, lying: bool) -> alt.Chart:
    if lying:
        return _chart(values).encode(x=alt.X("c1:Q", stack=None, **length), y=alt.Y("c0:N", **band))
    return _chart(values).encode(x=alt.X("c0:N", **band), y=alt.Y("c1:Q", stack=None, **length))


def _numbers_of(values: Sequence[Value]) -> list[float]:
    return [value["c1"] for value in values if value["c1"] is not None] or [0]


def _text_room(texts: Sequence[str], lying: bool, canvas: Canvas) -> float | None:
    """Return which part of the bars' length must stay free for the values at their ends; None: there is no room."""
    wide = max(len(text) for text in texts) * LETTER
    if lying:
        part = (wide + 12) / max(canvas.width * 0.66 - 40, 1)
    else:
        part = 20 / max(canvas.height - FRAME, 1)
        if wide > (canvas.width - FRAME) / len(texts):
            return None
    return part if part < 0.4 else None


def _band(bars: int) -> alt.Scale:
    """Leave more air between few bars, which would be slabs without it."""
    air = 0.5 if bars <= 4 else 0.25
    return alt.Scale(paddingInner=air, paddingOuter=air / 2)


def _lay(names: Sequence[str], series: int, canvas: Canvas) -> tuple[bool, int]:
    """Decide whether bars lie, because their names are long or many, and for how many places of bars there is room."""
    most = min(len(names), max(1, MAX_BARS // series))
    aside = LEGEND if series > 1 and not canvas.narrow else 0
    slot = (canvas.width - FRAME - aside) / most
    longest = max(len(name) for name in names[:most]) * LETTER + 8
    if longest <= slot and slot / series >= 7:
        return False, most
    room = (canvas.height - FRAME) / max(13, 6 * series + 4)
    return True, max(1, min(most, int(room)))
