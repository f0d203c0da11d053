"""How results are judged by the values that people gave, without a database."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.core.errors import BadInputError
from towpath.enrichment.domain.accuracy import (
    JudgedRecord,
    Judgement,
    find_spec,
    judge,
    leaf_paths,
    paths_to_confirm,
    report_accuracy,
)
from towpath.enrichment.domain.schema import read_content

CONTENT = read_content(
    {
        "root": {
            "name": "Firm",
            "type": "object",
            "properties": {
                "name": {"type": "string", "identifying": True},
                "founded": {"type": "integer", "nullable": True},
                "seat": {"$ref": "#/$defs/place"},
                "brands": {"type": "array", "items": {"type": "string"}},
            },
        },
        "$defs": {
            "place": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "country": {"type": "string", "nullable": True}},
            }
        },
        "expertise_domains": {},
    }
)


@pytest.mark.parametrize(
    ("value", "right", "judgement"),
    [
        ("acme ", "Acme", Judgement.RIGHT),
        (1998, 1998.0, Judgement.RIGHT),
        (["b", "A"], ["a", "B"], Judgement.RIGHT),
        (None, None, Judgement.RIGHT),
        (1998, 1999, Judgement.WRONG),
        (1998, None, Judgement.WRONG),
        (None, 1998, Judgement.MISSING),
        (False, None, Judgement.WRONG),
    ],
)
def test_a_value_is_right_wrong_or_missing(value: Any, right: Any, judgement: Judgement) -> None:
    assert judge(value, right) is judgement


def test_fields_are_found_by_their_paths_and_others_are_refused_by_name() -> None:
    assert list(leaf_paths(CONTENT)) == ["name", "founded", "seat.city", "seat.country", "brands"]
    assert find_spec(CONTENT, "seat.city")["type"] == "string"
    for path, told in (
        ("seat", "is an object"),
        ("seat.street", "no field"),
        ("brands.0", "no field"),
        ("x", "no field"),
    ):
        with pytest.raises(BadInputError, match=told) as caught:
            find_spec(CONTENT, path)
        assert caught.value.field == f"values.{path}"


def test_what_came_with_the_entity_is_not_confirmed_as_a_models_merit() -> None:
    assert "name" not in paths_to_confirm(CONTENT, {"NAME": "Orion"})
    assert "name" in paths_to_confirm(CONTENT, {"website": "orion.example"})


def judged(
    model: str, output: dict[str, Any] | None, right: dict[str, Any], *, cost: float, version: str = "v1"
) -> Any:
    return JudgedRecord("enrichment", model, version, output, CONTENT, cost, right)


def test_models_and_versions_of_prompts_are_compared_by_field_and_by_the_price_of_a_right_field() -> None:
    right = {"founded": 1998, "seat.city": "Porto"}
    report = report_accuracy(
        [
            judged("cheap", {"founded": 1998, "seat": {"city": "Lisbon"}}, right, cost=0.005),
            judged("cheap", None, right, cost=0.0),
            judged("dear", {"founded": 1998, "seat": {"city": "porto"}}, right, cost=0.05),
            judged("dear", {"founded": None, "seat": {"city": "porto"}}, right, cost=0.05, version="v2"),
        ]
    )
    assert (report["records"], report["right"], report["wrong"], report["missing"]) == (4, 4, 1, 3)
    rows = [(row["model"], row["prompt_version"], row["right"], row["fields"]) for row in report["models"]]
    assert rows == [("dear", "v1", 2, 2), ("dear", "v2", 1, 2), ("cheap", "v1", 1, 4)]
    dear, _, cheap = report["models"]
    # Two of five fields were judged: two fifths of the price are shared out over those that are right.
    assert dear["cost_per_right_field_usd"] == pytest.approx(0.05 * 2 / 5 / 2)
    assert cheap["cost_per_right_field_usd"] == pytest.approx(0.005 * 2 / 5)
    assert cheap["by_field"] == [
        {"field": "founded", "fields": 2, "right": 1, "wrong": 0, "missing": 1, "accuracy": 0.5},
        {"field": "seat.city", "fields": 2, "right": 0, "wrong": 1, "missing": 1, "accuracy": 0.0},
    ]


def test_without_a_right_value_there_is_nothing_to_tell() -> None:
    report = report_accuracy([])
    assert (report["records"], report["accuracy"], report["cost_per_right_field_usd"]) == (0, None, None)
    assert report["models"] == []
