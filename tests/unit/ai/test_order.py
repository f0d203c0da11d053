"""Which end of a measure a question asks for, and when that is left undecided."""

from __future__ import annotations

from pathlib import Path

import pytest

from towpath.ai.domain.agent_actions import note_order, read_constrained
from towpath.ai.domain.linking import select_constrained_fields
from towpath.ai.domain.order import Order, find_better_end, read_order
from towpath.ai.domain.semantics import content
from towpath.ai.domain.semantics.compile import Column, list_fields
from towpath.ai.domain.semantics.content import read_model
from towpath.ai.semantic_types import Better, Content, DataType

EXAMPLES = Path(content.__file__).parent / "examples"
DOWN, UP = Order(descending=True), Order(descending=False)


def measure(label: str, better: Better | None = None) -> Column:
    name = f"things.{label.lower().replace(' ', '_')}"
    return Column(name, label, DataType.NUMBER, measure=True, better=better)


@pytest.fixture(scope="module")
def flights() -> Content:
    return read_model((EXAMPLES / "flights.yaml").read_text())


@pytest.mark.parametrize(
    "label",
    [
        "Average departure delay", "Number of cancelled flights", "Share of late flights", "Errors", "Total cost",
        "Call duration", "Late sales", "Lost revenue", "Response time", "Complaints by rating", "Failed payments",
        "Waiting time", "Churn rate", "Defects",
    ],
)  # fmt: skip
def test_the_worst_is_the_high_end_of_what_is_bad_and_the_best_the_low_end(label: str) -> None:
    assert read_order("Which has the worst?", measure(label)) == DOWN
    assert read_order("Which one is best?", measure(label)) == UP


@pytest.mark.parametrize(
    "label",
    [
        "Average rating", "Revenue", "Score", "Share on time", "On-time flights", "Profit margin", "Number of sales",
        "Customer satisfaction", "Uptime", "Savings",
    ],
)  # fmt: skip
def test_the_worst_is_the_low_end_of_what_is_good_and_the_best_the_high_end(label: str) -> None:
    assert read_order("Which has the worst?", measure(label)) == UP
    assert read_order("Which one is best?", measure(label)) == DOWN


@pytest.mark.parametrize(
    "label",
    ["Number of flights", "Average distance", "Altitude in feet", "Average age", "Flights without delay",
     "Cost savings", "Mission hours", "Error-free share", "Price", "Later editions"],
)  # fmt: skip
def test_where_a_measure_does_not_tell_its_good_end_best_and_worst_are_left_undecided(label: str) -> None:
    assert find_better_end(measure(label)) is None
    assert read_order("Which is the worst?", measure(label)).undecided == "worst"
    assert read_order("Which is best?", measure(label)).undecided == "best"


@pytest.mark.parametrize(
    ("question", "label", "order"),
    [
        ("the highest number of flights", "Number of flights", DOWN),
        ("the fewest flights", "Number of flights", UP),
        ("flights by airline", "Number of flights", DOWN),
        ("Which has the lowest, that is the best, delay?", "Delay", UP),
        ("the airline with at least 5 delays", "Delay", DOWN),
        ("airlines with at most 5 flights", "Number of flights", DOWN),
        ("the month with the highest minimum temperature", "Minimum temperature", DOWN),
        ("the longest delay by airline", "Longest departure delay", DOWN),
        ("Who is most reliable?", "Average delay", UP),
        ("Who is least punctual?", "Average delay", DOWN),
        ("Who is most delayed?", "Share on time", UP),
        ("Who is most profitable?", "Profit", DOWN),
        ("Which carrier is fastest?", "Average time in the air", UP),
        ("Which carrier is slowest?", "Average time in the air", DOWN),
        ("Which carrier is fastest?", "Average speed", DOWN),
        ("Which carrier is fastest?", "Number of flights", Order(undecided="fastest")),
        ("the worst rating with the most reviews", "Rating", Order(undecided="worst")),
        ("the shortest routes with the highest delay", "Delay", Order(undecided="shortest")),
        ("the best and the worst delay", "Delay", Order(undecided="best")),
    ],
)
def test_an_order_is_read_out_of_the_words(question: str, label: str, order: Order) -> None:
    assert read_order(question, measure(label)) == order


def test_a_models_own_word_on_its_good_end_comes_first() -> None:
    assert read_order("the best", measure("Number of flights", Better.HIGH)) == DOWN
    assert read_order("the best", measure("Revenue", Better.LOW)) == UP
    views = {
        "v": {
            "table": "t",
            "dimensions": {"x": {}},
            "measures": {"n": {"aggregate": "count", "label": "Strokes", "better": "low"}},
        }
    }
    made = read_model({"views": views, "topics": {"t": {"base_view": "v"}}})
    assert next(one for one in list_fields(made, "t") if one.measure).better is Better.LOW


def test_the_query_of_a_small_model_puts_the_worst_delay_first(flights: Content) -> None:
    question = "Which airline has the worst average departure delay?"
    measures, dimensions = select_constrained_fields(question, flights, "flights")
    chosen = {"measure": "flights.average_dep_delay", "by": dimensions[0].name}

    query = read_constrained(chosen, question, measures, dimensions, "flights")

    assert query.sorts[0].sort_descending
    assert note_order(query, question, measures) == []


def test_an_order_that_is_not_decided_cuts_off_neither_end_and_is_told(flights: Content) -> None:
    question = "Which three airlines have the worst number of flights?"
    measures, dimensions = select_constrained_fields(question, flights, "flights")
    count = next(one for one in list_fields(flights, "flights") if one.name == "flights.count")
    chosen = {"measure": count.name, "by": dimensions[0].name}

    query = read_constrained(chosen, question, [count, *measures], dimensions, "flights")

    assert query.limit > 3
    (note,) = note_order(query, question, [count, *measures])
    assert "“worst”" in note
    assert "“Number of flights”" in note
    assert "from high to low" in note
