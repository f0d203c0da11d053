"""Charts of query results: which one fits, what it shows, and that data stays data."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import vl_convert
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from towpath.ai.domain.chart_names import Side, place_names
from towpath.ai.domain.charts import UndrawableError, build_chart_spec, choose_chart, read_rows, render_png, render_svg
from towpath.ai.domain.results import write_csv
from towpath.ai.semantic_types import DataType
from towpath.ai.types import ChartType, ResultColumn
from towpath.core.errors import ErrorCode

Rows = list[list[Any]]


def dimension(label: str, kind: DataType = DataType.STRING, name: str = "") -> ResultColumn:
    return ResultColumn(name=name or f"view.{label.lower()}", label=label, type=kind, measure=False)


def measure(label: str, kind: DataType = DataType.NUMBER) -> ResultColumn:
    return ResultColumn(name=f"view.{label.lower()}", label=label, type=kind, measure=True)


DEPOT, REGION, NOTE, KIND = dimension("Depot"), dimension("Region"), dimension("Note"), dimension("Kind")
MONTH = dimension("Sent (month)", DataType.DATE, "shipments.sent[month]")
WEIGHT, HOUR = dimension("Weight", DataType.NUMBER), dimension("Hour", DataType.NUMBER)
LATE = dimension("Late", DataType.BOOLEAN)
COUNT, HOURS, COST = measure("Shipments"), measure("Hours"), measure("Cost")
LAST = measure("Last", DataType.DATE)

DEPOTS: Rows = [["North", 40], ["East", 25], ["Dock 5", 3]]
MONTHS: Rows = [[f"2025-{month:02}-01", month * 7] for month in range(1, 13)]
BY_REGION: Rows = [
    [month, region, count + at] for month, count in MONTHS for at, region in enumerate(["Coast", "Hills"])
]
POINTS: Rows = [[at * 1.5, at * at * 0.7] for at in range(1, 20)]

DRAWN: dict[str, tuple[list[ResultColumn], Rows, ChartType, list[str]]] = {
    "bar": ([DEPOT, COUNT], DEPOTS, ChartType.BAR, ["Depot", "Shipments", "North", "Dock 5", "40"]),
    "grouped bars": (
        [DEPOT, REGION, COUNT],
        [[depot, region, 4] for depot in ("North", "East") for region in ("Coast", "Hills")],
        ChartType.BAR,
        ["Depot", "Region", "Coast", "Hills", "North"],
    ),
    "line": ([MONTH, COUNT], MONTHS, ChartType.LINE, ["Sent (month)", "Shipments", "Jan 2025"]),
    "lines": ([MONTH, REGION, COUNT], BY_REGION, ChartType.LINE, ["Region", "Coast", "Hills"]),
    "area": ([MONTH, REGION, COUNT], BY_REGION, ChartType.AREA, ["Region", "Coast", "Hills"]),
    "scatter": ([WEIGHT, HOURS], POINTS, ChartType.SCATTER, ["Weight", "Hours"]),
    "named scatter": ([DEPOT, COUNT, HOURS], [["North", 40, 9], ["East", 25, 2]], ChartType.SCATTER, ["North", "East"]),
    "pie": ([DEPOT, COUNT], DEPOTS, ChartType.PIE, ["Shipments by Depot", "59%", "North"]),
    "number": ([COUNT], [[336776]], ChartType.NUMBER, ["336,776", "Shipments"]),
    "number of one": ([DEPOT, COUNT], [["North", 40]], ChartType.NUMBER, ["40", "Shipments · North"]),
    "numbers": ([COUNT, HOURS], [[336776, 12.639]], ChartType.NUMBER, ["336,776", "12.64", "Shipments", "Hours"]),
}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_is_exactly_as_large_as_asked_and_tells_its_labels(name: str, dark: bool) -> None:
    columns, rows, wanted, labels = DRAWN[name]

    spec = build_chart_spec(columns, rows, requested=wanted, title="What was sent", width=613, height=377, dark=dark)

    picture = Image.open(io.BytesIO(render_png(spec)))
    drawing = render_svg(spec)
    assert (picture.format, picture.size) == ("PNG", (613, 377))
    assert [text for text in [*labels, "What was sent"] if text not in drawing] == []
    assert len(set(picture.convert("RGB").resize((200, 120)).get_flattened_data())) > 20


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(("width", "height"), [(100, 80), (320, 240), (1600, 1200)])
def test_small_and_large_charts_keep_their_size(name: str, width: int, height: int) -> None:
    columns, rows, wanted, _ = DRAWN[name]

    spec = build_chart_spec(
        columns, rows, requested=wanted, title="A title that is long " * 9, width=width, height=height
    )

    assert Image.open(io.BytesIO(render_png(spec))).size == (width, height)


def test_a_dark_chart_has_a_dark_ground() -> None:
    grounds = []
    for dark in (False, True):
        spec = build_chart_spec([COUNT], [[5]], requested=None, title=None, width=200, height=100, dark=dark)
        grounds.append(Image.open(io.BytesIO(render_png(spec))).convert("L").getpixel((1, 1)))

    assert grounds == [255, pytest.approx(24, abs=6)]


CHOICES: dict[str, tuple[list[ResultColumn], Rows, ChartType | None, ChartType]] = {
    "one row, one measure": ([COUNT], [[7]], None, ChartType.NUMBER),
    "one row, one measure, of something": ([DEPOT, COUNT], [["North", 7]], None, ChartType.NUMBER),
    "one row, five measures": ([COUNT, HOURS, COST, COUNT, COUNT], [[1, 2, 3, 4, 5]], None, ChartType.TABLE),
    "months": ([MONTH, COUNT], MONTHS, None, ChartType.LINE),
    "months in two regions": ([MONTH, REGION, COUNT], BY_REGION, None, ChartType.LINE),
    "months in 13 regions": (
        [MONTH, REGION, COUNT],
        [[month, f"R{at}", 1] for month, _ in MONTHS for at in range(13)],
        None,
        ChartType.TABLE,
    ),
    "one month in regions": ([MONTH, DEPOT, COUNT], [["2025-01-01", *row] for row in DEPOTS], None, ChartType.BAR),
    "depots": ([DEPOT, COUNT], DEPOTS, None, ChartType.BAR),
    "depots, two measures": ([DEPOT, COUNT, HOURS], [["North", 1, 2], ["East", 3, 4]], None, ChartType.BAR),
    "yes and no": ([LATE, COUNT], [[True, 4], [False, 9]], None, ChartType.BAR),
    "hours of the day": ([HOUR, COUNT], [[hour, hour * 2] for hour in range(24)], None, ChartType.BAR),
    "hours of the day as a line": ([HOUR, COUNT], [[hour, 2] for hour in range(24)], ChartType.LINE, ChartType.LINE),
    "two numbers": ([WEIGHT, HOURS], POINTS, None, ChartType.SCATTER),
    "two numbers, no measure": ([WEIGHT, dimension("Size", DataType.NUMBER)], POINTS, None, ChartType.SCATTER),
    "bars wanted of months": ([MONTH, COUNT], MONTHS, ChartType.BAR, ChartType.BAR),
    "area wanted of months": ([MONTH, COUNT], MONTHS, ChartType.AREA, ChartType.AREA),
    "pie wanted of depots": ([DEPOT, COUNT], DEPOTS, ChartType.PIE, ChartType.PIE),
    "pie wanted of 13": ([DEPOT, COUNT], [[f"D{at}", 1] for at in range(13)], ChartType.PIE, ChartType.BAR),
    "pie wanted of a loss": ([DEPOT, COUNT], [["North", 4], ["East", -1]], ChartType.PIE, ChartType.BAR),
    "pie wanted of nothing": ([DEPOT, COUNT], [["North", 0], ["East", 0]], ChartType.PIE, ChartType.BAR),
    "line wanted of depots": ([DEPOT, COUNT], DEPOTS, ChartType.LINE, ChartType.BAR),
    "number wanted of three": ([DEPOT, COUNT], DEPOTS, ChartType.NUMBER, ChartType.BAR),
    "scatter wanted of one number": ([DEPOT, COUNT], DEPOTS, ChartType.SCATTER, ChartType.BAR),
    "scatter wanted of two": ([DEPOT, COUNT, HOURS], [["N", 1, 2], ["E", 3, 4]], ChartType.SCATTER, ChartType.SCATTER),
    "table wanted": ([DEPOT, COUNT], DEPOTS, ChartType.TABLE, ChartType.TABLE),
    "no rows": ([DEPOT, COUNT], [], None, ChartType.TABLE),
    "text only": ([DEPOT, REGION], [["North", "Coast"]], ChartType.BAR, ChartType.TABLE),
    "only nulls": ([DEPOT, COUNT], [["North", None], ["East", None]], None, ChartType.TABLE),
    "a measure that is a date": ([DEPOT, LAST], [["North", "2025-01-01"]], None, ChartType.TABLE),
    "four dimensions": (
        [DEPOT, REGION, NOTE, KIND, COUNT],
        [[*"abcd", 1], [*"efgh", 2]],
        None,
        ChartType.TABLE,
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_chart_that_fits(name: str) -> None:
    columns, rows, wanted, chosen = CHOICES[name]

    assert choose_chart(columns, rows, wanted) is chosen


@pytest.mark.parametrize("name", [name for name, one in CHOICES.items() if one[3] is not ChartType.TABLE])
def test_what_is_chosen_can_be_drawn(name: str) -> None:
    columns, rows, wanted, _ = CHOICES[name]

    spec = build_chart_spec(columns, rows, requested=wanted, title=None, width=400, height=300)

    assert render_png(spec).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("columns", "rows", "wanted", "why"),
    [
        ([DEPOT, REGION], [["North", "Coast"]], None, "it has no numbers to draw"),
        ([DEPOT, COUNT], [["North", None]], None, "it has no numbers to draw"),
        ([DEPOT, COUNT], [], ChartType.BAR, "it has no rows to draw"),
        ([DEPOT, COUNT], DEPOTS, ChartType.TABLE, "it was asked for as a table"),
        (
            [DEPOT, REGION, NOTE, KIND, COUNT],
            [[*"abcd", 1], [*"efgh", 2]],
            ChartType.BAR,
            "its numbers are told by 4 dimensions, and a chart shows 3",
        ),
        (
            [MONTH, REGION, COUNT],
            [[month, f"R{at}", 1] for month, _ in MONTHS for at in range(20)],
            None,
            "Region would make 20 lines, and 12 can be told apart",
        ),
    ],
)
def test_what_cannot_be_drawn_says_why(
    columns: list[ResultColumn], rows: Rows, wanted: ChartType | None, why: str
) -> None:
    with pytest.raises(UndrawableError) as raised:
        build_chart_spec(columns, rows, requested=wanted, title="T", width=400, height=300)

    assert raised.value.detail == f"the answer is a table: {why}"
    assert (raised.value.status, raised.value.title) == (422, "Unprocessable Content")
    assert raised.value.code is ErrorCode.INVALID_VALUE


def test_rows_come_back_with_their_types() -> None:
    columns = [DEPOT, HOUR, HOURS, LATE, MONTH, dimension("At", DataType.TIMESTAMP)]
    text = 'Depot,Hour,Hours,Late,Month,At\n"a ""b"", c\nd",7,-2.5,true,2025-01-01,2025-01-01T10:30:00+02:00\n,,,,,\n'

    rows = read_rows(columns, text)

    assert rows == [['a "b", c\nd', 7, -2.5, True, "2025-01-01", "2025-01-01T10:30:00+02:00"], [None] * 6]
    assert type(rows[0][1]) is int


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (DataType.NUMBER, "nan"),
        (DataType.NUMBER, "1e999"),
        (DataType.NUMBER, "twelve"),
        (DataType.DATE, "infinity"),
        (DataType.TIMESTAMP, "2025-13-01"),
        (DataType.BOOLEAN, "perhaps"),
    ],
)
def test_what_a_type_cannot_have_is_null(kind: DataType, text: str) -> None:
    assert read_rows([dimension("D", kind)], f"D\n{text}\n") == [[None]]


def test_lines_of_another_length_get_the_length_of_the_columns() -> None:
    assert read_rows([DEPOT, COUNT], "a,b\nNorth\nEast,2,3\n\n") == [["North", None], ["East", 2]]
    assert read_rows([DEPOT, COUNT], "") == []


def test_a_text_may_be_larger_than_the_reader_takes_by_itself() -> None:
    long = "x" * 200_000

    assert read_rows([DEPOT], f"Depot\n{long}\n") == [[long]]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1),
            st.none() | st.integers(-9, 9),
        )
    )
)
def test_what_was_written_is_read(given_rows: list[tuple[str, int | None]]) -> None:
    text, _ = write_csv([DEPOT, COUNT], given_rows)

    assert read_rows([DEPOT, COUNT], text) == [list(row) for row in given_rows]


def test_a_carriage_return_within_a_value_ends_no_row() -> None:
    text, _ = write_csv([DEPOT, COUNT], [["a\rb", 1], ["\r", 2]])

    assert read_rows([DEPOT, COUNT], text) == [["a\nb", 1], ["\n", 2]]


def test_bars_stand_in_the_order_of_the_rows() -> None:
    rows: Rows = [["Zebra", 1], ["Ant", 9], ["Mole", 4]]

    drawing = render_svg(build_chart_spec([DEPOT, COUNT], rows, requested=None, title=None, width=500, height=300))

    assert drawing.index(">Zebra<") < drawing.index(">Ant<") < drawing.index(">Mole<")


def test_groups_and_their_colours_stand_in_the_order_of_the_rows() -> None:
    rows: Rows = [[depot, region, 5] for depot in ("Zebra", "Ant") for region in ("Night", "Day")]

    drawing = render_svg(
        build_chart_spec([DEPOT, REGION, COUNT], rows, requested=None, title=None, width=500, height=300)
    )

    assert drawing.index(">Zebra<") < drawing.index(">Ant<")
    assert drawing.index(">Night<") < drawing.index(">Day<")


def test_a_list_of_pairs_stays_a_list() -> None:
    rows: Rows = [["North", "Pier 1", 90], ["East", "Pier 2", 80], ["North", "Pier 3", 70], ["East", "Pier 4", 60]]
    rows += [["West", "Pier 5", 50]]

    drawing = render_svg(
        build_chart_spec([DEPOT, REGION, COUNT], rows, requested=None, title=None, width=600, height=300)
    )

    assert drawing.index(">North · Pier 1<") < drawing.index(">East · Pier 2<") < drawing.index(">West · Pier 5<")


@pytest.mark.parametrize(("height", "shown"), [(1000, 50), (360, 20)])
def test_of_a_thousand_bars_the_first_are_drawn_and_the_subtitle_says_so(height: int, shown: int) -> None:
    rows: Rows = [[f"Depot number {at}", 2000 - at] for at in range(1000)]

    spec = build_chart_spec([DEPOT, COUNT], rows, requested=None, title="All depots", width=700, height=height)

    drawing = render_svg(spec)
    assert f">First {shown} of 1,000<" in drawing
    assert f">Depot number {shown - 1}<" in drawing
    assert f">Depot number {shown}<" not in drawing


def test_a_thousand_days_make_a_line() -> None:
    day = dimension("Day", DataType.DATE)
    rows: Rows = [[(date(2022, 1, 1) + timedelta(days=at)).isoformat(), at % 90] for at in range(1000)]

    spec = build_chart_spec([day, COUNT], rows, requested=None, title=None, width=900, height=400)

    assert Image.open(io.BytesIO(render_png(spec))).size == (900, 400)
    assert ">Jul 2023<" in render_svg(spec)


def test_long_names_are_cut_and_stay_apart() -> None:
    rows: Rows = [["same beginning " * 30 + end, 5] for end in "abc"]

    drawing = render_svg(build_chart_spec([DEPOT, COUNT], rows, requested=None, title=None, width=1200, height=300))

    assert drawing.count(">same beginning same beginning") == 3
    assert "… (2)<" in drawing and "… (3)<" in drawing
    assert "same beginning " * 5 not in drawing


def test_nulls_are_named_and_leave_gaps() -> None:
    bars: Rows = [["North", 4], [None, 3], ["East", None]]
    line: Rows = [["2025-01-01", 4], ["2025-02-01", None], [None, 3], ["2025-03-01", 6]]

    drawn_bars = render_svg(build_chart_spec([DEPOT, COUNT], bars, requested=None, title=None, width=500, height=300))
    spec = build_chart_spec([MONTH, COUNT], line, requested=None, title=None, width=500, height=300)

    assert ">(none)<" in drawn_bars and ">East<" in drawn_bars
    [values] = spec["datasets"].values()
    assert [one["c1"] for one in values] == [4, None, 6]
    assert render_png(spec).startswith(b"\x89PNG")


def test_measures_of_other_sizes_and_constants_are_told_in_the_subtitle() -> None:
    rows: Rows = [["2025", "North", 15.0, 9.0, 120835], ["2025", "East", 12.0, 5.5, 111279]]
    columns = [dimension("Year"), DEPOT, HOURS, COST, COUNT]

    drawing = render_svg(build_chart_spec(columns, rows, requested=None, title="Depots", width=600, height=300))

    assert ">Year: 2025 · Not drawn: Shipments<" in drawing
    assert ">Hours<" in drawing and ">Cost<" in drawing


HOSTILE = [
    '"];alert(1)//',
    "' + event.view.location + '",
    "</text><script>alert(1)</script>",
    "https://evil.example/x.png",
    "javascript:alert(1)",
    "datum['c1']",
    "{{constructor}}${7*7}",
    "\u202eturned\u2066",
    "line\nbreak\ttab\x00nul",
    "__proto__",
    "constructor",
    "toString",
]


def _texts(part: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(part, dict):
        for name, value in part.items():
            yield from _texts(value, (*path, name))
    elif isinstance(part, list):
        for value in part:
            yield from _texts(value, path)
    elif isinstance(part, str):
        yield path, part


@pytest.mark.parametrize("name", DRAWN)
def test_names_and_values_never_become_part_of_an_expression(name: str) -> None:
    columns, rows, wanted, _ = DRAWN[name]
    evil = "\"];EVIL.dots[0]\\' //"
    columns = [
        column.model_copy(update={"name": f"a.b['{evil}']", "label": f"{evil} {at}"})
        for at, column in enumerate(columns)
    ]
    rows = [
        [f"{evil} {value}" if columns[at].type is DataType.STRING else value for at, value in enumerate(row)]
        for row in rows
    ]

    spec = build_chart_spec(columns, rows, requested=wanted, title=evil, width=700, height=400)

    program = vl_convert.vegalite_to_vega(spec)
    held = {path for path, text in _texts(program) if "EVIL" in text}
    allowed = {"values", "title", "subtitle", "text", "description"}
    assert held
    assert {path for path in held if path[0] not in {"title", "description"} and not allowed & set(path)} == set()
    assert {path for path in held if {"signal", "expr", "test", "update", "encode"} & set(path)} == set()
    assert Image.open(io.BytesIO(render_png(spec))).size == (700, 400)


@pytest.mark.parametrize("wanted", [ChartType.BAR, ChartType.PIE, ChartType.SCATTER])
def test_hostile_values_stay_text(wanted: ChartType) -> None:
    rows: Rows = [[value, 5 + at, at * at] for at, value in enumerate(HOSTILE)]

    spec = build_chart_spec([DEPOT, COUNT, HOURS], rows, requested=wanted, title=HOSTILE[2], width=1500, height=1200)

    drawing = render_svg(spec)
    assert "<script" not in drawing and "<image" not in drawing and "href" not in drawing
    assert "&lt;script" in drawing and "https://evil.example/x.png" in drawing
    assert "\u202e" not in drawing and "line break tab nul" in drawing
    assert "__proto__" in drawing and "constructor" in drawing
    assert "url" not in {step for path, _ in _texts(spec) for step in path}


def test_hostile_values_are_as_good_as_others_as_colours() -> None:
    rows: Rows = [[month, name, at] for month, at in MONTHS for name in ("__proto__", "constructor", "hasOwnProperty")]

    for wanted in (ChartType.LINE, ChartType.AREA, ChartType.BAR):
        drawing = render_svg(
            build_chart_spec([MONTH, REGION, COUNT], rows, requested=wanted, title=None, width=700, height=400)
        )
        assert all(f">{name}<" in drawing for name in ("__proto__", "constructor", "hasOwnProperty"))


@pytest.mark.parametrize("wanted", [ChartType.PIE, ChartType.BAR])
def test_an_emoji_where_a_label_is_cut_does_no_harm(wanted: ChartType) -> None:
    rows = [["aaaa\U0001f600" + "a" * 28, 1], ["other", 2]]

    for width in (200, 300, 400):
        spec = build_chart_spec([DEPOT, COUNT], rows, requested=wanted, title="\U0001f680", width=width, height=200)
        assert Image.open(io.BytesIO(render_png(spec))).size == (width, 200)


def test_a_label_of_many_lines_takes_one() -> None:
    spec = build_chart_spec(
        [dimension("De\npot\r\n"), COUNT], DEPOTS, requested=None, title="a\nb", width=500, height=300
    )

    drawing = render_svg(spec)

    assert ">De pot<" in drawing and ">a b<" in drawing


@pytest.mark.parametrize("render", [render_png, render_svg])
def test_rendering_fetches_nothing(render: Callable[[dict[str, Any]], Any]) -> None:
    spec = {"data": {"url": "http://127.0.0.1:9/rows.csv"}, "mark": "point", "encoding": {"x": {"field": "a"}}}

    with pytest.raises(ValueError, match="url not allowed"):
        render(spec)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.none() | st.text(max_size=20),
            st.none() | st.dates().map(date.isoformat),
            st.none() | st.integers(-(10**18), 10**18),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=15,
    ),
    st.sampled_from(list(ChartType)),
    st.sets(st.integers(0, 3), min_size=1),
)
def test_whatever_the_rows_are_they_are_drawn_or_refused(
    rows: list[tuple[Any, ...]], wanted: ChartType, places: set[int]
) -> None:
    columns = [DEPOT, MONTH, COUNT, HOURS]
    kept = [[row[at] for at in sorted(places)] for row in rows]

    try:
        spec = build_chart_spec(
            [columns[at] for at in sorted(places)], kept, requested=wanted, title="T", width=300, height=200
        )
    except UndrawableError:
        return

    assert Image.open(io.BytesIO(render_png(spec))).size == (300, 200)


def test_names_of_points_never_touch_other_names_or_points() -> None:
    points = [(100.0, 100.0), (108.0, 100.0), (300.0, 50.0), (390.0, 150.0)]

    sides = place_names(points, ["left one", "right one", "free", "at the edge"], width=400)

    assert sides == [Side.LEFT, Side.RIGHT, Side.RIGHT, Side.LEFT]


def test_a_name_without_room_is_left_out() -> None:
    crowd = [(50.0, 50.0 + at) for at in range(6)]

    sides = place_names(crowd, ["a name"] * 6, width=100)

    assert sides == [Side.RIGHT, Side.LEFT, Side.BELOW, None, None, None]
