"""Fusion by the rules table, rule by rule and by properties."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.enrichment.domain.fusion import arbitrate, fuse, normalise, trim_texts
from towpath.enrichment.domain.schema import read_content

CONTENT = read_content(
    {
        "root": {
            "name": "Firm",
            "properties": {
                "name": {"type": "string", "identifying": True},
                "staff": {"type": "integer", "nullable": True},
                "turnover": {"type": "number", "nullable": True},
                "listed": {"type": "boolean", "nullable": True},
                "slogan": {"type": "string", "multilingual": True, "nullable": True},
                "tags": {"type": "array", "items": {"type": "string"}},
                "sites": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "city": {"type": "string", "identifying": True},
                            "lamps": {"type": "integer", "nullable": True},
                        },
                    },
                },
                "address": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "zip": {"type": "string", "nullable": True}},
                },
            },
        }
    }
)


def merged(name: str, *values: Any, prices: dict[str, float] | None = None) -> Any:
    results = {f"p::{letter}": {name: value} for letter, value in zip("abcdefgh", values, strict=False)}
    return fuse(CONTENT, results, prices).merged.get(name)


@pytest.mark.parametrize(
    ("field", "values", "wanted"),
    [
        ("name", ["Orion", " orion ", "Vega"], "Orion"),
        ("name", ["Orion", "Orion Lighting"], "Orion Lighting"),
        ("name", ["Orion", None], "Orion"),
        ("staff", [120, 150], 135),
        ("staff", [120, 151], 136),
        ("staff", [1, 100, 3], 3),
        ("turnover", [1.5, 2.0], 1.75),
        ("turnover", [1.0000001, 1.0000002], 1.0000001),
        ("listed", [True, False, False], False),
        ("listed", [True, False], True),
        ("slogan", [{"en": "Light", "pt": "Luz"}, {"en": "Light", "pt": "A luz"}], {"en": "Light", "pt": "A luz"}),
        ("tags", [["a", "b"], ["B ", "c"]], ["a", "b", "c"]),
        ("tags", [["a", "b"], ["b", "a"]], ["a", "b"]),
        (
            "address",
            [{"city": "Porto", "zip": None}, {"city": "Porto", "zip": "4000"}],
            {"city": "Porto", "zip": "4000"},
        ),
        (
            "sites",
            [[{"city": "Porto", "lamps": 4}], [{"city": "porto", "lamps": 6}, {"city": "Faro", "lamps": 1}]],
            [{"city": "Porto", "lamps": 5}, {"city": "Faro", "lamps": 1}],
        ),
    ],
)
def test_each_rule(field: str, values: list[Any], wanted: Any) -> None:
    assert merged(field, *values) == wanted


def test_a_tie_that_stays_goes_to_the_dearer_model_then_by_name() -> None:
    assert merged("name", "Orion", "Vegas", prices={"p::b": 2.0, "p::a": 1.0}) == "Vegas"
    assert merged("name", "Orion", "Vegas") == "Orion"


def test_the_report_counts_leaves_and_names_the_conflicts() -> None:
    fused = fuse(
        CONTENT,
        {
            "openai::gpt-4o": {"name": "Orion Lighting", "staff": 120, "address": {"city": "Porto", "zip": None}},
            "google::gemini": {"name": "orion lighting", "staff": 150, "address": {"city": "Faro", "zip": None}},
        },
    )
    assert (fused.report.total_fields, fused.report.agreed_fields, fused.report.conflicted_fields) == (4, 2, 2)
    assert [conflict.path for conflict in fused.report.conflicts] == ["staff", "address.city"]
    assert fused.report.conflicts[0].values_by_model == {"openai::gpt-4o": 120, "google::gemini": 150}
    assert fused.report.conflicts[0].needs_arbitration
    rules = {source.path: source.rule for source in fused.provenance}
    mean = "mean of the middle two"
    assert rules == {
        "name": "agreed",
        "staff": mean,
        "address.city": "longest",
        "address.zip": "unknown",
    }


def test_an_arbiter_decides_what_it_decides_and_nothing_else() -> None:
    fused = fuse(
        CONTENT, {"p::a": {"staff": 1, "address": {"city": "X"}}, "p::b": {"staff": 3, "address": {"city": "Yy"}}}
    )
    done = arbitrate(fused, {"address.city": "p::a", "nowhere": "p::a", "staff": "p::unknown"}, model="p::c")
    assert done.merged == {"staff": 2, "address": {"city": "X"}}
    assert (done.method, done.arbitration_model) == ("llm", "p::c")
    assert {s.path: (s.models, s.rule) for s in done.provenance}["address.city"] == (["p::a"], "arbitrated")
    assert fused.merged["address"]["city"] == "Yy"


def test_what_is_not_in_the_schema_is_left_out_and_told() -> None:
    fused = fuse(CONTENT, {"p::a": {"name": "x", "wild": 1}, "p::b": {"name": "x"}})
    assert fused.merged == {"name": "x"}
    assert fused.warnings == ["wild is not in the schema and was left out"]


words = st.text(alphabet="abAB ", min_size=1, max_size=6)
results = st.fixed_dictionaries(
    {},
    optional={
        "name": words | st.none(),
        "staff": st.integers(-1000, 1000) | st.none(),
        "turnover": st.floats(-1e6, 1e6) | st.none(),
        "listed": st.booleans() | st.none(),
        "slogan": st.dictionaries(st.sampled_from(["en", "pt"]), words, min_size=1) | st.none(),
        "tags": st.lists(words, max_size=4) | st.none(),
        "sites": st.lists(st.fixed_dictionaries({"city": words, "lamps": st.integers(0, 9) | st.none()}), max_size=3)
        | st.none(),
        "address": st.fixed_dictionaries({"city": words}),
    },
)
several = st.dictionaries(st.sampled_from([f"p::{letter}" for letter in "abcde"]), results, min_size=2)
prices = st.dictionaries(st.sampled_from([f"p::{letter}" for letter in "abcde"]), st.sampled_from([0.0, 1.0, 2.0]))


@given(several, prices, st.randoms())
def test_the_order_of_the_results_changes_nothing(found: dict[str, Any], cost: dict[str, float], random: Any) -> None:
    names = list(found)
    random.shuffle(names)
    assert fuse(CONTENT, {name: found[name] for name in names}, cost) == fuse(CONTENT, found, cost)


@given(results, st.integers(2, 5))
def test_equal_results_agree_and_come_out_as_they_went_in_but_for_blanks(result: dict[str, Any], count: int) -> None:
    fused = fuse(CONTENT, {f"p::{letter}": result for letter in "abcde"[:count]})
    assert fused.merged == trim_texts(result)
    assert fused.report.conflicted_fields == 0


@given(several)
def test_null_loses_and_every_field_has_a_source(found: dict[str, Any]) -> None:
    fused = fuse(CONTENT, found)
    for name, value in fused.merged.items():
        given_values = [result[name] for result in found.values() if result.get(name) is not None]
        assert (value is None) == (not given_values)
    assert len(fused.provenance) == fused.report.total_fields
    assert fused.report.total_fields == fused.report.agreed_fields + fused.report.conflicted_fields


def test_agreed_texts_are_trimmed_and_what_was_given_is_not_disputed_and_not_touched() -> None:
    results = {"p::a": {"name": " Orion", "slogan": {"en": "Light "}}, "p::b": {"name": " Orion", "slogan": None}}
    assert fuse(CONTENT, results).merged == {"name": "Orion", "slogan": {"en": "Light"}}
    fused = fuse(CONTENT, results, known={("name",): " Orion"})
    assert fused.merged["name"] == " Orion"
    assert fused.provenance[0].model_dump() == {"path": "name", "models": [], "rule": "given"}


@given(several)
def test_scalars_come_from_a_model_and_numbers_are_the_median(found: dict[str, Any]) -> None:
    fused = fuse(CONTENT, found)
    names = [result["name"] for result in found.values() if result.get("name") is not None]
    if names:
        assert fused.merged["name"] in [one.strip() for one in names]
        top = max(sum(normalise(one) == normalise(other) for other in names) for one in names)
        assert sum(normalise(fused.merged["name"]) == normalise(other) for other in names) == top
    numbers = [result["turnover"] for result in found.values() if result.get("turnover") is not None]
    if numbers:
        assert fused.merged["turnover"] == pytest.approx(statistics.median(numbers), abs=1e-6)


@given(several)
def test_a_union_holds_everything_once(found: dict[str, Any]) -> None:
    lists = [result["tags"] for result in found.values() if result.get("tags") is not None]
    if not lists:
        return
    made = fuse(CONTENT, found).merged["tags"]
    everything = {normalise(tag) for tags in lists for tag in tags}
    assert {normalise(tag) for tag in made} == everything
