"""Prompts whose beginning a provider has in its cache, as they go over the wire."""

from __future__ import annotations

import json
from typing import Any

from bench.cache import shared_share
from tests.support.builders import Organization
from tests.support.llm_server import LlmServer

BATCH = "/api/enrichment/batch/start"
BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]
FIRM: dict[str, Any] = {
    "root": {
        "name": "Firm",
        "description": "A firm",
        "properties": {
            "name": {"type": "string", "identifying": True},
            "founded": {"type": "integer", "nullable": True, "expertise": "history"},
            "slogan": {"type": "string", "nullable": True, "expertise": "brand"},
            "turnover": {"type": "number", "nullable": True, "expertise": "finance"},
        },
    },
    "expertise_domains": {name: {"name": name.title()} for name in ("history", "brand", "finance")},
}


def attach(org: Organization, size: int) -> str:
    text = "".join(f"Line {number} of a long report.\n" for number in range(size // 28))
    return str(org.call("POST", "/api/attachments", files={"files": ("report.txt", text.encode())})[0]["id"])


def test_the_calls_of_a_batch_share_nearly_all_that_is_sent(org: Organization, provider: LlmServer) -> None:
    """Three entities, three domains, two models, a source of 22 kB."""
    job = org.enrich(
        BATCH, entities=[{"name": name} for name in ("Orion", "Vega", "Lyra")], schema_id=org.schema(content=FIRM),
        models=BOTH, strategy="multi_expertise", attachment_ids=[attach(org, 22_000)],
    )  # fmt: skip
    messages = org.messages(job)
    assert messages[-1]["status"] == "completed"
    assert [message["success"] for message in messages if message["type"] == "model_completed"] == [True] * 6
    assert len(provider.calls) == 18
    assert shared_share(provider.calls) >= 0.85
    results = [message["result"] for message in messages if message["type"] == "model_completed"]
    assert all(set(result) == {"name", "founded", "slogan", "turnover"} for result in results)

    claude = [body for body in provider.calls if body["model"] == "claude-haiku-4-5"]
    assert len({json.dumps([body["tools"], body["system"]]) for body in claude}) == 1
    assert all(body["system"][0]["cache_control"] == {"type": "ephemeral"} for body in claude)
    assert len({body["tool_choice"]["name"] for body in claude}) == 3
    assert all("Known facts" in body["messages"][0]["content"] for body in claude)
    assert all("report.txt" not in str(body["messages"]) for body in claude)


def test_a_call_that_is_alone_writes_nothing_to_a_cache(org: Organization, provider: LlmServer) -> None:
    """Anthropic takes a quarter more for what is written."""
    job = org.enrich(
        entity_data={"name": "Orion"}, schema_id=org.schema(content=FIRM), models=BOTH[1:], strategy="single_pass",
        attachment_ids=[attach(org, 22_000)],
    )  # fmt: skip
    assert org.messages(job)[-1]["status"] == "completed"
    assert "cache_control" not in json.dumps(provider.calls)
    assert len(provider.calls) == 1


def test_without_much_to_share_a_call_has_its_own_form_only(org: Organization, provider: LlmServer) -> None:
    entities = [{"name": "Orion"}, {"name": "Vega"}]
    job = org.enrich(
        BATCH, entities=entities, schema_id=org.schema(content=FIRM), models=BOTH, strategy="multi_expertise"
    )
    assert org.messages(job)[-1]["status"] == "completed"
    assert {len(body["tools"]) for body in provider.calls} == {1}
