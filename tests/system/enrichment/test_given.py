"""What is given with an entity is not bought: it is not asked, no model overwrites it, and nobody disputes it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.builders import LAMPS, Organization
from tests.support.llm_server import LlmServer

BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]
BATCH = "/api/enrichment/batch/start"
MAKER: dict[str, Any] = {
    "root": {
        "name": "Lamp",
        "properties": {
            "sku": {"type": "string", "preserve": True, "expertise": "trade"},
            "maker": {
                "type": "object",
                "nullable": True,
                "properties": {
                    "company": {"type": "string", "identifying": True},
                    "city": {"type": "string", "nullable": True},
                },
            },
            "watts": {"type": "integer", "nullable": True, "examples": [5, 7, 11], "expertise": "physics"},
            "volts": {"type": "integer", "nullable": True, "expertise": "physics"},
            "price": {"type": "number", "nullable": True, "expertise": "trade"},
        },
    },
    "expertise_domains": {"physics": {"name": "Physics"}, "trade": {"name": "Trade"}},
}
LAMP = {"sku": "L-1", "maker": {"company": "Orion"}}


def asked(provider: LlmServer) -> list[dict[str, Any]]:
    """The properties of each form that was sent."""
    found = []
    for body in provider.calls:
        tool = body["tools"][0]
        found.append((tool.get("input_schema") or tool["function"]["parameters"])["properties"])
    return found


def with_city(_model: str, _prompt: str, form: dict[str, Any]) -> dict[str, Any] | None:
    return {"maker": {"city": "Faro"}} if "maker" in form["properties"] else None


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


@pytest.mark.parametrize("strategy", ["single_pass", "expert_domains", "multi_expertise"])
def test_what_is_given_is_in_no_form_and_stands_in_the_result_as_it_was_given(
    org: Organization, provider: LlmServer, strategy: str
) -> None:
    provider.answer = with_city
    job = org.enrich(entity_data=LAMP, schema_id=org.schema(strategy, MAKER), strategy=strategy)
    messages = org.messages(job)

    forms = asked(provider)
    assert not any("sku" in form for form in forms)
    assert [list(form["maker"]["properties"]) for form in forms if "maker" in form] == [["city"]]
    done = of(messages, "model_completed")[0]
    assert done["result"]["maker"] == {"city": "Faro", "company": "Orion"}
    assert done["result"]["sku"] == "L-1"
    assert org.call("GET", f"/api/records/{done['record_id']}")["validation_errors"] == []


def test_a_nested_identifying_property_is_given_too(org: Organization, provider: LlmServer) -> None:
    provider.answer = with_city
    schema = org.call("POST", "/api/schema/saved", json={"name": "lamp", "schema_content": MAKER})
    assert schema["input_contract"]["identifying_keys"] == ["maker.company"]
    body = {"entity_data": LAMP, "schema_id": schema["id"], "models": BOTH, "arbitration_model": BOTH[0]}
    messages = org.messages(org.enrich(**body))
    merged = of(messages, "fusion_completed")[0]["merged_result"]
    assert merged["maker"] == {"company": "Orion", "city": "Faro"}
    assert merged["sku"] == "L-1"
    assert list(merged)[:5] == ["sku", "maker", "watts", "volts", "price"]
    record = org.call("GET", f"/api/records/{of(messages, 'fusion_completed')[0]['record_id']}")
    given = [one for one in record["provenance"] if one["rule"] == "given"]
    assert given == [
        {"path": "sku", "models": [], "rule": "given"},
        {"path": "maker.company", "models": [], "rule": "given"},
    ]
    assert record["entity_name"] == "Orion"
    assert not {"sku", "maker.company"} & {one["path"] for one in record["conflict_report"]["conflicts"]}

    missing = org.call("POST", "/api/single/enrich/stream", 400, json={**body, "entity_data": {"sku": "L-2"}})
    assert "maker.company" in missing["detail"]
    missing = org.call("POST", "/api/single/enrich/stream", 400, json={**body, "entity_data": {"maker": LAMP["maker"]}})
    assert "entity_data.sku is to be preserved" in missing["detail"]


def test_only_domains_with_something_to_ask_are_called_and_the_estimate_says_so(
    org: Organization, provider: LlmServer
) -> None:
    """The plainest schema: a name that is given, and a field in each of two domains."""
    schema = org.schema()
    body = {"entity_data": {"name": "Orion"}, "schema_id": schema, "models": BOTH[:1], "strategy": "multi_expertise"}
    assert org.call("POST", "/api/enrichment/estimate", json=body)["calls"] == 2
    parts = of(org.messages(org.enrich(**body)), "expertise_completed")
    assert sorted(part["expertise_key"] for part in parts) == ["brand", "history"]
    assert {part["total_expertises"] for part in parts} == {2}
    assert sorted(map(list, asked(provider))) == [["founded"], ["slogan"]]


def test_what_names_no_domain_joins_the_smallest_and_without_domains_there_is_one_call(
    org: Organization, provider: LlmServer
) -> None:
    job = org.enrich(entity_data=LAMP, schema_id=org.schema(content=MAKER), strategy="multi_expertise")
    org.messages(job)
    assert sorted(sorted(form) for form in asked(provider)) == [["maker", "price"], ["volts", "watts"]]

    provider.calls.clear()
    flat = {"root": {**LAMPS["root"], "properties": {"name": {"type": "string"}, "city": {"type": "string"}}}}
    job = org.enrich(entity_data={"x": "Orion"}, schema_id=org.schema("flat", flat), strategy="multi_expertise")
    parts = of(org.messages(job), "expertise_completed")
    assert [part["expertise_key"] for part in parts] == ["general"]
    assert sorted(map(list, asked(provider))) == [["name", "city"]]


def test_an_entity_of_which_everything_is_given_costs_nothing(org: Organization, provider: LlmServer) -> None:
    content = {"root": {"name": "Firm", "properties": {"name": {"type": "string", "preserve": True}}}}
    job = org.enrich(entity_data={"NAME": " Orion "}, schema_id=org.schema(content=content))
    done = of(org.messages(job), "model_completed")[0]
    assert (done["success"], done["result"], done["cost_usd"]) == (True, {"name": " Orion "}, 0.0)
    assert not provider.calls


def test_one_call_is_told_the_domains_with_their_fields(org: Organization, provider: LlmServer) -> None:
    job = org.enrich(
        entity_data=LAMP, schema_id=org.schema(content=MAKER), strategy="expert_domains", languages=["en", "fr"]
    )
    messages = org.messages(job)
    assert len(provider.calls) == 1
    prompt = provider.calls[0]["messages"][1]["content"]
    assert "Field of expertise: Physics." in prompt and "It has: watts, volts." in prompt
    assert "en = English; fr = French" in prompt
    assert asked(provider)[0]["watts"]["description"] == "For example: 5, 7, 11"
    assert (
        of(messages, "strategy_selected")[0] | {"strategy": "expert_domains", "reason": "as requested"}
        == of(messages, "strategy_selected")[0]
    )


def test_auto_chooses_by_size_and_says_why(org: Organization, provider: LlmServer) -> None:
    expected = [(3, "single_pass"), (12, "expert_domains"), (30, "multi_expertise")]
    for fields, strategy in expected:
        wide = {f"f{n}": {"type": "string", "expertise": "d" if n % 2 else "e"} for n in range(fields)}
        properties = {"name": {"type": "string", "identifying": True}, **wide}
        content = {"root": {"name": "Wide", "properties": properties}, "expertise_domains": {"d": {}, "e": {}}}
        job = org.enrich(entity_data={"name": "Orion"}, schema_id=org.schema(strategy, content))
        chosen = of(org.messages(job), "strategy_selected")[0]
        assert (chosen["requested"], chosen["strategy"]) == ("auto", strategy)
        assert chosen["reason"].startswith(f"{fields} values to ask for in 2 domains: ")


@pytest.mark.parametrize(
    ("change", "field"), [({"languages": ["en", "xx"]}, "languages[1]"), ({"models": []}, "models")]
)
def test_what_can_only_be_a_mistake_is_refused(
    org: Organization, provider: LlmServer, change: dict[str, Any], field: str
) -> None:
    body = {"entity_data": {"name": "Orion"}, "schema_id": org.schema(), "models": BOTH, **change}
    assert org.call("POST", "/api/single/enrich/stream", 400, json=body)["detail"].startswith(field)
    batch = {**body, "entities": [body["entity_data"]]}
    del batch["entity_data"]
    assert org.call("POST", BATCH, 400, json=batch)["detail"].startswith(field)
    assert not provider.calls
