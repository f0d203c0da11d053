"""Data checked by schemas from outside: the same as the library says, in bounded work, and nothing is fetched."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from towpath.core.json_schema import UncheckableError, checking, errors_of

TREE = {
    "$defs": {"t": {"$dynamicAnchor": "n", "properties": {"c": {"$dynamicRef": "#n"}}, "required": ["v"]}},
    "$ref": "#/$defs/t",
}


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (
            {"properties": {"a": {"type": "integer"}}, "required": ["a", "c"], "additionalProperties": False},
            [{"a": 1}, {"a": "x", "z": 1}, 5],
        ),
        ({"enum": [1, "x", None, [True]]}, [1.0, True, None, [1], "y"]),
        (
            {"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": {"type": "number"}},
            [{"x1": 1, "y": "s"}],
        ),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, [{"x1": 1, "y": "s"}, {"x": 1}]),
        (
            {"uniqueItems": True},
            [[1, 1.0], [1, True], [{"a": 1, "b": 2}, {"b": 2, "a": 1}], [[1], [True]], ["1", 1], [0, False], [[], {}]],
        ),
        ({"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}, [{"a": 1}, {"a": 1, "b": 2}]),
        (
            {
                "$ref": "#/$defs/x",
                "unevaluatedProperties": False,
                "$defs": {"x": {"properties": {"q": {}}, "patternProperties": {"^w": {}}}},
            },
            [{"q": 1, "w2": 1}, {"z": 1}],
        ),
        (
            {"if": {"required": ["a"]}, "then": {"properties": {"b": {}}}, "unevaluatedProperties": {"type": "null"}},
            [{"a": None, "b": 1}, {"a": 1, "b": 1}, {"b": 1}],
        ),
        ({"dependentSchemas": {"a": {"properties": {"b": {}}}}, "unevaluatedProperties": False}, [{"a": 1, "b": 1}]),
        ({"prefixItems": [{"type": "string"}], "unevaluatedItems": False}, [["a"], ["a", 1], [1]]),
        ({"contains": {"type": "string"}, "unevaluatedItems": {"type": "integer"}}, [["a", 1], [1.5, "a"], []]),
        ({"anyOf": [{"items": {}}, {"prefixItems": [{}]}], "unevaluatedItems": False}, [[1, 2], []]),
        ({"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}}, [{"a": 1}, {"a": 2}]),
        ({"anyOf": [{"type": "string"}, False, {"minimum": 3}]}, ["s", 2, 5]),
        ({"oneOf": [{"type": "number"}, {"minimum": 3}]}, ["s", 2, 5]),
        ({"not": {"type": "string"}, "multipleOf": 0.5}, ["s", 1, 1.25]),
        (TREE, [{"v": 1, "c": {}}, {"v": 1, "c": {"v": 2}}]),
        ({"dependentRequired": {"a": ["b"]}, "propertyNames": {"maxLength": 1}}, [{"a": 1}, {"a": 1, "bb": 2}]),
        ({"items": {"pattern": "^b"}, "minItems": 1}, [[], ["b"], ["ab", 3]]),
    ],
)  # fmt: skip
def test_the_verdict_is_the_librarys(schema: dict[str, Any], values: list[Any]) -> None:
    for value in values:
        expected = sorted(
            (error.json_path, error.validator) for error in Draft202012Validator(schema).iter_errors(value)
        )
        assert sorted((error.json_path, error.validator) for error in errors_of(value, schema)) == expected, value


def test_a_step_below_one_takes_an_integer_beyond_a_float() -> None:
    assert errors_of(10**400, {"multipleOf": 0.5}) == []
    assert len(errors_of(10**400 + 1, {"multipleOf": 2.0})) == 1


def test_a_stored_schema_of_another_draft_is_bounded_as_well() -> None:
    """The library would go on with that draft's own class, and Python's patterns."""
    within = {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"}
    assert len(errors_of({"a": "a" * 50 + "!"}, {"properties": {"a": within}})) == 1


def test_a_stored_pattern_that_cannot_be_run_is_told() -> None:
    with pytest.raises(UncheckableError, match="look-ahead"):
        errors_of("a", {"pattern": "(?=a)"})


def _fan(word: str, last: Any) -> dict[str, Any]:
    """Thirty definitions that each refer to the next twice: a billion ways."""
    steps = {f"d{step}": {word: [{"$ref": f"#/$defs/d{step + 1}"}] * 2} for step in range(30)}
    return {"$defs": {**steps, "d30": last}, "$ref": "#/$defs/d0"}


BIG = {"k": ["x" * 100] * 10_000}


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (_fan("anyOf", {"type": "string"}), 5),
        (_fan("allOf", {}), 5),
        (_fan("oneOf", False), 5),
        ({"anyOf": [False] * 10_000}, BIG),
        ({"oneOf": [{"$ref": "#/$defs/no"}] * 10_000, "$defs": {"no": False}}, BIG),
        ({"anyOf": [{"type": "string"}] * 10_000}, BIG),
        ({"items": {f"x{number}": 1 for number in range(5000)}}, [1] * 100_000),
        ({"items": {"enum": list(range(5000))}}, [-1] * 100_000),
        ({"items": {"pattern": "(?:.?a?){900}[zy]"}}, ["ab" * 500] * 10_000),
        ({"patternProperties": {f"^{n}": {} for n in range(2000)}}, {f"k{n}": 1 for n in range(20_000)}),
        ({"items": {"uniqueItems": True, "contains": False}}, [[1] * 1000] * 10_000),
    ],
    ids=str.split("anyOf allOf oneOf false reference messages words enum pattern names items"),
)  # fmt: skip
def test_a_check_that_would_take_too_much_work_ends(
    schema: dict[str, Any], data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tenth, so that the test is ten times as quick.
    monkeypatch.setattr(checking, "MAX_WORK", checking.MAX_WORK // 10)
    with pytest.raises(UncheckableError, match="too much work"):
        errors_of(data, schema, most=1_000_000)


def test_unique_items_take_a_look_at_each_once() -> None:
    """The library compares each with each; and numbers that share a hash would do the same to a set."""
    for items in ([{"a": number} for number in range(50_000)], [number * ((1 << 61) - 1) for number in range(50_000)]):
        assert errors_of(items, {"uniqueItems": True}) == []
        assert len(errors_of([*items, items[0]], {"uniqueItems": True})) == 1


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"unevaluatedProperties": False, "$ref": "#"},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_stored_schema_that_never_ends_is_told(schema: dict[str, Any]) -> None:
    with pytest.raises(UncheckableError, match="refers to itself without end"):
        errors_of({"a": 1}, schema)


def test_data_nested_beyond_pythons_stack_are_told() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"c": deep}
    with pytest.raises(UncheckableError, match="nested too deeply"):
        errors_of(deep, {"properties": {"c": {"$ref": "#"}}})


def test_data_of_an_ordinary_size_are_checked() -> None:
    names = [f"field {number}" for number in range(20)]
    row = {"type": "object", "properties": {name: {"type": "string", "pattern": r"^[\w ]{1,64}$"} for name in names}}
    schema = {"properties": {"rows": {"type": "array", "items": row | {"required": names}}}}
    rows: list[dict[str, Any]] = [dict.fromkeys(names, f"Größe {number}") for number in range(300)]
    assert errors_of({"rows": rows}, schema) == []
    rows[7]["field 3"] = "!"
    assert [error.json_path for error in errors_of({"rows": rows}, schema)] == ["$.rows[7]['field 3']"]
