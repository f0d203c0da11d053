"""Models in order of price: a dearer one is asked only for what cheaper ones left open."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer

CHEAP, MIDDLE, DEAR = "openai::gpt-4o-mini", "anthropic::claude-haiku-4-5", "openai::gpt-4o"
FIRM: dict[str, Any] = {
    "root": {
        "name": "Firm",
        "properties": {
            "name": {"type": "string", "identifying": True},
            "founded": {"type": "integer", "nullable": True, "expertise": "history"},
            "slogan": {"type": "string", "nullable": True, "expertise": "brand"},
            "city": {"type": "string", "nullable": True, "expertise": "history"},
        },
    },
    "expertise_domains": {"history": {"name": "History"}, "brand": {"name": "Brand"}},
}


def answers(**by_model: dict[str, Any]) -> Any:
    """What each model knows; it answers only what it is asked."""
    known = {name.replace("_", "-"): values for name, values in by_model.items()}

    def answer(model: str, _prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        return {name: known[model].get(name) for name in form["properties"]}

    return answer


def asked(provider: LlmServer) -> list[tuple[str, list[str]]]:
    found = []
    for body in provider.calls:
        tool = body["tools"][0]
        form = tool.get("input_schema") or tool["function"]["parameters"]
        found.append((body["model"], sorted(form["properties"])))
    return found


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


def start(org: Organization, models: list[str], **more: Any) -> list[dict[str, Any]]:
    body = {"entity_data": {"name": "Orion"}, "models": models, "model_strategy": "waterfall", **more}
    return org.messages(org.enrich(schema_id=org.schema(content=FIRM), **body))


def test_the_dearer_model_is_asked_only_for_what_is_null_and_the_record_says_who_gave_what(
    org: Organization, provider: LlmServer
) -> None:
    cheap = {"founded": 1998, "slogan": None, "city": "Faro"}
    provider.answer = answers(gpt_4o_mini=cheap, **{"gpt-4o": {"slogan": "Light", "founded": 1}})
    provider.whole = True
    messages = start(org, [DEAR, CHEAP])

    assert asked(provider) == [("gpt-4o-mini", ["city", "founded", "slogan"]), ("gpt-4o", ["slogan"])]
    assert [message["model"] for message in of(messages, "model_started")] == [CHEAP, DEAR]
    fused = of(messages, "fusion_completed")[0]
    assert {name: fused["merged_result"][name] for name in FIRM["root"]["properties"]} == {
        "name": "Orion", "founded": 1998, "slogan": "Light", "city": "Faro",
    }  # fmt: skip
    record = org.call("GET", f"/api/records/{fused['record_id']}")
    assert {source["path"]: source["models"] for source in record["provenance"]} == {
        "name": [], "founded": [CHEAP], "slogan": [DEAR], "city": [CHEAP],
    }  # fmt: skip


def test_what_a_cheap_model_knows_is_not_bought_again(org: Organization, provider: LlmServer) -> None:
    provider.answer = answers(gpt_4o_mini={"founded": 1998, "slogan": "Light", "city": "Faro"})
    provider.whole = True
    messages = start(org, [CHEAP, DEAR], strategy="multi_expertise")

    assert {model for model, _ in asked(provider)} == {"gpt-4o-mini"}
    assert messages[-1]["status"] == "completed"
    assert not of(messages, "fusion_started")
    result = messages[-1]["result"]
    assert [one["model"] for one in result["results"]] == [CHEAP]
    body = {"entity_data": {"name": "Orion"}, "models": [CHEAP, DEAR], "model_strategy": "waterfall",
            "target_schema": FIRM, "strategy": "multi_expertise"}  # fmt: skip
    waited = org.call("POST", "/api/single/enrich/sync", json=body)
    assert (waited["success"], waited["model"], waited["failed_models"]) == (True, CHEAP, [])


def test_two_cheap_ones_that_differ_are_decided_by_the_dear_one(org: Organization, provider: LlmServer) -> None:
    shared = {"slogan": "Light", "city": "Faro"}
    provider.answer = answers(
        gpt_4o_mini={"founded": 1998, **shared}, claude_haiku_4_5={"founded": 2000, **shared},
        **{"gpt-4o": {"founded": 2004}},
    )  # fmt: skip
    provider.whole = True
    messages = start(org, [DEAR, MIDDLE, CHEAP])

    assert sorted(asked(provider)[:2]) == [
        ("claude-haiku-4-5", ["city", "founded", "slogan"]), ("gpt-4o-mini", ["city", "founded", "slogan"]),
    ]  # fmt: skip
    assert asked(provider)[2:] == [("gpt-4o", ["founded"])]
    fused = of(messages, "fusion_completed")[0]
    assert fused["merged_result"]["founded"] == 2004
    provenance = org.call("GET", f"/api/records/{fused['record_id']}")["provenance"]
    assert {"path": "founded", "models": [DEAR], "rule": "dearest model asked"} in provenance


def test_a_cheap_model_that_fails_leaves_everything_to_the_next(org: Organization, provider: LlmServer) -> None:
    provider.away = {"gpt-4o-mini": Fault(status=400, message="no")}
    messages = start(org, [CHEAP, DEAR])
    assert asked(provider)[1] == ("gpt-4o", ["city", "founded", "slogan"])
    assert [message["success"] for message in of(messages, "model_completed")] == [False, True]
    assert messages[-1]["status"] == "completed"


def test_an_estimate_tells_what_is_bought_for_sure_and_what_if_needed(org: Organization, provider: LlmServer) -> None:
    body = {"entity_data": {"name": "Orion"}, "models": [CHEAP, DEAR], "target_schema": FIRM}
    every = org.call("POST", "/api/enrichment/estimate", json=body)["cost_usd"]
    found = org.call("POST", "/api/enrichment/estimate", json={**body, "model_strategy": "waterfall"})
    assert [row.get("if_needed", False) for row in found["by_model"]] == [False, True]
    assert found["cost_usd"]["low"] < every["low"]
    assert found["cost_usd"]["expected"] < every["expected"]
    assert found["cost_usd"]["high"] == every["high"]


@pytest.mark.parametrize("value", ["cascade", 3])
def test_another_word_is_refused_and_the_options_name_the_right_ones(
    org: Organization, provider: LlmServer, value: Any
) -> None:
    body = {"entity_data": {"name": "Orion"}, "models": [CHEAP], "target_schema": FIRM, "model_strategy": value}
    assert org.call("POST", "/api/single/enrich/stream", 400, json=body)["detail"].startswith("model_strategy")
    options = org.call("GET", "/api/enrichment/options")
    assert [one["name"] for one in options["model_strategies"]] == ["parallel", "waterfall"]
