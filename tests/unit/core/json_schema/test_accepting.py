"""Which schemas from outside are taken."""

from __future__ import annotations

import re
from typing import Any

import pytest

from towpath.core.errors import BadInputError
from towpath.core.json_schema import check_references, check_schema, checking

ELSEWHERE = "http://127.0.0.1:9/elsewhere.json"


def _within(node: Any) -> list[tuple[dict[str, Any], str]]:
    """A schema node at each place where one may stand, with its path."""
    leaf = {"type": "string"}
    return [
        ({"properties": {"a": node}}, "properties.a"),
        ({"properties": {"a": {"items": node}}}, "properties.a.items"),
        ({"properties": {"a": {"anyOf": [leaf, node]}}}, "properties.a.anyOf.1"),
        ({"properties": {"a": {"prefixItems": [node]}}}, "properties.a.prefixItems.0"),
        ({"patternProperties": {"^x": node}}, "patternProperties.^x"),
        ({"additionalProperties": node}, "additionalProperties"),
        ({"$defs": {"a": node}}, "$defs.a"),
        ({"definitions": {"a": node}}, "definitions.a"),
        ({"if": node}, "if"),
        ({"not": node}, "not"),
        ({"dependentSchemas": {"a": node}}, "dependentSchemas.a"),
        ({"propertyNames": node}, "propertyNames"),
        ({"x-own": {"b": node}, "properties": {"a": {"$ref": "#/x-own/b"}}}, "x-own.b"),
    ]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$ref", ELSEWHERE),
        ("$ref", "other.json#/a"),
        ("$ref", "file:///etc/passwd"),
        ("$dynamicRef", ELSEWHERE),
        ("$dynamicRef", "relative.json"),
        ("$recursiveRef", ELSEWHERE),
        ("$id", "http://127.0.0.1:9/base/"),
        ("$schema", ELSEWHERE),
        ("$vocabulary", {ELSEWHERE: True}),
        ("$anchor", ELSEWHERE),
        ("$dynamicAnchor", "no name"),
        ("$ref", 5),
        ("$ref", "#/nowhere"),
        ("$ref", "#nowhere"),
    ],
)
def test_what_leads_out_of_a_schema_is_refused_with_its_place(word: str, value: Any) -> None:
    for schema, path in _within({word: value}):
        with pytest.raises(BadInputError, match=re.escape(f"schema.{path}.{word}:")) as refused:
            check_references(schema, field="schema")
        assert refused.value.field == f"schema.{path}.{word}"


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "["])
def test_a_pattern_that_cannot_be_run_is_refused_with_its_place(pattern: str) -> None:
    for schema, path in _within({"pattern": pattern}):
        with pytest.raises(BadInputError, match=re.escape(f"schema.{path}.pattern: {pattern!r} cannot be run")):
            check_references(schema, field="schema")
    with pytest.raises(BadInputError, match=r"schema\.patternProperties: "):
        check_references({"patternProperties": {pattern: {}}}, field="schema")


def test_words_of_json_schema_are_data_where_data_stand() -> None:
    data = {"$ref": ELSEWHERE, "$dynamicRef": ELSEWHERE, "$id": ELSEWHERE, "$schema": ELSEWHERE, "pattern": "("}
    check_schema(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                **{word: {"type": "string"} for word in (*data, "$anchor", "$vocabulary")},
                "a": {"enum": [data], "default": data, "examples": [data]},
                "b": {"const": data},
            },
        },
        field="schema",
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"anyOf": [{}, {"not": {"$ref": "#/$defs/a"}}]}}},
        {"properties": {"a": {"$anchor": "here", "if": {"$ref": "#here"}}}},
        {"properties": {"a": {"$dynamicAnchor": "here", "else": {"$dynamicRef": "#here"}}}},
        {"dependentSchemas": {"a": {"$ref": "#"}}},
    ],
)
def test_a_schema_that_refers_to_itself_without_end_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match="refers to itself without end"):
        check_references(schema, field="schema")


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"child": {"$ref": "#"}}},
        {"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}, "b": {"$ref": "#/$defs/a"}}, "items": {"$ref": "#/$defs/b"}},
        {"properties": {"a b/c~d": {"type": "string"}, "x": {"$ref": "#/properties/a%20b~1c~0d"}}},
        {"$defs": {"a": {"$anchor": "here"}}, "properties": {"x": {"$ref": "#here"}}},
        {"anyOf": [{"type": "object"}, True], "properties": {"x": {"$ref": "#/anyOf/1"}}},
    ],
)  # fmt: skip
def test_local_references_are_taken(schema: dict[str, Any]) -> None:
    check_schema(schema, field="schema")


def test_many_large_patterns_are_refused_before_they_are_all_compiled() -> None:
    many = {f"p{number}": {"pattern": rf"^\w{{1,60}}{number}"} for number in range(1000)}
    with pytest.raises(BadInputError, match="too large together"):
        check_references({"properties": many}, field="schema")


def test_a_schema_breaks_the_rules_of_its_draft_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        BadInputError, match=r"schema\.properties\.a\.minimum: no JSON Schema: 'x' is not of type 'number'"
    ):
        check_schema({"properties": {"a": {"minimum": "x"}}}, field="schema")
    # A tenth, so that the test is ten times as quick.
    monkeypatch.setattr(checking, "MAX_WORK", checking.MAX_WORK // 10)
    with pytest.raises(BadInputError, match="nested too deeply, to be checked"):
        check_schema({"allOf": [{} for _ in range(2_000)]}, field="schema")


def test_nesting_is_bounded() -> None:
    schema: dict[str, Any] = {}
    for _ in range(300):
        schema = {"not": schema}
    with pytest.raises(BadInputError, match="nested too deeply"):
        check_references(schema, field="schema")
