"""Source files: named and fenced, cut at the model's window and not before, and never without a word."""

from __future__ import annotations

from typing import Any

from tests.support.builders import Organization
from tests.support.llm_server import LlmServer

BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]


def attach(org: Organization, name: str, text: str) -> str:
    found = org.call("POST", "/api/attachments", files={"files": (name, text.encode(), "text/plain")})
    return str(found[0]["id"])


def sent(provider: LlmServer, model: str) -> list[str]:
    """What was sent to a model, each call as one text."""
    return [str(body.get("system", "")) + str(body["messages"]) for body in provider.calls if body["model"] == model]


def test_a_long_source_is_shown_whole_where_the_window_has_room_and_cut_with_a_warning_where_not(
    org: Organization, provider: LlmServer
) -> None:
    """Windows of 128,000 and of 200,000 tokens hold 200 kB of text, not 400 kB; one of 16,385 holds less."""
    fits = attach(org, "fits.txt", "word " * 40_000 + "THE END")
    beyond = attach(org, "beyond.txt", "word " * 80_000 + "THE END")
    models = [*BOTH, "openai::gpt-3.5-turbo"]
    schema = org.schema()
    entity = {"name": "Orion"}

    job = org.enrich(entity_data=entity, schema_id=schema, models=models[:2], attachment_ids=[fits])
    messages = org.messages(job)
    assert messages[-1]["status"] == "completed"
    assert org.until(job)["warnings"] == []
    assert ["THE END" in text and "fits.txt" in text for model in ("gpt-4o", "claude-haiku-4-5")
            for text in sent(provider, model)] == [True, True]  # fmt: skip

    provider.calls.clear()
    body: dict[str, Any] = {"schema_id": schema, "models": models, "attachment_ids": [beyond]}
    estimate = org.call("POST", "/api/enrichment/estimate", json={**body, "entity_data": entity})
    told = [(warning["code"], warning["item"]) for warning in estimate["warnings"]]
    assert told == [("SOURCE_TRUNCATED", "beyond.txt")] * 3
    tokens = {row["model"]: row["input_tokens"] for row in estimate["by_model"]}
    assert 70_000 < tokens[models[0]] < 90_000 < tokens[models[1]] < 130_000
    assert tokens[models[2]] < 12_000
    assert not provider.calls

    job = org.enrich("/api/enrichment/batch/start", entities=[entity, {"name": "Vega"}], **body)
    messages = org.messages(job)
    warnings = org.until(job)["warnings"]
    assert [(warning["code"], warning["item"]) for warning in warnings] == told
    assert [warning["message"].split(" ")[0] for warning in warnings] == models
    first_call = next(place for place, message in enumerate(messages) if message["type"] == "model_started")
    assert [message["type"] for message in messages[:first_call]].count("warning") == 3, "told before money is spent"
    record = next(message for message in messages if message["type"] == "model_completed")
    assert record["validation_warnings"][0].startswith("beyond.txt: ")
    kept = org.call("GET", f"/api/records/{record['record_id']}")
    assert kept["validation_warnings"] == record["validation_warnings"]
    lengths = {model: {len(text) for text in sent(provider, model.partition("::")[2])} for model in models}
    assert max(lengths[models[2]]) < 40_000
    assert 200_000 < min(lengths[models[0]]) < min(lengths[models[1]])
    assert not any("THE END" in text for model in models for text in sent(provider, model.partition("::")[2]))


def test_short_sources_are_whole_beside_a_long_one(org: Organization, provider: LlmServer) -> None:
    short = attach(org, "short.txt", "ALL OF IT")
    long = attach(org, "long.txt", "word " * 20_000)
    job = org.enrich(
        entity_data={"name": "Orion"}, schema_id=org.schema(), models=["openai::gpt-3.5-turbo"],
        attachment_ids=[long, short],
    )  # fmt: skip
    assert [(warning["code"], warning["item"]) for warning in org.until(job)["warnings"]] == [
        ("SOURCE_TRUNCATED", "long.txt"),
    ]  # fmt: skip
    prompt = provider.calls[0]["messages"][1]["content"]
    assert "Source 2:\n<data number=2>\nshort.txt\nALL OF IT\n</data>" in prompt
    assert "[The source goes on: these are the first" in prompt
    assert prompt.index("Source 1:") < prompt.index("Source 2:") < prompt.index("Known facts")
