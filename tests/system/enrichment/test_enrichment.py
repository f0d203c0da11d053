"""The enrichment API as its users call it, over loopback providers through the real SDKs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.support.builders import LAMPS, Organization, organization
from tests.support.llm_server import TOKENS_IN, TOKENS_OUT, Fault, LlmServer
from tests.support.seed import SEED_PROGRAM
from towpath.runtime.embedded import EmbeddedStack

BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]
ORION = {"name": "Orion Lighting", "country": "PT"}
SINGLE, BATCH = "/api/single/enrich/stream", "/api/enrichment/batch/start"


def types(messages: list[dict[str, Any]]) -> list[str]:
    return [message["type"] for message in messages]


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


def test_one_entity_with_one_model(org: Organization, provider: LlmServer) -> None:
    provider.answer = lambda _model, _prompt, _form: {"founded": 1998}
    job = org.enrich(entity_data=ORION, schema_id=org.schema())
    messages = org.messages(job)

    assert types(messages) == ["strategy_selected", "model_started", "model_completed", "completed"]
    for message in messages:
        assert message["event"] == message["type"]
        assert (message["job_id"], message["job_type"]) == (job, "single_enrichment")
        assert {"status", "is_paused", "total_models", "completed_models", "running_models", "current_model",
                "current_attempt", "max_attempts", "last_error_summary", "total_entities", "completed_entities",
                "failed_entities", "skipped_entities", "timestamp"} <= set(message)  # fmt: skip
    done = messages[2]
    # `name` is to be preserved: it is not asked.
    assert done["result"] | {"slogan": None} == {"name": "Orion Lighting", "founded": 1998, "slogan": None}
    assert (done["input_tokens"], done["output_tokens"], done["success"]) == (TOKENS_IN, TOKENS_OUT, True)
    assert done["cost_usd"] == pytest.approx((2.5 * TOKENS_IN + 10 * TOKENS_OUT) / 1e6)
    assert messages[-1]["status"] == "completed"
    assert messages[-1]["result"]["record_id"] == done["record_id"]
    record = org.call("GET", f"/api/records/{done['record_id']}")
    assert record["structured_output"] == done["result"]
    assert record["entity_input_data"] == ORION
    assert (record["type"], record["success"], record["model_composite_key"]) == ("enrichment", True, "openai::gpt-4o")
    assert org.job(job)["cost"]["usd"] == pytest.approx(done["cost_usd"])
    status = org.call("GET", f"/api/enrichment/jobs/{job}/status")
    assert (status["status"], status["total"], status["current"], status["completed_enrichments"]) == (
        "completed", 1, 1, 1,
    )  # fmt: skip
    assert [one["job_id"] for one in org.call("GET", "/api/enrichment/jobs")["jobs"]] == [job]


def test_domains_run_at_once_and_a_failed_one_can_be_asked_again(org: Organization, provider: LlmServer) -> None:
    provider.faults = [Fault(status=400, message="refused", match="Brand")]
    job = org.enrich(entity_data=ORION, schema_id=org.schema(), strategy="multi_expertise")
    messages = org.messages(job)

    parts = of(messages, "expertise_completed")
    assert sorted(part["expertise_key"] for part in parts) == ["brand", "history"]
    assert [part["completed_expertises"] for part in parts] == [1, 2]
    assert {part["expertise_key"]: part["success"] for part in parts} == {"history": True, "brand": False}
    done = of(messages, "model_completed")[0]
    assert (done["success"], done["partial_success"]) == (True, True)
    assert set(done["result"]) == {"name", "founded"}
    assert "refused" in done["error_message"]

    again = {"record_id": done["record_id"], "entity_data": ORION}
    retry = org.call("POST", "/api/single/retry-expertises/stream", json=again)["job_id"]
    told = org.messages(retry)
    assert [part["expertise_key"] for part in of(told, "expertise_completed")] == ["brand"]
    assert told[-1]["status"] == "completed"
    record = org.call("GET", f"/api/records/{done['record_id']}")
    assert set(record["structured_output"]) == {"name", "founded", "slogan"}
    assert (record["success"], record["partial_success"]) == (True, False)
    assert all(count == 1 for count in provider.paid.values())
    assert len(provider.paid) == 2


def test_two_models_are_fused_with_provenance(org: Organization, provider: LlmServer) -> None:
    founded = {"gpt-4o": 1998, "claude-haiku-4-5": 2000}
    provider.answer = lambda model, _prompt, _form: {"founded": founded[model], "slogan": "Light for all"}
    job = org.enrich(entity_data=ORION, schema_id=org.schema(), models=BOTH)
    messages = org.messages(job)

    assert types(messages)[-4:] == ["fusion_started", "conflicts_detected", "fusion_completed", "completed"]
    fused = of(messages, "fusion_completed")[0]
    assert fused["merged_result"] == {
        "name": "Orion Lighting", "founded": 1999, "slogan": "Light for all",
        "_arbitration_metadata": {"method": "rule_based", "arbitration_model": None},
    }  # fmt: skip
    assert fused["conflict_report"]["conflicted_fields"] == 1
    assert fused["conflict_report"]["conflicts"][0]["values_by_model"] == {BOTH[0]: 1998, BOTH[1]: 2000}
    record = org.call("GET", f"/api/records/{fused['record_id']}")
    assert record["fusion_method"] == "rule_based"
    assert len(record["fusion_sources"]) == 2
    assert {"path": "slogan", "models": BOTH, "rule": "agreed"} in record["provenance"]
    assert messages[-1]["result"]["is_fused"]


def test_an_arbiter_decides_and_a_failing_one_leaves_it_to_the_rules(org: Organization, provider: LlmServer) -> None:
    founded = {"gpt-4o": 1998, "claude-haiku-4-5": 2000}

    def answer(model: str, prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        if "field_1" in form["properties"]:
            # What the arbiter is shown must tell which letter is which value.
            letter = re.search(r"([A-Z]): 2000", prompt)
            assert letter
            return {"field_1": letter[1]}
        return {"founded": founded.get(model), "slogan": "x"}

    provider.answer = answer
    schema = org.schema()
    body = {"entity_data": ORION, "schema_id": schema, "models": BOTH, "arbitration_model": "google::gemini-2.5-pro"}
    messages = org.messages(org.enrich(**body))
    decided = of(messages, "arbitration_completed")[0]
    assert decided["decisions"] == {"founded": BOTH[1]}
    assert of(messages, "fusion_completed")[0]["merged_result"]["founded"] == 2000
    assert of(messages, "fusion_completed")[0]["merged_result"]["_arbitration_metadata"]["method"] == "llm"

    provider.faults = [Fault(status=400, match="Several sources differ")]
    other = {**body, "entity_data": {"name": "Vega"}}
    messages = org.messages(org.enrich(**other))
    assert of(messages, "arbitration_completed")[0]["fallback_to_rule_based"]
    assert of(messages, "fusion_completed")[0]["merged_result"]["founded"] == 1999


def test_a_batch_tells_of_every_entity_and_one_failing_entity_fails_alone(
    org: Organization, provider: LlmServer
) -> None:
    provider.faults = [Fault(status=400, message="refused", match="Vega")]
    names = ["Orion", "Vega", "Lyra", "Cygnus"]
    answer = org.call(
        "POST", BATCH,
        json={"entities": [{"name": name} for name in names], "schema_id": org.schema(), "models": BOTH[:1]},
    )  # fmt: skip
    assert answer["total"] == 4
    messages = org.messages(answer["job_id"])

    assert types(messages)[0] == "batch_started"
    assert types(messages)[-2:] == ["batch_completed", "completed"]
    ended = {message["entity_index"]: message for message in of(messages, "entity_completed")}
    assert {index: message["success"] for index, message in ended.items()} == {0: True, 1: False, 2: True, 3: True}
    assert ended[1]["entity_label"] == "Vega"
    assert "refused" in ended[1]["error"]
    assert messages[-1]["status"] == "completed"
    result = messages[-1]["result"]
    assert (result["total"], result["succeeded"], result["failed"]) == (4, 3, 1)
    assert [row["entity_label"] for row in result["entities"]] == names
    assert messages[-1]["completed_entities"] == 3

    # Failed ones only, once more; nothing that was paid for is asked again.
    org.call("POST", f"/v1/jobs/{answer['job_id']}/restart")
    org.until(answer["job_id"])
    again = org.messages(answer["job_id"])
    assert [message["entity_index"] for message in of(again, "entity_completed")] == [1]
    assert again[-1]["result"]["succeeded"] == 4
    assert len(provider.paid) == 4
    assert set(provider.paid.values()) == {1}


def test_selected_entities_keep_their_index(org: Organization, provider: LlmServer) -> None:
    entities = [{"name": f"firm {n}"} for n in range(5)]
    job = org.enrich("/api/batch/start", entities=entities, schema_id=org.schema(), selected_indices=[4, 1])
    messages = org.messages(job, path="/api/enrichment/stream")
    assert sorted(message["entity_index"] for message in of(messages, "entity_completed")) == [1, 4]


def verdict(status: str, confidence: float = 0.9) -> dict[str, Any]:
    return {"status": status, "confidence": confidence, "reasoning": "it sells bread", "entity_description": "bakery"}


def checker(status: str, confidence: float = 0.9, word: str = "") -> Any:
    def answer(_model: str, prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        if "confidence" not in form["properties"]:
            return {}
        return verdict(status, confidence) if word in prompt else verdict("match")

    return answer


def test_a_mismatch_waits_for_a_person_whose_answer_is_put_into_the_prompt(
    org: Organization, provider: LlmServer
) -> None:
    provider.answer = checker("mismatch")
    job = org.enrich(entity_data=ORION, schema_id=org.schema(), classification_model=BOTH[1])
    org.until(job, "PAUSED")
    status = org.call("GET", f"/api/enrichment/jobs/{job}/status")
    assert (status["status"], status["is_paused"]) == ("paused", True)
    assert not any("Known facts" in prompt for _, prompt in provider.paid)

    answers = {"answers": {"type": {"text": "they make lamps too"}}}
    assert org.call("POST", f"/api/llm/continue/{job}", json=answers) == {
        "job_id": job, "status": "running", "message": "Job resumed",
    }  # fmt: skip
    messages = org.messages(job)
    assert messages[-1]["status"] == "completed"
    paused = of(messages, "classification_mismatch_pause")[0]
    assert (paused["status"], paused["is_paused"], paused["timeout_seconds"]) == ("paused", True, 3600)
    assert paused["classification"]["expected_type"] == "Lighting maker"
    assert any("they make lamps too" in prompt for _, prompt in provider.paid)
    org.call("POST", f"/api/llm/continue/{job}", 409)


def test_a_paused_job_can_be_cancelled(org: Organization, provider: LlmServer) -> None:
    provider.answer = checker("unknown")
    job = org.enrich(entity_data=ORION, schema_id=org.schema(), classification_model=BOTH[1])
    org.until(job, "PAUSED")
    first = org.call("POST", f"/api/llm/cancel/{job}")
    assert (first["job_id"], first["status"]) == (job, "cancelled")
    assert org.call("POST", f"/api/enrichment/cancel/{job}")["status"] == "cancelled"
    assert types(org.messages(job))[-2:] == ["cancelled", "completed"]
    assert org.messages(job)[-1]["status"] == "cancelled"


def test_a_match_and_a_failed_check_go_on(org: Organization, provider: LlmServer) -> None:
    schema = org.schema()
    provider.answer = checker("match")
    assert (
        org.messages(org.enrich(entity_data=ORION, schema_id=schema, classification_model=BOTH[1]))[-1]["status"]
        == "completed"
    )
    provider.faults = [Fault(status=400, match="Expected type")]
    messages = org.messages(org.enrich(entity_data={"name": "Vega"}, schema_id=schema, classification_model=BOTH[1]))
    assert of(messages, "classification_completed")[0]["success"] is False
    assert messages[-1]["status"] == "completed"


def test_a_batch_skips_only_what_is_surely_of_another_type(org: Organization, provider: LlmServer) -> None:
    provider.answer = checker("mismatch", 0.95, "bakery")
    entities = [{"name": "Orion"}, {"name": "the bakery"}]
    schema = org.schema()
    messages = org.messages(org.enrich(BATCH, entities=entities, schema_id=schema, classification_model=BOTH[1]))
    skipped = of(messages, "entity_skipped")
    assert [(one["entity_index"], one["code"]) for one in skipped] == [(1, "classification_mismatch")]
    assert messages[-1]["result"]["skipped"] == 1
    provider.answer = checker("mismatch", 0.5, "bakery")
    entities = [{"name": "Lyra"}, {"name": "bakery two"}]
    messages = org.messages(org.enrich(BATCH, entities=entities, schema_id=schema, classification_model=BOTH[1]))
    assert not of(messages, "entity_skipped")
    assert any("it sells bread" in prompt for _, prompt in provider.paid if "bakery two" in prompt)


def test_the_call_that_waits(org: Organization, provider: LlmServer) -> None:
    body: dict[str, Any] = {"entity_data": ORION, "schema_id": org.schema(), "models": BOTH}
    found = org.call("POST", "/api/single/enrich/sync", json={**body, "include_per_model_results": True})
    assert found["success"]
    assert found["is_fused"]
    assert found["source_models"] == BOTH
    assert found["fusion"]["method"] == "rule_based"
    assert len(found["per_model_results"]) == 2
    one = org.call("POST", "/api/single/enrich/sync", json={**body, "models": BOTH[:1]})
    assert (one["is_fused"], one["model"], one["cost_usd"]) == (False, BOTH[0], 0.0), "answered from the cache"

    provider.faults = [Fault(status=404, match="Vega")]
    vega = {**body, "entity_data": {"name": "Vega"}, "models": BOTH[:1]}
    assert org.call("POST", "/api/single/enrich/sync", 422, json=vega)["code"] == "model_retired"
    provider.faults = [Fault(content="no json", match="Lyra") for _ in range(3)]
    lyra = {**vega, "entity_data": {"name": "Lyra"}}
    assert org.call("POST", "/api/single/enrich/sync", 502, json=lyra)["code"] == "model_output_invalid"
    provider.faults = [Fault(hang=2.0, match="Cygnus")]
    cygnus = {**vega, "entity_data": {"name": "Cygnus"}, "timeout_seconds": 0.5}
    assert "the job goes on" in org.call("POST", "/api/single/enrich/sync", 504, json=cygnus)["detail"]
    assert org.until(org.call("GET", "/api/enrichment/jobs")["jobs"][0]["job_id"])["state"] == "COMPLETED"
    provider.answer = checker("mismatch")
    wrong = {**vega, "entity_data": {"name": "Bread"}, "classification_model": BOTH[1]}
    refused = org.call("POST", "/api/single/enrich/sync", 422, json=wrong)
    assert refused["classification"]["status"] == "mismatch"


def test_an_answer_is_bought_once_and_bypass_buys_it_again(org: Organization, provider: LlmServer) -> None:
    schema = org.schema()
    for expected in (1, 1):
        org.messages(org.enrich(entity_data=ORION, schema_id=schema))
        assert sum(provider.paid.values()) == expected
    org.messages(org.enrich(entity_data=ORION, schema_id=schema, bypass_cache=True))
    assert sum(provider.paid.values()) == 2
    assert [record["cost_usd"] > 0 for record in org.records()] == [True, False, True]


def test_a_start_can_be_repeated_safely(org: Organization, provider: LlmServer) -> None:
    body = {"entity_data": ORION, "schema_id": org.schema(), "models": BOTH[:1]}
    headers = {"Idempotency-Key": "start-1"}
    first = org.call("POST", SINGLE, json=body, headers=headers)
    assert org.call("POST", SINGLE, json=body, headers=headers) == first
    other = {**body, "entity_data": {"name": "Vega"}}
    assert org.call("POST", SINGLE, 422, json=other, headers=headers)["code"] == "IDEMPOTENCY_MISMATCH"
    org.until(first["job_id"])
    assert sum(provider.paid.values()) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"entity_data": None}, "entity_data"),
        ({"schema_id": None}, "exactly one of schema_id and target_schema"),
        ({"target_schema": LAMPS}, "exactly one of schema_id and target_schema"),
        ({"models": ["gpt-4o"]}, "models[0]"),
        ({"models": ["openai::gpt-99"]}, "models[0]: openai has no model gpt-99"),
        ({"models": ["nobody::x"]}, "models[0]: the provider nobody is not known"),
        ({"strategy": "guess"}, "strategy"),
        ({"languages": ["English!"]}, "languages[0]"),
        ({"entity_data": {"country": "PT"}}, "entity_data needs a value for one of: name"),
        ({"schema_id": None, "target_schema": {"root": {}}}, "target_schema.root.properties"),
        ({"enable_web_search": True}, "enable_web_search"),
        ({"max_cost_usd": -1}, "max_cost_usd"),
    ],
)
def test_bad_input_names_the_field_and_nothing_is_spent(
    org: Organization, provider: LlmServer, change: dict[str, Any], told: str
) -> None:
    body = {"entity_data": ORION, "schema_id": org.schema(), "models": BOTH[:1], **change}
    answer = org.call("POST", SINGLE, 400, json={key: value for key, value in body.items() if value is not None})
    assert told in answer["detail"]
    assert isinstance(answer["detail"], str)
    assert not provider.calls
    assert org.call("GET", "/api/enrichment/jobs")["jobs"] == []


def test_batch_bodies_are_checked_too(org: Organization, provider: LlmServer) -> None:
    schema = org.schema()
    for change, told in (
        ({"entities": []}, "entities"),
        ({"entities": [{"name": "x"}, {}]}, "entities[1]"),
        ({"entities": [1]}, "entities[0]"),
        ({"entities": [{"name": "x"}], "selected_indices": [1]}, "selected_indices"),
    ):
        answer = org.call("POST", BATCH, 400, json={"schema_id": schema, "models": BOTH[:1], **change})
        assert told in answer["detail"]
    assert "is not valid JSON" in org.call("POST", BATCH, 400, content=b'{"entities": [')["detail"]
    missing = "9b0f3f7e-7c55-4f1c-9a8e-0f3f5f1f2a61"
    org.call("POST", BATCH, 404, json={"schema_id": missing, "entities": [{"name": "x"}], "models": BOTH[:1]})
    assert not provider.calls


def test_another_organisation_and_nobody_see_nothing(
    system: EmbeddedStack, org: Organization, provider: LlmServer
) -> None:
    schema = org.schema()
    job = org.enrich(entity_data=ORION, schema_id=schema)
    record = org.messages(job)[-1]["result"]["record_id"]
    other = organization(system.api_url)
    for method, path in (
        ("GET", f"/api/llm/stream/{job}"), ("POST", f"/api/llm/cancel/{job}"), ("POST", f"/api/llm/continue/{job}"),
        ("GET", f"/api/enrichment/jobs/{job}/status"), ("GET", f"/api/records/{record}"),
        ("GET", f"/api/schema/saved/{schema}"), ("PATCH", f"/api/schema/saved/{schema}"),
        ("DELETE", f"/api/schema/saved/{schema}"),
    ):  # fmt: skip
        body = {"json": {"name": "mine"}} if method == "PATCH" else {}
        other.call(method, path, 404, **body)
        assert httpx.request(method, f"{system.api_url}{path}", **body).status_code == 401
    assert other.records() == []
    assert other.call("POST", "/api/records/batch-delete", json={"ids": [record]}) == {
        "deleted": 0, "not_found": [record],
    }  # fmt: skip
    for path in ("/api/enrichment/options", "/api/records", "/api/schema/saved"):
        assert httpx.get(f"{system.api_url}{path}").status_code == 401


def test_a_stream_resumes_where_it_broke_and_opens_by_token(
    system: EmbeddedStack, org: Organization, provider: LlmServer
) -> None:
    job = org.enrich(entity_data=ORION, schema_id=org.schema(), models=BOTH)
    everything = org.messages(job)
    numbers = [message["_id"] for message in everything]
    assert numbers == sorted(set(numbers))
    for place, number in enumerate(numbers):
        assert org.messages(job, after=number) == everything[place + 1 :]
    token = org.call("POST", f"/v1/jobs/{job}/stream-token")["token"]
    answer = httpx.get(f"{system.api_url}/api/llm/stream/{job}", params={"token": token, "last_event_id": numbers[-2]})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith(": stream\nretry: 3000\n\n") or answer.text.startswith("retry: 3000")
    assert answer.text.count("data: ") == 1


def test_options_name_models_languages_and_strategies(org: Organization) -> None:
    found = org.call("GET", "/api/enrichment/options")
    models = {model["key"]: model for model in found["models"]}
    assert models["openai::gpt-4o"]["input_price"] == 2.5
    assert models["openai::gpt-4o"]["is_available"]
    assert "local::smollm2-135m-instruct" in models
    assert found["languages"]["pt"] == "Portuguese"
    assert {one["name"] for one in found["strategies"]} == {"single_pass", "expert_domains", "multi_expertise", "auto"}
    assert all(value is not None for model in found["models"] for value in model.values())


def test_an_estimate_and_a_cap(org: Organization, provider: LlmServer) -> None:
    schema = org.schema()
    body = {"entities": [{"name": f"firm {n}"} for n in range(4)], "schema_id": schema, "models": BOTH[:1]}
    found = org.call("POST", "/api/enrichment/estimate", json=body)
    assert found["calls"] == 4
    assert 0 < found["cost_usd"]["low"] < found["cost_usd"]["expected"] < found["cost_usd"]["high"]
    assert not provider.calls
    each = found["cost_usd"]["expected"] / 4
    assert org.call("POST", BATCH, 402, json={**body, "max_cost_usd": each / 2})["code"] == "cost_limit_exceeded"
    # A request sets aside the most that it can cost, and that is more than it is expected to.
    refused = org.call("POST", BATCH, 402, json={**body, "max_cost_usd": each * 1.01})
    assert "the first request alone can take" in refused["detail"]
    needed = float(refused["detail"].split("can take ")[1].split()[0]) + 1e-6
    # What the provider is paid here for each, and room for a last request behind three of them.
    paid = (100 * 2.5 + 20 * 10) / 1_000_000
    cap = needed + paid * 1.5
    messages = org.messages(org.enrich(BATCH, **{**body, "max_cost_usd": cap}))
    skipped = of(messages, "entity_skipped")
    assert {one["code"] for one in skipped} == {"insufficient_credits"}
    assert 1 <= len(skipped) < 4
    spent = org.call("GET", f"/api/enrichment/jobs/{messages[0]['job_id']}/status")["cost_usd"]
    assert spent == pytest.approx(paid * (4 - len(skipped))) and spent <= cap


def test_the_seeds_own_python_example(system: EmbeddedStack, org: Organization, provider: LlmServer) -> None:
    schema_id = org.schema()
    program = SEED_PROGRAM.format(base=system.api_url, key=org.key)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["name"] == "Moderna Inc"
    assert schema_id


def test_the_seeds_own_curl_example(system: EmbeddedStack, org: Organization, provider: LlmServer) -> None:
    program = f"""
BASE="{system.api_url}"; KEY="{org.key}"
JOB_ID=$(curl -s -X POST \\
  -H "X-API-Key: $KEY" \\
  -H "Content-Type: application/json" \\
  "$BASE/api/enrichment/batch/start" \\
  -d '{{
    "entities": [
      {{"name": "Pfizer Inc", "country": "US"}},
      {{"name": "Roche", "country": "CH"}}
    ],
    "schema_id": "{org.schema()}",
    "models": ["anthropic::claude-sonnet-4-5-20250514", "openai::gpt-4o"],
    "strategy": "multi_expertise",
    "arbitration_model": "anthropic::claude-sonnet-4-5-20250514"
  }}' | sed -E 's/.*"job_id":"([^"]*)".*/\\1/')
curl -s -N -H "X-API-Key: $KEY" "$BASE/api/llm/stream/$JOB_ID"
curl -s -H "X-API-Key: $KEY" "$BASE/api/records?type=enrichment&page_size=10"
"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=90, check=True)
    *stream, records = done.stdout.strip().splitlines()
    told = [json.loads(line[6:]) for line in stream if line.startswith("data: ")]
    assert told[-1]["type"] == "completed"
    assert told[-1]["status"] == "completed"
    assert len(of(told, "fusion_completed")) == 2
    assert len(json.loads(records)["records"]) == 4
