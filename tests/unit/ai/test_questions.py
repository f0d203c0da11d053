"""From words to fields, from a model's move to a query, from rows to text."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from towpath.ai.domain.agent_actions import (
    build_action_schema,
    build_constrained_schema,
    build_query_schema,
    find_requested_chart,
    note_dropped_order,
    read_action,
    read_constrained,
    read_query,
)
from towpath.ai.domain.linking import (
    describe_topics,
    find_values,
    has_field_names,
    select_constrained_fields,
    select_fields,
)
from towpath.ai.domain.results import write_csv, write_markdown_table, write_plain_answer
from towpath.ai.domain.semantics import content
from towpath.ai.domain.semantics.compile import Dialect, compile_query, list_fields
from towpath.ai.domain.semantics.content import read_model
from towpath.ai.semantic_types import Content, DataType
from towpath.ai.types import ActionType, ChartType, ResultColumn, StoredAction
from towpath.core.word_ranking import rank, words_of

EXAMPLES = Path(content.__file__).parent / "examples"


@pytest.fixture(scope="module")
def flights() -> Content:
    return read_model((EXAMPLES / "flights.yaml").read_text())


def test_words_are_told_alike_whatever_their_ending() -> None:
    assert words_of("The Carriers' highest mean delays") == words_of("carrier maximum average delay")


@pytest.mark.parametrize(
    ("question", "measure", "by"),
    [
        ("Which three carriers had the highest average departure delay?", "flights.average_dep_delay", "carrier"),
        ("Show the number of late flights by origin airport", "flights.late_count", "origin"),
        ("Which airline had the lowest share of late flights?", "flights.share_late", "airlines.name"),
        ("total distance per destination", "flights.total_distance", "dest"),
    ],
)
def test_a_question_leads_to_the_fields_it_names(flights: Content, question: str, measure: str, by: str) -> None:
    measures, dimensions = select_constrained_fields(question, flights, "flights")

    assert measures[0].name == measure
    assert by in dimensions[0].name


@pytest.mark.parametrize(
    ("question", "values"),
    [
        ("How many flights left JFK in June 2013?", ["JFK", "June", "2013"]),
        ("Average delay of 'United Air Lines' by Origin airport. Newark too?", ["United Air Lines"]),
        ("What's the mean delay by carrier? Don't show more than 10", []),
        ("Which three carriers had the highest average departure delay?", []),
    ],
)
def test_what_a_question_narrows_its_answer_to_is_seen(flights: Content, question: str, values: list[str]) -> None:
    assert find_values(question, flights, "flights") == values


def test_topics_are_ranked_by_what_is_asked(flights: Content) -> None:
    texts = describe_topics(flights, list(flights.topics))

    assert rank("how much rain fell", texts)[0][0] == "weather"
    assert rank("delays of an airline", texts)[0][0] == "flights"


def test_a_choice_of_fields_has_a_measure_and_a_dimension_whatever_is_asked(flights: Content) -> None:
    for question in ("xyz", "number count total average", "airport"):
        fields = select_fields(question, flights, "flights", most=5)
        assert {field.measure for field in fields} == {True, False}
        assert len(fields) <= 9


def test_whether_a_question_names_a_field(flights: Content) -> None:
    assert has_field_names("by airline", flights, "flights")
    assert not has_field_names("as a pie please", flights, "flights")


@pytest.mark.parametrize(
    ("question", "limit", "descending"),
    [
        ("Which three carriers were late most?", 3, True),
        ("top 5 airlines by flights", 5, True),
        ("the airline with the fewest flights in 2013", 100, False),
    ],
)
def test_order_and_number_of_rows_are_read_out_of_the_words(
    flights: Content, question: str, limit: int, descending: bool
) -> None:
    measures, dimensions = select_constrained_fields(question, flights, "flights")
    chosen = {"measure": measures[0].name, "by": dimensions[0].name}

    query = read_constrained(chosen, question, measures, dimensions, "flights")

    assert query.limit == limit
    assert query.sorts[0].sort_descending is descending
    compile_query(flights, "flights", query, Dialect.DUCKDB)


def test_every_choice_of_a_small_model_compiles(flights: Content) -> None:
    for topic in flights.topics:
        base = flights.topics[topic].base_view
        measures = [one for one in list_fields(flights, topic) if one.measure]
        dimensions = [one for one in list_fields(flights, topic) if not one.measure]
        form = build_constrained_schema(measures, dimensions)
        for measure in form["properties"]["measure"]["enum"]:
            for by in form["properties"]["by"]["enum"]:
                query = read_constrained({"measure": measure, "by": by}, "x", measures, dimensions, base)
                compile_query(flights, topic, query, Dialect.DUCKDB)


def test_a_form_names_the_topics_fields_and_no_other(flights: Content) -> None:
    fields = list_fields(flights, "planes")

    form = build_action_schema(fields, charts=False, last=False)

    assert form["properties"]["action"]["enum"] == ["query", "answer"]
    named = form["properties"]["query"]["properties"]["fields"]["items"]["enum"]
    assert named == [field.name for field in fields]
    assert build_query_schema(fields)["properties"]["sorts"]["items"]["properties"]["field"]["enum"] == named


@pytest.mark.parametrize(
    ("given", "filters"),
    [
        ([("is", ["x"])], {"is": "x"}),
        ([("is", ["x", "y"])], {"in": ["x", "y"]}),
        ([("between", [1, 2])], {"between": [1, 2]}),
        ([("gte", [1]), ("lt", [5])], {"gte": 1, "lt": 5}),
    ],
)
def test_filters_are_read(given: list[tuple[str, list[Any]]], filters: dict[str, Any]) -> None:
    data = {
        "title": "t",
        "fields": ["a.b"],
        "filters": [{"field": "a.b", "operator": operator, "values": values} for operator, values in given],
    }

    _, query, problem = read_query(data, "a")

    assert problem is None
    assert query is not None
    assert query.filters == {"a.b": filters}


def test_what_is_no_query_is_told(flights: Content) -> None:
    assert read_query(None, "a")[2] == "query is missing"
    assert "fields" in str(read_query({"title": "t", "fields": []}, "a")[2])
    several = {"fields": ["a.b"], "filters": [{"field": "a.b", "operator": "gt", "values": [1, 2]}]}
    assert "takes one value" in str(read_query(several, "a")[2])
    assert read_action({"action": "query", "message": "m"}, "a").problem == "query is missing"


def test_a_sort_by_a_field_that_is_not_asked_for_is_left_out_and_told() -> None:
    data = {"title": "t", "fields": ["a.b"], "sorts": [{"field": "a.c", "descending": True}]}

    _, query, _ = read_query(data, "a")

    assert query is not None
    assert query.sorts == []
    assert note_dropped_order(data) == ["The order by a.c was left out, because the query does not ask for it."]
    assert note_dropped_order({**data, "fields": ["a.b", "a.c"]}) == note_dropped_order(None) == []


@pytest.mark.parametrize(
    ("prompt", "chart"),
    [
        ("Show it as a bar chart", ChartType.BAR),
        ("make it into a pie", ChartType.PIE),
        ("line graph please", ChartType.LINE),
        ("what is the bottom line", None),
        ("how many bars are there in Porto", None),
    ],
)
def test_a_chart_is_wanted_where_it_is_named(prompt: str, chart: ChartType | None) -> None:
    assert find_requested_chart(prompt) is chart


COLUMNS = [
    ResultColumn(name="a.x", label="X, or *not*", type=DataType.STRING, measure=False),
    ResultColumn(name="a.n", label="N", type=DataType.NUMBER, measure=True),
]


def test_rows_become_csv_that_says_what_was_cut() -> None:
    text, kept = write_csv(COLUMNS, [("a,b", Decimal("1.50")), (None, 2.0), (date(2026, 1, 2), True)])

    assert text == '"X, or *not*",N\n"a,b",1.5\n,2\n2026-01-02,true\n'
    assert kept == 3
    assert write_csv(COLUMNS, [("x", 1)] * 1001)[1] == 1000
    assert write_csv(COLUMNS, [("a\rb\r\nc", 1)])[0].endswith('"a\nb\nc",1\n')
    wide, kept = write_csv(COLUMNS, [("x" * 200_000, 1)] * 10)
    assert kept == 5
    assert len(wide.encode()) <= (1 << 20) + 100


def test_a_markdown_table_shows_marks_as_they_are() -> None:
    table = write_markdown_table(COLUMNS, 'X,N\n"a|b <i>",1\n')

    assert table.splitlines() == ["| X, or \\*not\\* | N |", "| --- | ---: |", "| a\\|b \\<i\\> | 1 |"]


def test_an_answer_without_a_models_words_is_the_rows() -> None:
    action = StoredAction(
        number=1, type=ActionType.GENERATE_QUERY, message="", at="2026-01-01T00:00:00Z", columns=COLUMNS,
        csv="X,N\n" + "a,1234.5678\n" * 15, rows=15,
    )  # fmt: skip

    answer = write_plain_answer("How many?\nTell.", action)

    assert answer.startswith("### How many?\n\n|")
    assert "| a | 1,234.57 |" in answer
    assert answer.endswith("The first 12 of 15 rows.")
    limited = action.model_copy(update={"rows": 3323, "brought": 15, "notes": ["It is *so*."]})
    assert write_plain_answer("x", limited).endswith("The first 12 of 3,323 rows.\n\nIt is \\*so\\*.")
    endless = action.model_copy(update={"exact": False})
    assert write_plain_answer("x", endless).endswith("The first 12 of more than 15 rows.")
    whole = action.model_copy(update={"csv": "X,N\na,1\n", "rows": 1, "title": "N by X"})
    assert write_plain_answer("x", whole) == "### N by X\n\n| X, or \\*not\\* | N |\n| --- | ---: |\n| a | 1 |"
    assert write_plain_answer("x", action, ["JFK", "2013"]).endswith(
        "to “JFK”, “2013”: the embedded model sets no filters."
    )
    assert "no rows" in write_plain_answer("x", action.model_copy(update={"rows": 0}))
