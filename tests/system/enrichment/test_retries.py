"""Failed domains of a record, asked again: with the record's sources, and with the run's fusion made anew."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer

BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]
ORION = {"name": "Orion Lighting"}
RETRY = "/api/single/retry-expertises/stream"


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


def attach(org: Organization, text: bytes) -> str:
    """Upload a source; its id."""
    return str(org.call("POST", "/api/attachments", files={"files": ("note.txt", text, "text/plain")})[0]["id"])


def failed_record(org: Organization, provider: LlmServer, **more: Any) -> dict[str, Any]:
    """What is told of a record whose brand domain has failed."""
    provider.faults = [Fault(status=400, message="not now", match="Brand")]
    body = {"entity_data": ORION, "schema_id": org.schema(), "strategy": "multi_expertise", **more}
    messages = org.messages(org.enrich(**body))
    return next(one for one in of(messages, "model_completed") if one["partial_success"])


def retry(org: Organization, record: str, **more: Any) -> list[dict[str, Any]]:
    """Ask again; what the stream tells."""
    body = {"record_id": record, "entity_data": ORION, **more}
    return org.messages(org.call("POST", RETRY, json=body)["job_id"])


def last_prompt(provider: LlmServer) -> str:
    """All that the last call has sent."""
    return str(provider.calls[-1])


def test_the_sources_of_the_record_are_shown_again(org: Organization, provider: LlmServer) -> None:
    source, other = attach(org, b"ORIGINAL TEXT"), attach(org, b"ANOTHER TEXT")
    record = failed_record(org, provider, attachment_ids=[source])["record_id"]
    assert org.call("GET", f"/api/records/{record}")["attachment_ids"] == [source]

    provider.faults = [Fault(status=400, message="not yet", match="Brand")]
    told = of(retry(org, record), "expertise_completed")
    assert [(one["expertise_key"], one["success"], one["error_code"]) for one in told] == [
        ("brand", False, "model_refused"),
    ]  # fmt: skip
    assert "ORIGINAL TEXT" in last_prompt(provider)

    provider.faults = [Fault(status=400, message="not yet", match="Brand")]
    retry(org, record, attachment_ids=[other])
    assert "ANOTHER TEXT" in last_prompt(provider)
    assert "ORIGINAL TEXT" not in last_prompt(provider)

    org.call("DELETE", f"/api/attachments/{source}")
    body = {"record_id": record, "entity_data": ORION}
    gone = org.call("POST", RETRY, 404, json=body)["detail"]
    assert "a source of the record is gone" in gone
    assert source in gone
    retry(org, record, attachment_ids=[])
    assert "TEXT" not in last_prompt(provider)
    assert not org.call("GET", f"/api/records/{record}")["partial_success"]


def test_a_record_without_a_failed_domain_is_refused_and_nothing_is_paid(
    org: Organization, provider: LlmServer
) -> None:
    record = failed_record(org, provider)["record_id"]
    retry(org, record)
    paid = sum(provider.paid.values())
    answer = org.call("POST", RETRY, 400, json={"record_id": record, "entity_data": ORION})
    assert (answer["code"], "none of the record's domains has failed" in answer["detail"]) == (
        "no_failed_expertises", True,
    )  # fmt: skip
    assert sum(provider.paid.values()) == paid


@pytest.mark.parametrize("arbiter", [None, "google::gemini-2.5-pro"])
def test_the_fusion_of_the_run_is_made_anew(org: Organization, provider: LlmServer, arbiter: str | None) -> None:
    slogans = {"gpt-4o": "Light for all of us", "claude-haiku-4-5": "Light"}

    def answer(model: str, _prompt: str, form: dict[str, Any]) -> dict[str, Any] | None:
        if "field_1" in form["properties"]:
            return {"field_1": "A"}
        return {"slogan": slogans[model]} if "slogan" in form["properties"] else {"founded": 1998}

    provider.answer = answer
    more = {} if arbiter is None else {"arbitration_model": arbiter}
    provider.faults = [Fault(status=400, message="not now", match="Brand")]
    body = {"entity_data": ORION, "schema_id": org.schema(), "strategy": "multi_expertise", "models": BOTH, **more}
    messages = org.messages(org.enrich(**body))
    first = of(messages, "fusion_completed")[0]
    failed = next(one for one in of(messages, "model_completed") if one["partial_success"])
    assert first["conflict_report"]["conflicted_fields"] == 0, "only one of them had the domain"

    told = retry(org, failed["record_id"])
    again = of(told, "fusion_completed")[0]
    assert again["record_id"] == first["record_id"]
    assert [one["path"] for one in again["conflict_report"]["conflicts"]] == ["slogan"]
    assert len(of(told, "arbitration_completed")) == (0 if arbiter is None else 1)
    fused = org.call("GET", f"/api/records/{first['record_id']}")
    assert (fused["job_id"], len(fused["fusion_sources"])) == (messages[0]["job_id"], 2)
    assert fused["conflict_report"]["conflicted_fields"] == 1
    assert fused["fusion_method"] == ("rule_based" if arbiter is None else "llm")
    assert fused["structured_output"]["slogan"] in slogans.values()
    assert told[-1]["result"]["fusion"]["record_id"] == first["record_id"]
    assert len(org.records(type="fusion")) == 1
