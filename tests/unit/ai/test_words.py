"""How counts and cuts are told, and that a prompt never leaves anything out in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from towpath.ai.domain.charts import build_chart_spec, explain_undrawable, read_rows
from towpath.ai.domain.prompts import build_action_prompt, build_constrained_prompt
from towpath.ai.domain.semantics import content
from towpath.ai.domain.semantics.compile import Column, list_fields
from towpath.ai.domain.semantics.content import read_model
from towpath.ai.domain.words import describe_cut, describe_rows, note_missing_rows
from towpath.ai.semantic_types import Content, DataType, Query
from towpath.ai.types import ActionType, AiState, ChartType, ResultColumn, StoredAction, Turn
from towpath.core.texts import format_count, shorten

EXAMPLES = Path(content.__file__).parent / "examples"
COLUMNS = [
    ResultColumn(name="planes.tailnum", label="Tail number", type=DataType.STRING, measure=False),
    ResultColumn(name="flights.count", label="Number of flights", type=DataType.NUMBER, measure=True),
]


@pytest.fixture(scope="module")
def flights() -> Content:
    return read_model((EXAMPLES / "flights.yaml").read_text())


def query(rows: int, kept: int | None = None, **more: Any) -> StoredAction:
    lines = "".join(f"N{number},{number}\n" for number in range(rows if kept is None else kept))
    values = {"rows": rows, "brought": rows, "csv": f"Tail number,Number of flights\n{lines}", **more}
    return StoredAction(
        number=1, type=ActionType.GENERATE_QUERY, message="", at="2026-01-01T00:00:00Z", columns=COLUMNS,
        query=Query(table="planes", fields=[one.name for one in COLUMNS]), **values,
    )  # fmt: skip


def test_one_thing_is_one_thing() -> None:
    assert [format_count(number, "row") for number in (0, 1, 2, 3323)] == ["0 rows", "1 row", "2 rows", "3,323 rows"]


def test_a_text_is_cut_between_words_and_shows_it() -> None:
    assert shorten("one two three", 13) == "one two three"
    assert shorten("one two three", 12) == "one two …"
    assert shorten("x" * 20, 10) == "x" * 8 + " …"
    for most in range(3, 40):
        assert len(shorten("what is not one of the fields of a topic", most)) <= most


def test_what_a_limit_has_cut_off_is_told() -> None:
    assert describe_rows(query(16)) == "16 rows"
    cut = query(3323, 500, brought=500)
    assert describe_rows(cut) == "the first 500 of 3,323 rows"
    assert note_missing_rows(cut, 500) == ["The query's limit is 500: these are the first 500 of 3,323 rows."]
    assert describe_rows(query(500, exact=False)) == "the first 500 of more than 500 rows"
    assert note_missing_rows(query(1200, 1000), 1000) == ["The CSV is cut: it holds the first 1,000 of 1,200 rows."]
    assert note_missing_rows(query(16), 16) == []
    assert describe_cut(query(16), 16) is None


def prompted(flights: Content, **more: Any) -> str:
    fields = list_fields(flights, "planes")
    given = {"actions": (), "fields": fields, **more}
    return build_action_prompt("How many planes?", flights, "planes", form={}, **given).user


def test_a_prompt_tells_what_was_cut_of_its_rows(flights: Content) -> None:
    assert "It brought the first 500 of 3,323 rows (only the first 50 of them are shown)" in prompted(
        flights, actions=[query(3323, 500, brought=500, notes=["The query's limit is 500."])]
    )
    assert "It brought 16 rows:\n" in prompted(flights, actions=[query(16)])


def test_a_row_that_has_no_room_in_a_prompt_is_left_out_whole(flights: Content) -> None:
    wide = query(3).model_copy(update={"csv": "Tail number,Number of flights\n" + f"{'x' * 4000},1\n" * 3})

    told = prompted(flights, actions=[wide])

    assert "It brought 3 rows (only the first 1 of them are shown)" in told
    assert told.count("x" * 4000) == 1


def test_a_prompt_tells_what_was_cut_of_files_fields_and_earlier_questions(flights: Content) -> None:
    turns = [
        Turn(job_id=uuid4(), prompt="why " * 1000, state=AiState.COMPLETE, topic=None, actions=[], answer="so " * 1000,
             created_at="2026-01-01T00:00:00Z")
        for _ in range(6)
    ]  # fmt: skip
    fields = list_fields(flights, "planes")

    told = prompted(flights, attached=["a" * 20_001, "short"], earlier=turns, fields=fields[:5])

    assert "these are the first 20,000 of 20,001 characters" in told
    assert told.count("goes on") == 1
    assert "Questions before these are left out." in told
    assert told.count("why …\n") == told.count("so …\n") == 5
    assert f"Fields (the 5 nearest to the question, of {len(fields)}):" in told
    assert "left out" not in prompted(flights, earlier=turns[:5])


def test_a_small_model_sees_where_its_question_was_cut() -> None:
    column = Column("a.b", "B", DataType.NUMBER, measure=True)

    asked = build_constrained_prompt("word " * 1000, [column], [column], {}, []).user

    assert asked.endswith("word …")


def test_a_wish_that_the_rows_do_not_allow_is_told_with_its_reason() -> None:
    assert explain_undrawable(query(12), ChartType.PIE) is None
    assert explain_undrawable(query(16), ChartType.PIE) == (
        "These rows cannot be drawn as a pie: a pie needs one to 12 rows. They are drawn as bars instead."
    )
    assert explain_undrawable(query(16), ChartType.BAR) is None
    assert explain_undrawable(query(16), ChartType.TABLE) is None
    assert explain_undrawable(query(16), None) is None


def test_a_chart_of_a_part_of_the_rows_says_so() -> None:
    cut = query(3323, 20, brought=20)
    rows = read_rows(cut.columns, cut.csv or "")

    spec = build_chart_spec(
        cut.columns, rows, requested=None, title="Planes", width=800, height=480, remark=describe_cut(cut, len(rows))
    )

    assert spec["title"]["subtitle"] == "The first 20 of 3,323 rows"
