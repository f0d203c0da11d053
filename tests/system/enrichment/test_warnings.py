"""What an enrichment did worse than it was asked to is told; and a job that failed says why."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.builders import Organization
from tests.support.llm_server import Fault, LlmServer

BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]
BATCH = "/api/enrichment/batch/start"


def warned(org: Organization, job: str) -> list[tuple[str, str | None]]:
    found = org.until(job)
    assert found["state"] == "COMPLETED", found
    assert org.call("GET", f"/api/enrichment/jobs/{job}/status")["warnings"] == found["warnings"]
    return [(one["code"], one.get("item")) for one in found["warnings"]]


def test_a_single_enrichment_whose_key_is_refused_says_so(org: Organization, provider: LlmServer) -> None:
    provider.away = {"gpt-4o": Fault(status=401, message="wrong key")}

    job = org.enrich(entity_data={"name": "Orion"}, schema_id=org.schema())
    found = org.until(job)

    assert found["state"] == "FAILED"
    assert found["error"] == {
        "code": "model_refused",
        "message": "openai::gpt-4o: the provider refuses the key: wrong key",
    }
    messages = org.messages(job)
    assert messages[-1]["error_message"] == found["error"]["message"]
    assert next(one for one in messages if one["type"] == "model_completed")["error_code"] == "model_refused"


def test_a_batch_whose_items_all_failed_alike_says_why(org: Organization, provider: LlmServer) -> None:
    provider.away = {"gpt-4o": Fault(status=400, message="no such account")}

    job = org.enrich(BATCH, entities=[{"name": "Orion"}, {"name": "Vega"}], schema_id=org.schema())
    found = org.until(job)

    assert found["error"]["code"] == "ALL_ITEMS_FAILED"
    assert found["error"]["message"].startswith("all 2 items failed: ")
    assert "no such account" in found["error"]["message"]
    done = next(one for one in org.messages(job) if one["type"] == "batch_completed")
    assert done["stopped_early_reason"] is None


def test_a_model_that_dropped_out_is_a_warning_of_its_entity(org: Organization, provider: LlmServer) -> None:
    provider.away = {"claude-haiku-4-5": Fault(status=400, message="not today")}

    job = org.enrich(BATCH, entities=[{"name": "Orion"}, {"name": "Vega"}], schema_id=org.schema(), models=BOTH)

    assert sorted(warned(org, job)) == [("model_refused", "Orion"), ("model_refused", "Vega")]
    assert [one["type"] for one in org.messages(job)].count("warning") == 2


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        (Fault(status=400, message="no", match="Several sources differ"), {"arbitration_model": BOTH[0]}),
        (Fault(status=400, message="no", match="Expected type"), {"classification_model": BOTH[0]}),
    ],
)
def test_an_arbiter_and_a_check_that_failed_are_warnings(
    org: Organization, provider: LlmServer, fault: Fault, more: dict[str, Any]
) -> None:
    founded = {"gpt-4o": 1998, "claude-haiku-4-5": 2000}
    provider.answer = lambda model, _prompt, form: (
        {"founded": founded[model]} if "founded" in form["properties"] else None
    )
    provider.faults = [fault]

    job = org.enrich(entity_data={"name": "Orion"}, schema_id=org.schema(), models=BOTH, **more)

    assert warned(org, job) == [("model_refused", None)]


def test_a_schema_whose_words_no_model_gave_is_told(org: Organization, provider: LlmServer) -> None:
    provider.away = {"gpt-4o": Fault(status=400, message="no")}
    body = {"entity_samples": [{"name": "Orion", "founded": 1998}], "model": BOTH[0]}

    job = org.call("POST", "/api/schema/generate/stream", json=body)["job_id"]

    assert warned(org, job) == [("model_refused", None)]


def test_what_a_cap_does_not_suffice_for_is_told_once(org: Organization, provider: LlmServer) -> None:
    entities = [{"name": f"Firm {number}"} for number in range(40)]
    schema = org.schema()
    body = {"entities": entities[:1], "schema_id": schema, "models": BOTH[:1]}
    one = org.call("POST", "/api/enrichment/estimate", json=body)["cost_usd"]["expected"]

    # What a request sets aside is the most that it can cost; the refusal of a cap that is too low tells how much.
    refused = org.call("POST", BATCH, 402, json={**body, "max_cost_usd": one * 1.01})
    needed = float(refused["detail"].split("can take ")[1].split()[0])

    job = org.enrich(BATCH, entities=entities, schema_id=schema, max_cost_usd=needed * 1.1)

    assert warned(org, job) == [("cost_limit_exceeded", None)]
