"""What a model's file may say; every mistake is told at its place."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.ai.domain.semantics.content import find_paths, parse_model, read_model
from towpath.core.errors import BadInputError, TooLargeError

VIEW: dict[str, Any] = {"table": "main.t", "dimensions": {"id": {"type": "number"}}, "measures": {}}


def model(**changes: Any) -> dict[str, Any]:
    return {"views": {"t": {**VIEW, **changes}}}


def test_yaml_and_json_are_the_same() -> None:
    assert read_model('{"views": {"t": {"table": "t"}}}') == read_model("views:\n  t: {table: t}\n")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("views: [", "content: no valid YAML at line"),
        ("just words", "content:"),
        ("!!python/object/apply:os.system ['true']", "content: no valid YAML"),
        ({}, "content.views: Field required"),
        ({"views": {}}, "content.views"),
        (model(colour="red"), "content.views.t.colour"),
        (model(table="t; drop table x"), "content.views.t.table"),
        (model(table='t" --'), "content.views.t.table"),
        (model(table="pg_catalog.pg_settings"), "content.views.t.table: pg_catalog.pg_settings is the database system"),
        (model(table="Information_Schema.tables"), "content.views.t.table"),
        (model(table="pg_catalog.pg_authid"), "content.views.t.table"),
        (model(dimensions={"Bad Name": {}}), "content.views.t.dimensions"),
        (model(dimensions={"a": {"type": "blob"}}), "content.views.t.dimensions.a.type"),
        (model(dimensions={"a": {"sql": "b +"}}), "content.views.t.dimensions.a.sql: no SQL expression"),
        (model(dimensions={"a": {"sql": "(select 1)"}}), "content.views.t.dimensions.a.sql: subquery is not allowed"),
        (model(dimensions={"a": {"sql": "1; drop table x"}}), "content.views.t.dimensions.a.sql"),
        (model(dimensions={"a": {"sql": "read_csv('/etc/passwd')"}}), "content.views.t.dimensions.a.sql"),
        (model(dimensions={"a": {"sql": "pg_read_file('x')"}}), "is not allowed here"),
        (model(dimensions={"a": {"sql": "pg_sleep(9)"}}), "is not allowed here"),
        (model(dimensions={"a": {"sql": "other.secret"}}), "names a table"),
        (model(dimensions={"a": {"sql": "sum(b)"}}), "sum is not allowed here"),
        (model(dimensions={"a": {"sql": "$1"}}), "is not allowed here"),
        (model(dimensions={"a": {"sql": "(" * 200 + "a" + ")" * 200}}), "content.views.t.dimensions.a.sql"),
        (model(measures={"id": {"aggregate": "count"}}), "Value error, id is a dimension and a measure"),
        (model(measures={"m": {"aggregate": "sum"}}), "content.views.t.measures.m"),
        (model(measures={"m": {"aggregate": "expression", "sql": "a + sum(b)"}}), "a is not in an aggregate"),
        (model(measures={"m": {"aggregate": "expression", "sql": "1"}}), "sums nothing up"),
        (model(measures={"m": {"aggregate": "expression", "sql": "sum(max(a))"}}), "within an aggregate"),
        (model(measures={"m": {"aggregate": "count", "where": "exists (select 1)"}}), "measures.m.where"),
        ({**model(), "topics": {"x": {"base_view": "u"}}}, "content.topics.x.base_view: no view u"),
        ({**model(), "topics": {"x": {"base_view": "t", "views": ["u"]}}}, "content.topics.x.views"),
        ({**model(), "relationships": [{"from": "t", "to": "u", "on": {"id": "id"}}]}, "relationships.0.to: no view u"),
        ({**model(), "relationships": [{"from": "t", "to": "t", "on": {"id": "id"}}]}, "cannot lead to itself"),
        ({"views": {"t": VIEW, "u": VIEW}, "relationships": [{"from": "t", "to": "u", "on": {"id": "x"}}]},
         "the view u has no dimension x"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_place(given: Any, said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read_model(given)
    assert said in caught.value.detail


def test_one_to_one_leads_both_ways_and_many_to_one_only_one() -> None:
    views = dict.fromkeys(("a", "b", "c"), VIEW)
    content = read_model(
        {
            "views": views,
            "relationships": [
                {"from": "a", "to": "b", "on": {"id": "id"}},
                {"from": "c", "to": "b", "on": {"id": "id"}, "type": "one_to_one"},
            ],
        }
    )

    assert list(find_paths(content, "a")) == ["a", "b", "c"]
    assert list(find_paths(content, "b")) == ["b", "c"]
    assert list(find_paths(content, "c")) == ["c", "b"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("views: [" + "a," * 300_000 + "a]", "content: 600,010 bytes; a model's text has at most 262,144"),
        ("views: [" + "a," * 100_000 + "a]", "content: more than 50,000 values"),
        ({"views": {"t": {"table": "t", "description": "ü" * 140_000}}}, "at most 262,144"),
    ],
)
def test_a_text_beyond_the_bounds_is_refused(given: Any, said: str) -> None:
    with pytest.raises(TooLargeError, match=said):
        parse_model(given)


def test_an_alias_is_refused_before_anything_grows() -> None:
    with pytest.raises(BadInputError, match=r"aliases are not taken"):
        read_model("a: &a [x, x]\nb: [*a, *a]\n")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[" * 400 + "]" * 400, "line 1, column 41: nested too deeply"),
        ("{a: " * 3000 + "1" + "}" * 3000, "nested too deeply"),
        ("\n".join(f"{' ' * level}a:" for level in range(600)), "nested too deeply"),
        ("[" * 200_000, "nested too deeply"),
        ("views: {t: {label: !!binary aGk=}}", "content.views.t.label: a bytes is not taken"),
        ("views: .nan", "content.views: nan is no number"),
        ("views: [-.inf]", "content.views.0: -inf is no number"),
        ("views: {1: x}", "content.views: the name '1' is no text"),
        ("views: {null: x}", "content.views: the name 'None' is no text"),
        ("views: !!set {a, b}", "content.views: a set is not taken"),
        ("views: !!omap [a: 1]", "content.views.0: a tuple is not taken"),
        ("views: !!timestamp 2020-01-01", "content.views: a date is not taken"),
        ("views: !!timestamp never", "line 1, column 8: the text cannot be read as timestamp"),
        ("views: !!bool maybe", "the text cannot be read as bool"),
        ("views: !!int ''", "the text cannot be read as int"),
        ("views: " + "9" * 5000, "the text cannot be read as int"),
        ("views: " + "9" * 400, "content.views: a number of more than 64 bits"),
        ('views: "a\\0b"', "content.views contains a null byte"),
        ('views: "\\ud800"', "content: no valid YAML at line 1, column 11: found invalid Unicode character"),
        ('"a\\0b": 1', "a name in content contains a null byte"),
        ("views: a\0b", "no valid YAML"),
        ("? [a]\n: 1", "no valid YAML"),
        ({"views": {"t": {"label": 2**64}}}, "content.views.t.label: a number of more than 64 bits"),
    ],
)
def test_what_json_has_no_form_for_is_refused_with_its_place(given: str | dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError) as refused:
        parse_model(given)

    assert said in refused.value.detail
    assert len(refused.value.detail) < 600


def test_numbers_are_those_of_yaml_1_2() -> None:
    found = parse_model("a: 1:30\nb: 010\nc: 12\nd: -1.5e3\ne: 1_000\nf: 0x1F\ng: 1.\n")

    assert found == {"a": "1:30", "b": "010", "c": 12, "d": -1500.0, "e": "1_000", "f": 31, "g": 1.0}


@pytest.mark.parametrize("text", ["a: !!int " + ":".join(["1"] * 100_000), "a: !!float " + ":".join(["1"] * 100_000)])
def test_a_number_on_the_base_of_sixty_is_refused_before_it_is_worked_out(text: str) -> None:
    with pytest.raises(BadInputError, match="the text cannot be read as"):
        parse_model(text)
