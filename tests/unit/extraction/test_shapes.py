"""A user's schema: checked, relaxed for a model, and held against what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.core.errors import BadInputError
from towpath.documents.types import PageContent, ReadMethod, Word
from towpath.extraction.domain.asking import split_pages
from towpath.extraction.domain.grounding import find_source
from towpath.extraction.domain.shapes import (
    build_answer_schema,
    check_schema,
    drop_nulls,
    find_changes,
    find_missing,
    find_problems,
    merge_answers,
)

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["number"],
    "properties": {
        "number": {"type": "string", "description": "As printed"},
        "paid": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "state": {"enum": ["open", "closed"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "$defs": {"line": {"type": "object", "properties": {"item": {"type": "string"}, "count": {"type": "integer"}}}},
}
TREE: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"$ref": "#"} for name in "abcdefghij"},
}


def page(number: int, text: str, *, confidence: float | None = None) -> PageContent:
    words = [
        Word(word, (0.1 * place, 0.1, 0.1 * place + 0.08, 0.12), confidence or 1.0)
        for place, word in enumerate(text.split())
    ]
    return PageContent(page=number, content=text, words=words, confidence=confidence, method=ReadMethod.TEXT)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "array", "items": {}}, "an object with properties"),
        ({"type": "object", "properties": {}}, "an object with properties"),
        ({"type": "object", "properties": {"a": {"type": 7}}}, "no JSON Schema"),
        ({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "leads out"),
        (TREE, "refers to itself"),
    ],
)
def test_a_schema_that_nothing_can_be_extracted_by_is_refused(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInputError, match=told):
        check_schema(schema)


def test_a_model_need_not_make_anything_up() -> None:
    form = build_answer_schema(ORDER)

    assert "required" not in form
    assert form["properties"]["number"] == {"type": ["string", "null"], "description": "As printed"}
    assert form["properties"]["state"]["enum"] == ["open", "closed", None]
    line = form["properties"]["lines"]["items"]
    assert line["properties"]["count"]["type"] == ["integer", "null"]
    assert list(build_answer_schema(ORDER, ["paid"])["properties"]) == ["paid"]


def test_what_was_left_empty_goes_and_what_may_be_null_stays() -> None:
    told = {"number": "7", "paid": None, "note": None, "lines": [{"item": "rope", "count": None}, None]}

    assert drop_nulls(told, ORDER, ORDER) == {"number": "7", "note": None, "lines": [{"item": "rope"}]}


def test_problems_name_their_place() -> None:
    found = dict(find_problems({"number": 7, "lines": [{"count": "x"}]}, ORDER))

    assert set(found) == {"number", "lines[0].count"}


def test_changes_are_told_by_their_places() -> None:
    before = {"number": "7", "lines": [{"item": "rope", "count": 1}, {"item": "oar", "count": 2}], "paid": True}
    after = {"number": "7", "lines": [{"item": "rope", "count": 3}, {"item": "oar", "count": 2}], "note": "late"}

    found = [(one.path, one.from_, one.to) for one in find_changes(before, after)]

    assert found == [("lines[0].count", 1, 3), ("paid", True, None), ("note", None, "late")]
    assert find_changes({"a": 1}, {"a": True})[0].path == "a"
    assert find_changes({"a": [1]}, {"a": [1, 2]})[0].path == "a"


def test_parts_answers_are_put_together() -> None:
    first = {"number": "7", "lines": [1], "more": {"a": None, "b": 2}}
    second = {"number": "8", "lines": [2], "more": {"a": 1}, "paid": True}

    assert merge_answers(first, second) == {"number": "7", "lines": [1, 2], "more": {"a": 1, "b": 2}, "paid": True}


def test_a_value_is_found_where_the_document_says_it() -> None:
    pages = [page(1, "Delivery note"), page(2, "Customer: Orion Lamps Total 1.234,50", confidence=0.9)]

    found = find_source("orion lamps", pages)

    assert (found.page, len(found.boxes)) == (2, 2)
    assert found.confidence == pytest.approx(0.95 * 0.9)
    assert find_source(1234.5, pages).page == 2
    assert find_source("Vega", pages).confidence == 0.5
    assert find_source(["Orion", "Vega"], pages).confidence == 0.5
    assert find_source("", pages).page is None
    assert find_source(True, pages).page is None


def test_pages_are_cut_into_parts_that_a_model_takes() -> None:
    pages = [page(number, "x" * 10_000) for number in range(1, 6)]

    parts = [[one.page for one in part] for part in split_pages(pages)]

    assert parts == [[1, 2], [3, 4], [5]]
    assert [[one.page for one in part] for part in split_pages([page(1, "x" * 90_000), page(2, "y")])] == [[1], [2]]


def test_what_is_required_and_missing_is_found_at_every_depth() -> None:
    schema = {
        "type": "object",
        "required": ["number", "lines"],
        "properties": {
            "number": {"type": ["string", "null"]},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        },
        "$defs": {"line": {"type": "object", "required": ["price"], "properties": {"price": {"type": "number"}}}},
    }

    assert find_missing({"number": None, "lines": [{"price": 1}, {}]}, schema, schema) == ["lines[1].price"]
    assert find_missing({}, schema, schema) == ["number", "lines"]
    assert find_missing({"anything": 1}, {"type": "object"}, {}) == []
