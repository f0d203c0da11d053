"""Schemas and records as their users call them."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import Any

import pytest

from tests.support.builders import LAMPS, Organization
from tests.support.llm_server import Fault, LlmServer
from tests.support.pdfs import pdf
from tests.support.source_server import source_server
from towpath.runtime.embedded import EmbeddedStack

MODELS = ["openai::gpt-4o"]


def test_a_schema_is_saved_listed_changed_and_keeps_its_versions(org: Organization) -> None:
    made = org.call("POST", "/api/schema/saved", json={"name": "Makers", "schema_content": LAMPS, "tags": ["a"]})
    assert made["input_contract"] == {"identifying_keys": ["name"], "preserve": ["name"], "array_item_keys": {}}
    assert (made["property_count"], made["version"]) == (3, 1)
    twin = org.call("POST", "/api/schema/saved", json={"name": "Makers", "schema_content": LAMPS, "is_pinned": True})
    assert twin["name"] == "Makers (2)"
    listed = org.call("GET", "/api/schema/saved")
    assert [one["name"] for one in listed["schemas"]] == ["Makers (2)", "Makers"]
    assert listed["total"] == 2

    path = f"/api/schema/saved/{made['id']}"
    plain = {"type": "object", "title": "Lamp", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}
    changed = org.call("PATCH", path, json={"schema_content": plain, "name": "Lamps"})
    assert (changed["version"], changed["property_count"], changed["name"]) == (2, 1, "Lamps")
    versions = org.call("GET", f"{path}/versions")["versions"]
    assert [one["version"] for one in versions] == [2, 1]
    assert org.call("DELETE", path)["deleted"]
    org.call("GET", path, 404)
    assert org.call("POST", f"{path}/restore")["name"] == "Lamps"
    assert org.call("GET", path)["schema_content"]["root"]["name"] == "Lamp"


def test_a_bad_schema_names_the_place_and_an_operator_may_not_save_one(org: Organization) -> None:
    bad = {"name": "x", "schema_content": {"root": {"properties": {"a": {"type": "texts"}}}}}
    assert "root.properties.a.type" in org.call("POST", "/api/schema/saved", 400, json=bad)["detail"]
    assert "schema_content is required" in org.call("POST", "/api/schema/saved", 400, json={"name": "x"})["detail"]
    key = org.call("POST", "/api/auth/api-keys", 201, json={"name": "op", "role": "operator"})["key"]
    answer = org.http.post(
        "/api/schema/saved",
        json={"name": "x", "schema_content": LAMPS},
        headers={"Authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 403


SAMPLES = [{"name": "Vega", "founded": 2004, "site": "https://vega.example"}, {"name": "Orion", "founded": None}]


def test_a_schema_from_samples_has_their_structure_and_the_models_words(org: Organization, provider: LlmServer) -> None:
    provider.answer = lambda *_: {"type_name": "Lamp maker", "type_description": "A firm that makes lamps."}
    job = org.call("POST", "/api/schema/generate/stream", json={"entity_samples": SAMPLES, "model": MODELS[0]})[
        "job_id"
    ]
    messages = org.messages(job)
    assert messages[-1]["type"] == "completed"
    result = messages[-1]["result"]
    assert result["schema"]["root"]["name"] == "Lamp maker"
    assert result["schema"]["root"]["properties"]["site"]["format"] == "uri"
    assert org.call("GET", f"/api/schema/saved/{result['schema_id']}")["name"] == "Lamp maker"
    assert list(result["schema"]["root"]["properties"]) == ["name", "founded", "site"]

    provider.faults = [Fault(status=400)]
    silent = org.call(
        "POST", "/api/schema/generate/sync",
        json={"entity_samples": SAMPLES[0], "model": MODELS[0], "save_schema": False},
    )  # fmt: skip
    assert silent["schema_id"] is None
    assert silent["schema"]["root"]["properties"]["founded"]["description"] == "founded"
    assert "made of the names" in silent["suggestions"][0]
    mixed = {"entity_samples": [{"a": 1}, {"b": 2}]}
    assert "entity_samples" in org.call("POST", "/api/schema/generate/stream", 400, json=mixed)["detail"]


def test_a_schema_is_changed_by_words_plain_ones_without_the_model(org: Organization, provider: LlmServer) -> None:
    schema = org.schema()
    path = f"/api/schema/saved/{schema}/prompt"
    done = org.call("POST", path, json={"prompt": "add the head office city; remove slogan", "model": MODELS[0]})
    assert list(done["schema_content"]["root"]["properties"]) == ["name", "founded", "head_office_city"]

    provider.answer = lambda _model, _prompt, form: (
        {"edits": [{"operation": "rename", "field": "founded", "new_name": "year of founding", "type": None,
                    "flag": None, "description": None}]} if "edits" in form["properties"] else {}
    )  # fmt: skip
    body = {"prompt": "call the founding thing better", "model": MODELS[0]}
    job = org.call("POST", f"{path}/stream", json=body)["job_id"]
    assert org.messages(job)[-1]["status"] == "completed"
    now = org.call("GET", f"/api/schema/saved/{schema}")
    assert list(now["schema_content"]["root"]["properties"]) == ["name", "year_of_founding", "head_office_city"]
    assert now["version"] == 3
    failed = org.call("POST", f"{path}/stream", json={"prompt": "remove wings", "model": MODELS[0]})["job_id"]
    messages = org.messages(failed)
    assert [message["type"] for message in messages[-3:]] == ["error", "failed", "completed"]
    assert "no field wings" in messages[-3]["error_message"]


def test_the_embedded_model_enriches_and_words_a_schema(org: Organization) -> None:
    local = "local::smollm2-135m-instruct"
    messages = org.messages(org.enrich(entity_data={"name": "Orion"}, schema_id=org.schema(), models=[local]))
    assert messages[-1]["status"] == "completed", messages[-1]
    result = messages[-1]["result"]["results"][0]["result"]
    assert result["name"] == "Orion"
    assert set(result) == {"name", "founded", "slogan"}
    made = org.call("POST", "/api/schema/generate/sync", json={"entity_samples": SAMPLES, "model": local})
    assert all(spec["description"] for spec in made["schema"]["root"]["properties"].values())


def several(org: Organization) -> tuple[str, list[dict[str, Any]]]:
    entities = [{"name": name} for name in ("Orion", "=cmd()", "Lyra")]
    job = org.enrich("/api/enrichment/batch/start", entities=entities, schema_id=org.schema())
    org.messages(job)
    return job, org.records()


def test_records_are_filtered_paged_deleted_and_restored(org: Organization, provider: LlmServer) -> None:
    job, records = several(org)
    assert len(records) == 3
    page = org.call("GET", "/api/records", params={"page_size": 2, "page": 2, "sort_by": "entity_name"})
    assert (page["total"], page["total_pages"], page["page"], len(page["records"])) == (3, 2, 2, 1)
    assert [one["entity_name"] for one in org.records(search="lyr")] == ["Lyra"]
    assert org.records(search="50%") == []
    assert len(org.records(job_id=job, success=True, type="enrichment", model=MODELS[0], limit=100)) == 3
    assert org.records(model="openai::gpt-4o-mini") == []
    assert org.records(since="2999-01-01T00:00:00Z") == []
    entity = records[0]["entity_id"]
    assert [one["id"] for one in org.records(entity_id=entity)] == [records[0]["id"]]
    assert org.call("GET", "/api/records/stats")["successful"] == 3
    assert org.call("GET", "/api/records/jobs")["jobs"][0]["records"] == 3

    one = records[0]["id"]
    nobody = "4c5d6e7f-8091-4a2b-93c4-d5e6f7081920"
    gone = org.call("POST", "/api/records/batch-delete", json={"ids": [one, nobody]})
    assert gone == {"deleted": 1, "not_found": [nobody]}
    assert len(org.records()) == 2
    assert [row["is_deleted"] for row in org.records(include_deleted=True)].count(True) == 1
    assert org.call("POST", "/api/records/batch-restore", json={"ids": [one]}) == {"restored": 1, "not_found": []}
    assert org.call("POST", "/api/records/batch-delete", json={"ids": [one], "hard_delete": True})["deleted"] == 1
    org.call("GET", f"/api/records/{one}", 404)
    many = {"ids": [nobody] * 101}
    assert "at most 100" in org.call("POST", "/api/records/batch-delete", 400, json=many)["detail"]
    assert "page" in org.call("GET", "/api/records", 400, params={"page": 0})["detail"]


def test_records_are_exported_and_a_formula_stays_text(org: Organization, provider: LlmServer) -> None:
    several(org)
    lines = org.http.get("/api/records/export").text.strip().splitlines()
    assert sorted(json.loads(line)["entity_name"] for line in lines) == ["=cmd()", "Lyra", "Orion"]
    rows = list(csv.DictReader(io.StringIO(org.http.get("/api/records/export", params={"format": "csv"}).text)))
    assert sorted(row["entity_name"] for row in rows) == ["'=cmd()", "Lyra", "Orion"]
    assert json.loads(rows[0]["structured_output"])


def test_records_are_fused_by_hand(org: Organization, provider: LlmServer) -> None:
    values = iter([1998, 2000])
    provider.answer = lambda *_: {"founded": next(values), "slogan": "x"}
    schema = org.schema()
    ids = []
    for model in ("openai::gpt-4o", "google::gemini-2.5-pro"):
        job = org.enrich(entity_data={"name": "Orion"}, schema_id=schema, models=[model])
        ids.append(org.messages(job)[-1]["result"]["record_id"])
    merged = org.call("POST", "/api/fusion/merge", json={"result_ids": ids})
    assert merged["merged_result"]["founded"] == 1999
    assert merged["conflict_report"]["conflicted_fields"] == 1
    record = org.call("GET", f"/api/records/{merged['record_id']}")
    assert (record["type"], record["fusion_sources"]) == ("fusion", ids)
    streamed = org.call("POST", "/api/fusion/merge/stream", json={"result_ids": ids})["job_id"]
    assert [message["type"] for message in org.messages(streamed)] == [
        "fusion_started", "conflicts_detected", "fusion_completed", "completed",
    ]  # fmt: skip
    assert "result_ids" in org.call("POST", "/api/fusion/merge", 400, json={"result_ids": ids[:1]})["detail"]
    assert "two different" in org.call("POST", "/api/fusion/merge", 400, json={"result_ids": ids[:1] * 2})["detail"]
    provider.reset()
    nobody = "4c5d6e7f-8091-4a2b-93c4-d5e6f7081920"
    org.call("POST", "/api/fusion/merge", 404, json={"result_ids": [ids[0], nobody]})
    other = org.schema("Other", {"root": {"properties": {"name": {"type": "string"}}}})
    job = org.enrich(entity_data={"name": "Orion"}, schema_id=other)
    foreign = org.messages(job)[-1]["result"]["record_id"]
    told = org.call("POST", "/api/fusion/merge", 400, json={"result_ids": [ids[0], foreign]})["detail"]
    assert "different schemas" in told


def test_attachments_are_read_and_shown_to_the_model(org: Organization, provider: LlmServer) -> None:
    files = [
        ("files", ("a.txt", b"Founded in 1998 in Porto", "text/plain")),
        ("files", ("b.pdf", pdf(["Lamps since then"]), "application/pdf")),
    ]
    made = org.call("POST", "/api/attachments", files=files)
    assert [(one["filename"], one["mode"]) for one in made] == [("a.txt", "text"), ("b.pdf", "text")]
    picture = {"filename": "c.png", "content_base64": base64.b64encode(b"\x89PNG").decode(), "media_type": "image/png"}
    image = org.call("POST", "/api/attachments/base64", json=picture)
    assert image["mode"] == "image"
    ids = [one["id"] for one in (*made, image)]
    org.messages(org.enrich(entity_data={"name": "Orion"}, schema_id=org.schema(), attachment_ids=ids))
    shown = json.dumps(provider.calls[-1])
    for part in ("Founded in 1998 in Porto", "Lamps since then", "data:image/png;base64"):
        assert part in shown
    assert org.call("DELETE", f"/api/attachments/{ids[0]}")["deleted"]
    body = {"entity_data": {"name": "Orion"}, "schema_id": org.schema(), "models": MODELS, "attachment_ids": ids}
    org.call("POST", "/api/single/enrich/stream", 404, json=body)
    bad = {"filename": "x", "content_base64": "###"}
    assert "content_base64" in org.call("POST", "/api/attachments/base64", 400, json=bad)["detail"]
    broken = [("files", ("x.pdf", b"%PDF-1.7 nothing", "application/pdf"))]
    assert "x.pdf" in org.call("POST", "/api/attachments", 400, files=broken)["detail"]


@pytest.mark.parametrize("auth", ["none", "bearer", "api_key", "basic"])
def test_entities_are_read_from_a_url(system: EmbeddedStack, org: Organization, auth: str) -> None:
    needed = {
        "none": None,
        "bearer": ("authorization", "Bearer t0k3n"),
        "api_key": ("x-crm-key", "t0k3n"),
        "basic": ("authorization", "Basic " + base64.b64encode(b"ada:pw").decode()),
    }[auth]
    given = {
        "auth_type": auth, "bearer_token": "t0k3n", "api_key_header": "X-Crm-Key", "api_key_value": "t0k3n",
        "basic_username": "ada", "basic_password": "pw",
    }  # fmt: skip
    with source_server(needed=needed) as url:
        found = org.call("POST", "/api/enrichment/batch/fetch", json={"url": f"{url}/list", "auth": given})
        assert (found["entities"], found["total"]) == ([{"name": "Vega Lamps"}], 1)
        assert org.call("POST", "/api/batch/fetch", json={"url": f"{url}/wrapped", "auth": given})["total"] == 1
        for path, status in (("/text", 400), ("/number", 400), ("/broken", 502), ("/missing", 502)):
            told = org.call("POST", "/api/batch/fetch", status, json={"url": f"{url}{path}", "auth": given})
            assert told["detail"].startswith("url")
    for url in ("ftp://example.com/x", "http://10.0.0.1/x", "http://169.254.169.254/x", "nonsense"):
        assert "url" in org.call("POST", "/api/batch/fetch", 400, json={"url": url})["detail"]
    missing = {"url": "http://127.0.0.1:9/", "auth": {"auth_type": "bearer"}}
    assert "auth.bearer_token" in org.call("POST", "/api/batch/fetch", 400, json=missing)["detail"]
