"""Schemas: what is valid, what an answer must look like, what is checked before any spend; drafts and edits."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from towpath.core.errors import BadInputError
from towpath.enrichment.domain.content import check_entity, entity_label, group_by_domain, input_contract
from towpath.enrichment.domain.drafts import apply_wording, draft_schema, wording_prompt
from towpath.enrichment.domain.edits import Operation, apply_edits, edit_prompt, read_instruction
from towpath.enrichment.domain.estimate import estimate
from towpath.enrichment.domain.forms import answer_form
from towpath.enrichment.domain.prompts import enrichment_prompt
from towpath.enrichment.domain.runs import assemble_result, calls_of, choose_strategy, record_id
from towpath.enrichment.domain.schema import read_content
from towpath.enrichment.types import ExpertiseResult, Plan, Strategy

LAMPS: dict[str, Any] = {
    "root": {
        "name": "Lighting maker",
        "description": "A firm that makes lamps",
        "properties": {
            "name": {"type": "string", "identifying": True, "preserve": True},
            "founded": {"type": "integer", "nullable": True, "expertise": "history"},
            "slogan": {"type": "string", "multilingual": True, "expertise": "brand"},
            "kind": {"$ref": "#/$enums/Kind", "nullable": True},
            "sites": {"type": "array", "items": {"$ref": "#/$defs/Site"}},
        },
    },
    "expertise_domains": {"history": {"name": "History", "description": "Origins"}, "brand": {"name": "Brand"}},
    "$defs": {"Site": {"type": "object", "properties": {"city": {"type": "string", "identifying": True}}}},
    "$enums": {"Kind": ["maker", "shop"]},
}


def plan(**changes: Any) -> Plan:
    return Plan(content=read_content(LAMPS), models=["p::a"], strategy=Strategy.SINGLE_PASS, **changes)


def test_an_answer_form_is_a_valid_closed_schema_with_references_followed() -> None:
    form = answer_form(read_content(LAMPS), languages=["en", "pt"])
    Draft202012Validator.check_schema(form)
    good = {
        "name": "Orion",
        "founded": None,
        "slogan": {"en": "Light", "pt": "Luz"},
        "kind": None,
        "sites": [{"city": "Porto"}],
    }
    Draft202012Validator(form).validate(good)
    for change in ({"kind": "bank"}, {"slogan": {"en": "Light"}}, {"founded": "1998"}, {"extra": 1}, {"name": None}):
        assert list(Draft202012Validator(form).iter_errors({**good, **change})), change


def test_a_plain_json_schema_is_wrapped_and_what_is_not_required_may_be_null() -> None:
    content = read_content(
        {
            "title": "Lamp",
            "type": "object",
            "properties": {
                "sku": {"type": "string"},
                "watts": {"type": ["number", "null"]},
                "note": {"type": "string"},
            },
            "required": ["sku", "watts"],
        }
    )
    form = answer_form(content)
    assert content["root"]["name"] == "Lamp"
    assert form["properties"] == {
        "sku": {"type": "string"},
        "watts": {"type": ["number", "null"]},
        "note": {"type": ["string", "null"]},
    }


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "must be an object"),
        ({"root": {"properties": {}}}, "root.properties"),
        ({"root": {"properties": {"a": {"type": "text"}}}}, "root.properties.a.type"),
        ({"root": {"properties": {"a": {"type": "string", "nullable": "yes"}}}}, "root.properties.a.nullable"),
        ({"root": {"properties": {"a": {"type": "string", "expertise": "x"}}}}, "root.properties.a.expertise"),
        ({"root": {"properties": {"a": {"type": "string", "pattern": "("}}}}, "root.properties.a.pattern"),
        ({"root": {"properties": {"a": {"$ref": "#/$defs/Nowhere"}}}}, "leads nowhere"),
        (
            {"root": {"properties": {"a": {"$ref": "#/$defs/A"}}}, "$defs": {"A": {"$ref": "#/$defs/A"}}},
            "without end",
        ),
        (
            {
                "root": {"properties": {"a": {"$ref": "#/$defs/A"}}},
                "$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}},
            },
            "nested deeper",
        ),
        (
            {"root": {"properties": {"a": {"type": "array", "items": {"type": "integer", "minimum": "x"}}}}},
            "schema_content",
        ),
    ],
)
def test_a_bad_schema_names_the_place(content: Any, told: str) -> None:
    with pytest.raises(BadInputError, match=told.replace(".", r"\.")):
        read_content(content)


def test_an_entity_is_checked_before_any_spend_whatever_the_case_of_its_keys() -> None:
    content = read_content(LAMPS)
    check_entity(content, {"NAME": "Orion"}, "entity_data")
    for entity in ({}, {"name": " "}, {"founded": 1998}):
        with pytest.raises(BadInputError, match="entity_data"):
            check_entity(content, entity, "entity_data")
    assert input_contract(content) == {
        "identifying_keys": ["name"],
        "preserve": ["name"],
        "array_item_keys": {"sites": ["city"]},
    }
    assert entity_label(content, {"Name": "Orion"}) == "Orion"


def test_domains_become_calls_and_what_some_gave_is_kept_when_others_failed() -> None:
    content = read_content(LAMPS)
    # What names no domain joins one of the smallest.
    assert group_by_domain(content) == {"history": ["name", "founded", "kind", "sites"], "brand": ["slogan"]}
    chosen = plan()
    chosen.strategy = Strategy.MULTI_EXPERTISE
    assert calls_of(chosen, {"name": "ORION"}) == [("history", ["founded", "kind", "sites"]), ("brand", ["slogan"])]
    parts = [
        ExpertiseResult(key="history", name="History", success=True, result={"founded": 1998}, cost_usd=0.5),
        ExpertiseResult(
            key="general", name="General", success=True, result={"name": "orion", "kind": None, "sites": []}
        ),
        ExpertiseResult(key="brand", name="Brand", success=False, error_message="down"),
    ]
    record = record_id(UUID(int=1), 0, "p::a")
    made = assemble_result(chosen, {"name": "ORION"}, "p::a", parts, record=record, milliseconds=3)
    assert made.success and made.partial_success and made.error_message == "Brand: down"
    assert made.result == {"name": "ORION", "founded": 1998, "kind": None, "sites": []}
    assert made.cost_usd == 0.5
    assert made.validation_errors == []


def test_auto_cuts_only_where_it_pays() -> None:
    assert choose_strategy(read_content(LAMPS), Strategy.AUTO)[0] is Strategy.SINGLE_PASS
    wide = {f"f{n}": {"type": "string", "expertise": "d" if n % 2 else "e"} for n in range(9)}
    content = read_content({"root": {"properties": wide}, "expertise_domains": {"d": {}, "e": {}}})
    assert choose_strategy(content, Strategy.AUTO) == (
        Strategy.EXPERT_DOMAINS, "9 values to ask for in 2 domains: one call that is told the domains",
    )  # fmt: skip
    wider = {f"f{n}": {"type": "string", "expertise": "d" if n % 2 else "e"} for n in range(25)}
    content = read_content({"root": {"properties": wider}, "expertise_domains": {"d": {}, "e": {}}})
    assert choose_strategy(content, Strategy.AUTO)[0] is Strategy.MULTI_EXPERTISE
    assert choose_strategy(content, Strategy.EXPERT_DOMAINS)[0] is Strategy.EXPERT_DOMAINS


def test_a_prompt_tells_the_facts_the_languages_and_what_to_keep() -> None:
    prompt = enrichment_prompt(
        read_content(LAMPS), {"name": "Orion"}, domain="history", keys=["founded"], languages=["pt"], sources=["a text"]
    )
    for part in ("Lighting maker", '{"name":"Orion"}', "History", "pt = Portuguese", "a text"):
        assert part in prompt.user
    assert list(prompt.form["properties"]) == ["founded"]


def test_an_estimate_counts_every_call() -> None:
    wide = plan(classification_model="p::c")
    wide.strategy, wide.models = Strategy.MULTI_EXPERTISE, ["p::a", "p::b"]
    found = estimate(wide, [{"name": "x"}] * 3, lambda model, inputs, outputs: (inputs + outputs) / 1e6)
    assert found["calls"] == 3 * (2 * 2 + 1)
    assert {row["model"]: row["calls"] for row in found["by_model"]} == {"p::a": 6, "p::b": 6, "p::c": 3}
    cost = found["cost_usd"]
    assert 0 < cost["low"] < cost["expected"] < cost["high"]


SAMPLES = [
    {"name": "Vega", "founded": 2004, "site": "https://vega.example", "sizes": [1, 2.5], "hq": {"city": "Faro"}},
    {
        "name": "Orion",
        "founded": None,
        "site": "https://orion.example",
        "sizes": [3],
        "hq": {"city": "Porto"},
        "odd": True,
    },
    {"name": "Lyra", "founded": 1998, "sizes": []},
]


def test_samples_show_their_structure() -> None:
    content = draft_schema(SAMPLES, threshold=0.5)
    properties = content["root"]["properties"]
    assert properties["name"] == {"type": "string", "identifying": True}
    assert properties["founded"] == {"type": "integer", "nullable": True}
    assert properties["site"]["format"] == "uri"
    assert properties["sizes"]["items"] == {"type": "number"}
    assert properties["hq"]["properties"]["city"]["type"] == "string"
    assert "odd" not in properties
    read_content(content)
    assert draft_schema(SAMPLES, threshold=0)["root"]["properties"]["odd"]["type"] == "boolean"


@pytest.mark.parametrize("samples", [[], [{}], [{"a": 1}, {"b": 2}], [{"a": 1}, {"a": 2}, {"c": 1}]])
def test_mixed_or_empty_samples_are_refused(samples: list[Any]) -> None:
    with pytest.raises(BadInputError, match="entity_samples"):
        draft_schema(samples, threshold=0.5)


def test_wording_comes_from_the_model_or_from_the_names() -> None:
    content = draft_schema(SAMPLES, threshold=0.5)
    prompt = wording_prompt(content, SAMPLES, language="en")
    Draft202012Validator.check_schema(prompt.form)
    silent = apply_wording(content, None)
    assert silent["root"]["properties"]["founded"]["description"] == "founded"
    worded = apply_wording(content, {"type_name": "Lamp maker", "fields": {"founded": "Year of founding"}})
    assert worded["root"]["name"] == "Lamp maker"
    assert worded["root"]["properties"]["founded"]["description"] == "Year of founding"
    read_content(worded)


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        ("add the head office city", [(Operation.ADD, "head office city")]),
        ("Add a field watts as a number and remove kind.", [(Operation.ADD, "watts"), (Operation.REMOVE, "kind")]),
        ("add twitter handle, and logo url", [(Operation.ADD, "twitter handle"), (Operation.ADD, "logo url")]),
        (
            "rename founded to founding year; make name not nullable",
            [(Operation.RENAME, "founded"), (Operation.CLEAR_FLAG, "name")],
        ),
        ("make slogan optional", [(Operation.SET_FLAG, "slogan")]),
        ("change founded to a date", [(Operation.SET_TYPE, "founded")]),
        ("add a description to the name field", None),
        ("split the address into parts", None),
        ("translate all of it", None),
    ],
)
def test_plain_instructions_are_read_by_rules(text: str, operations: list[Any] | None) -> None:
    edits = read_instruction(text)
    assert (edits and [(edit.operation, edit.field) for edit in edits]) == operations


def test_edits_change_the_schema_and_tell_what_they_could_not() -> None:
    content = read_content(LAMPS)
    edits = read_instruction("add head office city; remove kind; rename founded to founding year; remove wings")
    assert edits
    made, added, refused = apply_edits(content, edits)
    assert list(made["root"]["properties"]) == ["name", "founding_year", "slogan", "sites", "head_office_city"]
    assert added == ["head_office_city"]
    assert refused == ["there is no field wings"]
    assert "kind" in content["root"]["properties"]
    with pytest.raises(BadInputError, match="changes nothing"):
        apply_edits(content, read_instruction("remove wings") or [])
    Draft202012Validator.check_schema(edit_prompt(content, "anything").form)
