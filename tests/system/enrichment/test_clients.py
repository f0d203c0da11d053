"""The requests of the public n8n nodes and of the Make app, with the members of the answers that they read.

Not replayed: generating a sample (both: `POST /api/schema/sample/generate/sync`), the trigger of n8n (`GET`, `POST`,
`DELETE /api/schemas/{id}/subscriptions`), and what is outside of this API: databases, deltas and their sync.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.support.builders import Organization
from tests.support.llm_server import TOKENS_IN, TOKENS_OUT, Fault, LlmServer
from tests.support.replays import N8N, Replay, filled, missing
from tests.support.seed import SEED_PROGRAM
from towpath.runtime.embedded import EmbeddedStack

GPT, HAIKU, GEMINI = "openai::gpt-4o", "anthropic::claude-haiku-4-5", "google::gemini-2.5-pro"
ORION = {"name": "Orion Lighting", "country": "PT"}

LISTED = "id type model_composite_key model_name structured_output saved_schema_id strategy job_id job_label cancelled"
RECORD = f"{LISTED} prompts[].key prompts[].processing_time_ms metrics.cost_usd validation_errors created_at"
MODELS = (
    "models[].key models[].provider models[].model models[].is_available languages.en strategies[].name"
    " strategies[].description organization_name api_key_name api_key_role total_companies"
    " default_models.enrichment.key default_models.enrichment.display_name default_models.schema_generation.key"
    " default_models.sample_generation.key default_models.enrichment.pinned profile_limits.max_languages"
    " profile_limits.max_models_per_enrichment"
)
SCHEMAS = "schemas[].id schemas[].name schemas[].tags schemas[].is_pinned schemas[].created_at schemas[].updated_at"
SCHEMA = "id name schema_content.root.properties.name.identifying"
MERGED = (
    "success merged_result.name record_id cost_usd input_tokens output_tokens processing_time_ms error_message"
    " validation_warnings conflict_report.total_fields conflict_report.agreed_fields conflict_report.conflicted_fields"
    " conflict_report.conflicts[].path"
)
GENERATED = (
    "success model schema.root.properties.name schema_id suggestions property_count sample_property_count"
    " expertise_count record_id cost_usd input_tokens output_tokens processing_time_ms"
)
ATTACHED = "[].id [].filename [].media_type [].size_bytes [].extraction_kind"
SYNC = (
    "job_id success is_fused result.name record_id cost_usd input_tokens output_tokens processing_time_ms failed_models"
)
PER_MODEL = (
    " per_model_results[].model per_model_results[].success per_model_results[].partial_success"
    " per_model_results[].result per_model_results[].error_message per_model_results[].error_code"
    " per_model_results[].record_id per_model_results[].cost_usd per_model_results[].input_tokens"
    " per_model_results[].output_tokens per_model_results[].processing_time_ms per_model_results[].cancelled"
)
MAKE_ENRICH = {
    "entity_data": ORION, "schema_id": "{schema}", "models": [GPT], "languages": ["en"], "strategy": "single_pass",
    "classification_model": None, "arbitration_model": None, "enable_web_search": False, "timeout_seconds": 300,
}  # fmt: skip
FILE = {"files": ("note.txt", b"Orion was founded in 1998.", "text/plain")}

REPLAYS = [
    Replay("n8n", "credential test", "GET", "/api/enrichment/options", "models[].key"),
    *(
        Replay("n8n", f"load options: {name}", "GET", "/api/enrichment/options", MODELS, headers=N8N)
        for name in (
            "models", "classification models", "arbitration models", "web search", "response schema", "strict",
            "languages", "strategies", "schema generation models",
        )
    ),
    Replay("n8n", "load options: schemas", "GET", "/api/schema/saved", SCHEMAS, headers=N8N),
    Replay("n8n", "get options", "GET", "/api/enrichment/options", MODELS, headers=N8N),
    Replay("n8n", "list schemas", "GET", "/api/schema/saved", SCHEMAS, headers=N8N),
    Replay("n8n", "get schema details", "GET", "/api/schema/saved/{schema}", SCHEMA, headers=N8N),
    Replay("n8n", "list records", "GET", "/api/records", "records[].id records[].entity_name", headers=N8N,
           query={"limit": "20", "type": "enrichment", "success": "true"}),
    Replay("n8n", "get record", "GET", "/api/records/{first}", RECORD, headers=N8N),
    Replay("n8n", "merge results", "POST", "/api/fusion/merge", MERGED, {"result_ids": "{results}"}, headers=N8N),
    Replay("n8n", "merge results with an arbiter", "POST", "/api/fusion/merge", MERGED,
           {"result_ids": "{results}", "arbitration_model": GEMINI}, headers=N8N),
    Replay("n8n", "add attachment", "POST", "/api/attachments", ATTACHED, files=FILE, headers=N8N),
    Replay("n8n", "delete attachment", "DELETE", "/api/attachments/{attachment}", "", headers=N8N),
    Replay("n8n", "generate schema", "POST", "/api/schema/generate/sync", GENERATED, {
        "entity_samples": [{"name": "Orion", "founded": 1998}, {"name": "Vega", "founded": 2004}], "model": "auto",
        "generate_semantic_ids": False, "sample_commonality_threshold": 0.5, "timeout_seconds": 300,
        "generation_strategy": "single_pass", "extra_instructions": "Call it a lamp maker.",
    }, headers=N8N),
    Replay("Make", "connection", "GET", "/api/enrichment/options", "organization_name api_key_name"),
    Replay("Make", "get options", "GET", "/api/enrichment/options", MODELS),
    Replay("Make", "list schemas", "GET", "/api/schema/saved", SCHEMAS),
    Replay("Make", "get schema details", "GET", "/api/schema/saved/{schema}", SCHEMA),
    Replay("Make", "enrich entity", "POST", "/api/single/enrich/sync", f"{SYNC} model", MAKE_ENRICH),
    Replay("Make", "enrich entity: fused, with all that can be asked for", "POST", "/api/single/enrich/sync",
           f"{SYNC} source_models fusion.agreed_fields fusion.conflicted_fields fusion.total_fields"
           f" profile_limits.max_languages{PER_MODEL}",
           {**MAKE_ENRICH, "models": [GPT, HAIKU], "arbitration_model": GEMINI, "include_per_model_results": True,
            "include_profile_limits": True}),
    Replay("Make", "enrich entity: fields left empty", "POST", "/api/single/enrich/sync", SYNC,
           {**MAKE_ENRICH, "models": None, "languages": None, "strategy": "", "classification_model": "",
            "arbitration_model": "", "attachment_ids": None, "enable_response_schema": None}),
    Replay("Make", "list records", "GET", "/api/records", " ".join(f"records[].{name}" for name in LISTED.split()),
           query={"limit": "20", "type": "", "success": "", "search": ""}),
    Replay("Make", "get record", "GET", "/api/records/{first}", RECORD),
    Replay("Make", "merge results", "POST", "/api/fusion/merge", MERGED,
           {"result_ids": "{results}", "arbitration_model": None}),
    Replay("Make", "upload attachment", "POST", "/api/attachments", ATTACHED, files=FILE),
    Replay("Make", "delete attachment", "DELETE", "/api/attachments/{other_attachment}", ""),
    Replay("Make", "generate schema", "POST", "/api/schema/generate/sync", GENERATED, {
        "entity_samples": {"name": "Orion", "founded": 1998}, "model": "auto", "generation_strategy": None,
        "generate_semantic_ids": False, "sample_commonality_threshold": 0.5, "extra_instructions": None,
        "timeout_seconds": 300,
    }),
]  # fmt: skip


@pytest.fixture
def differing(provider: LlmServer) -> LlmServer:
    """Two models that differ on a field."""
    founded = {"gpt-4o": 1998, "claude-haiku-4-5": 2000}
    provider.answer = lambda model, _prompt, form: (
        {"founded": founded.get(model, 1998)} if "founded" in form["properties"] else None
    )
    return provider


def test_every_request_of_the_n8n_nodes_and_the_make_app_is_answered_with_what_they_read(
    org: Organization, differing: LlmServer
) -> None:
    schema = org.schema()
    done = org.messages(org.enrich(entity_data=ORION, schema_id=schema, models=[GPT, HAIKU]))
    results = [one["record_id"] for one in done if one["type"] == "model_completed"]
    attached = [org.call("POST", "/api/attachments", files=FILE)[0]["id"] for _ in range(2)]
    made = {
        "schema": schema, "results": results, "first": results[0],
        "attachment": attached[0], "other_attachment": attached[1],
    }  # fmt: skip

    for replay in REPLAYS:
        options: dict[str, Any] = {"headers": dict(replay.headers)}
        if replay.body is not None:
            options["json"] = filled(replay.body, made)
        if replay.query:
            options["params"] = dict(replay.query)
        if replay.files is not None:
            options["files"] = replay.files
        answer = org.http.request(replay.method, filled(replay.path, made), **options)
        assert answer.status_code == 200, f"{replay}: {answer.status_code} {answer.text[:500]}"
        assert missing(answer.json(), replay.reads) == [], f"{replay}: {answer.text[:2000]}"
        assert not answer.headers.get("Warning"), f"{replay}: {answer.headers['Warning']}"


COMPLETED = (
    "model success partial_success cancelled result record_id cost_usd input_tokens output_tokens processing_time_ms"
    " error_message error_code expertise_breakdown[].processing_time_ms expertise_breakdown[].error_code"
)
FUSED = (
    "success merged_result.name record_id cost_usd input_tokens output_tokens processing_time_ms error_message"
    " conflict_report.agreed_fields conflict_report.conflicted_fields conflict_report.total_fields"
)
ENTITY = (
    "entity_index entity_label success total_cost_usd total_processing_time_ms results[].model results[].success"
    " results[].result results[].record_id results[].cost_usd results[].error_code"
)
DOMAIN = "model expertise_key cost_usd input_tokens output_tokens processing_time_ms error_code"


def n8n_body(schema: str, **more: Any) -> dict[str, Any]:
    """The body of an enrichment as the nodes send it."""
    return {
        "schema_id": schema, "models": ["auto"], "languages": ["en"], "strategy": "auto",
        "enable_response_schema": True, "enable_strict_structured_output": False, **more,
    }  # fmt: skip


def of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


@pytest.mark.parametrize("advanced", [False, True])
@pytest.mark.parametrize("batch", [False, True])
def test_the_n8n_nodes_enrich_and_read_the_stream(
    org: Organization, differing: LlmServer, batch: bool, advanced: bool
) -> None:
    uploaded = org.call("POST", "/api/attachments", files=FILE, headers=N8N)
    more: dict[str, Any] = {"attachment_ids": [one["id"] for one in uploaded]}
    if advanced:
        more |= {"models": [GPT, HAIKU], "strategy": "multi_expertise", "arbitration_model": GEMINI,
                 "enable_strict_structured_output": True}  # fmt: skip
    entities = {"entities": [ORION, {"name": "Vega"}]} if batch else {"entity_data": ORION}
    path = "/api/batch/start" if batch else "/api/single/enrich/stream"
    started = org.call("POST", path, json=n8n_body(org.schema(), **more, **entities), headers=N8N)
    assert missing(started, "job_id message total" if batch else "job_id message") == []

    messages = org.messages(started["job_id"])
    org.call("DELETE", f"/api/attachments/{uploaded[0]['id']}", headers=N8N)
    reads = [("model_completed", COMPLETED)]
    reads += [("fusion_completed", FUSED), ("expertise_completed", DOMAIN)] if advanced else []
    reads += [("entity_completed", ENTITY)] if batch else []
    for kind, members in reads:
        told = of(messages, kind)
        assert told, kind
        assert [missing(one, members) for one in told] == [[]] * len(told), kind
    assert messages[-1]["event"] == "completed"
    assert org.records()[0]["origin"] == "n8n"


def test_the_n8n_nodes_cancel_a_job_that_waits_for_a_person(org: Organization, provider: LlmServer) -> None:
    provider.answer = lambda _model, _prompt, form: (
        {"status": "mismatch", "confidence": 0.9, "reasoning": "it sells bread", "entity_description": "a bakery",
         "alternative_interpretations": ["a bakery", "a mill"]}
        if "confidence" in form["properties"] else None
    )  # fmt: skip
    body = n8n_body(org.schema(), entity_data=ORION, classification_model=HAIKU)
    job = org.call("POST", "/api/single/enrich/stream", json=body, headers=N8N)["job_id"]
    org.until(job, "PAUSED")
    org.call("POST", f"/api/llm/cancel/{job}", headers=N8N)
    messages = org.messages(job)
    paused = of(messages, "classification_mismatch_pause")[0]
    assert missing(paused, "classification.status classification.entity_description classification.reasoning") == []
    assert paused["questions"][0]["options"][1] == {"id": "a mill", "label": "a mill"}
    assert [one["event"] for one in messages[-2:]] == ["cancelled", "completed"]


def pause_of(org: Organization, job: str) -> dict[str, Any]:
    """The event with which a job began to wait for a person."""
    with org.http.stream("GET", f"/api/llm/stream/{job}") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: ") and "classification_mismatch_pause" in line:
                found: dict[str, Any] = json.loads(line[6:])
                return found
    raise AssertionError("it does not wait")


def test_options_that_a_person_has_chosen_reach_the_prompt(org: Organization, provider: LlmServer) -> None:
    provider.answer = lambda _model, _prompt, form: (
        {"status": "unknown", "confidence": 0.5, "reasoning": "two are meant", "entity_description": "?",
         "alternative_interpretations": ["a watch brand"]}
        if "confidence" in form["properties"] else None
    )  # fmt: skip
    job = org.enrich(entity_data=ORION, schema_id=org.schema(), classification_model=HAIKU)
    org.until(job, "PAUSED")
    question = pause_of(org, job)["questions"][0]
    answers = {question["id"]: {"option_ids": [question["options"][0]["id"]], "text": "of Lisbon"}}
    org.call("POST", f"/api/llm/continue/{job}", json={"answers": answers})
    assert org.until(job)["state"] == "COMPLETED"
    assert any("a watch brand; of Lisbon" in prompt for _, prompt in provider.paid)


@pytest.mark.parametrize("batch", [False, True])
def test_when_every_model_fails_the_nodes_are_told_why(org: Organization, provider: LlmServer, batch: bool) -> None:
    provider.away = {"gpt-4o": Fault(refusal="I do not speak of Orion.")}
    entities = {"entities": [ORION, {"name": "Vega"}]} if batch else {"entity_data": ORION}
    path = "/api/batch/start" if batch else "/api/single/enrich/stream"
    job = org.call("POST", path, json=n8n_body(org.schema(), models=[GPT], **entities))["job_id"]
    messages = org.messages(job)
    told = of(messages, "model_completed")
    assert {(one["success"], one["error_code"]) for one in told} == {(False, "model_refused")}
    assert all("I do not speak of Orion." in one["error_message"] for one in told)
    last = messages[-1]
    assert (last["total_models"], last["completed_models"]) == (1, 1)
    if batch:
        assert {one["results"][0]["error_code"] for one in of(messages, "entity_completed")} == {"model_refused"}
        assert "I do not speak of Orion." in last["error_message"]
    else:
        assert of(messages, "error")[0]["code"] == "model_refused"
        assert last["result"]["results"][0]["error_code"] == "model_refused"
    failed = org.call("POST", "/api/single/enrich/sync", 502, json={
        "entity_data": {"name": "Lyra"}, "schema_id": org.schema(), "models": [GPT],
    })  # fmt: skip
    assert failed["code"] == "model_refused"
    assert "I do not speak of Orion." in failed["detail"]


def test_the_sum_of_a_single_enrichment_is_told_at_its_end(org: Organization, provider: LlmServer) -> None:
    messages = org.messages(org.enrich(entity_data=ORION, schema_id=org.schema(), models=[GPT, HAIKU]))
    result = messages[-1]["result"]
    paid = sum(one["cost_usd"] for one in of(messages, "model_completed"))
    assert result["total_cost_usd"] == pytest.approx(paid)
    assert (result["input_tokens"], result["output_tokens"]) == (2 * TOKENS_IN, 2 * TOKENS_OUT)
    assert (messages[-1]["total_models"], messages[-1]["completed_models"]) == (2, 2)


def test_no_model_has_begun_on_an_entity_that_is_skipped(org: Organization, provider: LlmServer) -> None:
    provider.answer = lambda _model, _prompt, form: (
        {"status": "mismatch", "confidence": 0.97, "reasoning": "bread", "entity_description": "a bakery",
         "alternative_interpretations": []} if "confidence" in form["properties"] else None
    )  # fmt: skip
    body = {"entities": [ORION], "schema_id": org.schema(), "classification_model": HAIKU}
    messages = org.messages(org.enrich("/api/batch/start", **body))
    kinds = [one["type"] for one in messages]
    assert kinds[kinds.index("entity_started") :][:4] == [
        "entity_started", "classification_started", "classification_completed", "entity_skipped",
    ]  # fmt: skip
    assert "model_started" not in kinds
    assert of(messages, "batch_completed")[0]["stopped_early_reason"] is None


def test_totals_and_jobs_of_records_have_the_names_that_clients_know(org: Organization, provider: LlmServer) -> None:
    schema = org.schema()
    for name in ("Orion", "Vega", "Lyra"):
        org.messages(org.enrich(entity_data={"name": name}, schema_id=schema, models=[GPT]))
    totals = org.call("GET", "/api/records/stats")
    assert (totals["total_records"], totals["successful_records"], totals["failed_records"]) == (3, 3, 0)
    assert (totals["total_input_tokens"], totals["by_type"]) == (3 * TOKENS_IN, {"enrichment": 3})
    pages = [org.call("GET", f"/api/records/jobs?page={page}&page_size=2") for page in (1, 2, 3)]
    assert [len(page["jobs"]) for page in pages] == [2, 1, 0]
    assert {(page["total"], page["total_pages"]) for page in pages} == {(3, 2)}
    job = pages[0]["jobs"][0]
    assert (job["record_count"], job["success_count"], job["failed_count"]) == (1, 1, 0)
    assert missing(job, "first_created_at last_created_at total_cost_usd") == []

    record = org.call("GET", "/api/records?search=Orion")["records"][0]
    assert (record["saved_schema_id"], record["model_name"], record["prompt_count"]) == (schema, "gpt-4o", 1)
    assert record["schema_changed"] is False
    content = org.call("GET", f"/api/schema/saved/{schema}")["schema_content"]
    content["root"]["description"] = "A firm that makes lights"
    org.call("PATCH", f"/api/schema/saved/{schema}", json={"schema_content": content})
    assert org.call("GET", f"/api/records/{record['id']}")["schema_changed"] is True
    lines = org.http.get("/api/records/export").text.splitlines()
    assert all('"schema_changed":true' in line for line in lines)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"models": []}, "models"),
        ({"languages": ["xx"]}, "languages"),
        ({"languages": []}, "languages"),
        ({"entity_data": None}, "entity_data"),
        ({"enable_response_schema": "yes"}, "enable_response_schema"),
    ],
)
def test_what_is_empty_by_mistake_is_refused_before_anything_is_paid(
    org: Organization, provider: LlmServer, change: dict[str, Any], told: str
) -> None:
    body = {**n8n_body(org.schema(), entity_data=ORION), **change}
    assert told in org.call("POST", "/api/single/enrich/stream", 400, json=body)["detail"]
    assert not provider.calls


WATCH = """
import httpx
read = httpx.Response.iter_lines
def watched(self):
    for line in read(self):
        if line.startswith(": alive"):
            print("COMMENT", flush=True)
        yield line
httpx.Response.iter_lines = watched
"""
"""Tells the test of each comment that the seed's own program reads; the program stays word for word."""
COMMENTS = 3
"""So many are sent before a client without data for longer than its time-out would have given up."""


def test_the_seeds_python_waits_for_a_model_that_is_slower_than_its_time_out(
    system: EmbeddedStack, org: Organization, provider: LlmServer
) -> None:
    gate = threading.Event()
    provider.away = {"claude-sonnet-4-5-20250514": Fault(gate=gate)}
    org.schema()
    program = WATCH + SEED_PROGRAM.format(base=system.api_url, key=org.key)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        seen = 0
        lines = []
        for line in running.stdout:
            seen += line == "COMMENT\n"
            lines.append(line)
            if seen == COMMENTS:
                gate.set()
    assert running.returncode == 0
    assert seen >= COMMENTS
    assert "Moderna Inc" in "".join(lines)
