"""Extraction as its users see it, over real documents and a loopback provider."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.batch_server import BatchLlmServer
from tests.support.builders import Organization, organization
from tests.support.extraction import FIELDS, NOTE, SCHEMA, extracted, note_pdf, poll, scan, send, sheet_of_lines
from tests.support.llm_server import Fault, LlmServer
from tests.support.pdfs import Sheet, pdf_of
from tests.support.source_server import source_server
from towpath.llm.types import LOCAL_LLM
from towpath.runtime.embedded import EmbeddedStack

LLM = "openai::gpt-4o"
ANSWER = {"noteNumber": "88", "pallets": 4, "customer": "Orion Lamps", "date": "2026-04-11"}


def says(provider: LlmServer, answer: dict[str, Any]) -> None:
    """Let the provider give this answer."""
    provider.answer = lambda _model, _prompt, form: {k: v for k, v in answer.items() if k in form["properties"]}
    provider.whole = True


def test_a_pdf_becomes_pages_and_fields(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)

    started = send(org, note_pdf(2), schema=SCHEMA, llm=LLM, includeConfidence=True, metadata={"gate": 3})
    found = poll(org, started["jobId"])

    assert started["status"] == "PENDING"
    assert started["result"].endswith(f"/extract?jobId={started['jobId']}")
    assert found["status"] == "COMPLETE", found
    result = found["result"]
    assert result["extracted"] == FIELDS
    assert [page["page"] for page in result["ocr"]["pages"]] == [1, 2]
    assert "Pallets: 4" in result["ocr"]["pages"][0]["content"]
    assert result["ocr"]["pages"][0]["contentLength"] == len(result["ocr"]["pages"][0]["content"])
    assert result["ocr"]["fileName"] == "note.pdf"
    assert (result["inputTokens"], result["outputTokens"]) == (100, 20)
    assert min(result["confidence"]["extracted"].values()) > 0.9
    assert result["sources"]["noteNumber"]["page"] == 1
    assert len(result["sources"]["noteNumber"]["boxes"][0]) == 4
    assert (found["metadata"], found["pagesProcessed"], found["pagesTotal"]) == ({"gate": 3}, 2, 2)


def test_fields_come_in_the_order_of_the_schema(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    names = ["pallets", "noteNumber", "date", "customer"]
    backwards = {"type": "object", "properties": {name: SCHEMA["properties"][name] for name in names}}

    found = extracted(org, note_pdf(), schema=backwards, llm=LLM)

    assert list(found["result"]["extracted"]) == names


def test_what_a_model_makes_up_is_not_sure(org: Organization, provider: LlmServer) -> None:
    says(provider, {**ANSWER, "customer": "Vega Ltd"})

    found = extracted(org, note_pdf(), schema=SCHEMA, llm=LLM, includeConfidence=True)

    sure = found["result"]["confidence"]["extracted"]
    assert sure["customer"] <= 0.5
    assert sure["noteNumber"] > 0.9


def test_without_a_schema_there_are_pages_only(org: Organization, provider: LlmServer) -> None:
    found = extracted(org, note_pdf())

    assert "extracted" not in found["result"]
    assert not provider.calls


def test_the_embedded_model_is_led_by_the_layout(org: Organization) -> None:
    found = extracted(org, note_pdf(), schema=SCHEMA, llm=LOCAL_LLM, excludeOCRResult=True)

    assert found["result"]["extracted"] == FIELDS
    assert "ocr" not in found["result"]


def test_a_scan_is_read_by_sight_and_its_words_have_places(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)

    found = extracted(org, scan(), name="note.png", schema=SCHEMA, llm=LLM, includeConfidence=True)

    result = found["result"]
    assert result["extracted"]["noteNumber"] == "88"
    assert 0 < result["confidence"]["ocr"][0]["confidence"] <= 1
    box = result["sources"]["noteNumber"]["boxes"][0]
    assert 0 <= box[0] < box[2] <= 1


def test_pages_are_chosen(org: Organization, provider: LlmServer) -> None:
    found = extracted(org, note_pdf(5), pageRange=[4, 2])

    assert [page["page"] for page in found["result"]["ocr"]["pages"]] == [2, 4]


def test_properties_are_taken_page_by_page(org: Organization, provider: LlmServer) -> None:
    def answer(_model: str, prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        return {"lines": [prompt.split("says ")[1].split(maxsplit=1)[0]]} if "says " in prompt else {"lines": []}

    provider.answer, provider.whole = answer, True
    schema = {"type": "object", "properties": {"lines": {"type": "array", "items": {"type": "string"}}}}

    found = extracted(org, note_pdf(3), schema=schema, extractPerPage=["lines"], llm=LLM)

    assert found["result"]["extracted"] == {"lines": ["14", "21"]}
    assert len(provider.calls) == 3


def test_images_are_shown_to_a_model_that_sees(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)

    extracted(org, note_pdf(), schema=SCHEMA, llm=LLM, directImageExtraction=True)
    extracted(org, note_pdf(), schema=SCHEMA, llm=LLM, enableHybridExtraction=True)

    direct, hybrid = (str(call["messages"]) for call in provider.calls)
    assert "data:image/jpeg;base64," in direct
    assert "Pallets: 4" not in direct
    assert "data:image/jpeg;base64," in hybrid
    assert "Pallets: 4" in hybrid


def test_a_document_is_read_once_and_asked_for_once(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    first = extracted(org, note_pdf(), schema=SCHEMA, llm=LLM)

    second = extracted(org, note_pdf(), schema=SCHEMA, llm=LLM)
    anew = extracted(org, note_pdf(), schema=SCHEMA, llm=LLM, bypassCache=True)

    assert first["result"]["extracted"] == second["result"]["extracted"] == anew["result"]["extracted"]
    assert second["result"]["inputTokens"] == 0
    assert anew["result"]["inputTokens"] == 100
    assert len(provider.calls) == 2


def test_a_document_is_fetched_from_its_url(org: Organization, provider: LlmServer) -> None:
    with source_server() as url:
        body = {"documentUrl": f"{url}/text"}
        started = org.call("POST", "/extract", json=body)
        found = poll(org, started["jobId"])
        gone = poll(org, org.call("POST", "/extract", json={"url": f"{url}/nothing"})["jobId"])

    assert found["status"] == "COMPLETE", found
    assert found["result"]["ocr"]["pages"][0]["content"]
    assert gone["status"] == "ERROR"
    assert "cannot be fetched" in gone["error"]["message"]


def test_credentials_of_a_url_are_not_shown(org: Organization) -> None:
    body = {
        "url": "http://127.0.0.1:9/a.pdf?X-Signature=s3cret&page=2",
        "webhookSigningSecret": "hush",
        "webhookUrl": "http://127.0.0.1:9/",
    }

    job = org.call("POST", "/extract", json=body)["jobId"]

    shown = json.dumps(org.call("GET", f"/jobs/{job}"))
    assert "s3cret" not in shown
    assert "hush" not in shown
    assert "X-Signature=***&page=***" in shown
    org.call("POST", f"/jobs/{job}/cancel")


def test_a_passing_fault_of_the_source_reads_retry(org: Organization) -> None:
    with source_server() as url:
        job = org.call("POST", "/extract", json={"url": f"{url}/broken"})["jobId"]
        seen = set()
        ends = time.monotonic() + 30
        while "RETRY" not in seen and time.monotonic() < ends:
            seen.add(org.call("GET", "/extract", params={"jobId": job})["status"])
            time.sleep(0.02)

    assert "RETRY" in seen
    assert org.call("POST", f"/jobs/{job}/cancel")["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("locked.pdf", pdf_of([sheet_of_lines(["secret"])], password="x"), "DOCUMENT_ENCRYPTED"),
        ("torn.pdf", note_pdf()[:200], "DOCUMENT_DAMAGED"),
        ("huge.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00",
         None),
    ],
)  # fmt: skip
def test_a_poisoned_file_fails_its_job_and_nobody_else(
    org: Organization, provider: LlmServer, name: str, data: bytes, code: str | None
) -> None:
    found = poll(org, send(org, data, name=name)["jobId"])

    assert found["status"] == "ERROR"
    assert code is None or found["error"]["code"] == code
    assert extracted(org, note_pdf())["status"] == "COMPLETE"


def test_waiting_for_the_result_takes_one_call(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)

    found = send(org, note_pdf(), path="/extract/sync", schema=SCHEMA, llm=LLM)

    assert found["result"]["extracted"] == FIELDS
    assert found["status"] == "COMPLETE"
    failed = send(org, note_pdf()[:200], name="x.pdf", path="/extract/sync", expect=422)
    assert failed["code"] == "DOCUMENT_DAMAGED"
    refused = send(org, note_pdf(), path="/extract/sync", expect=400, holdForReview=True)
    assert "holdForReview" in refused["detail"]


def test_a_model_that_refuses_ends_the_job_and_a_retry_keeps_the_pages(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    provider.faults = [Fault(status=400, message="no")]
    job = send(org, note_pdf(3), schema=SCHEMA, llm=LLM)["jobId"]
    failed = poll(org, job)
    assert failed["error"]["code"] == "MODEL_ERROR"
    assert failed["pagesProcessed"] == 3
    org.call("POST", f"/jobs/{job}/review", 409, json={"decision": "APPROVED"})

    org.call("POST", f"/jobs/{job}/retry")
    found = poll(org, job)

    assert found["status"] == "COMPLETE"
    assert found["result"]["extracted"] == FIELDS
    entry = org.call("GET", f"/jobs/{job}")
    assert (entry["attempt"], entry["pagesProcessed"]) == (2, 3)
    org.call("POST", f"/jobs/{job}/retry", 409)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"schema": {"type": "string"}}, "schema"),
        ({"schema": {"type": "object", "properties": {"a": {"type": "nothing"}}}}, "schema"),
        ({"schema": {"type": "object", "properties": {"a": {"$ref": "http://x/y"}}}}, "$ref"),
        ({"pageRange": [0]}, "pageRange"),
        ({"templateId": str(uuid4())}, "templateId"),
        ({"webhookId": str(uuid4())}, "webhookId"),
        ({"extractPerPage": ["x"], "schema": SCHEMA}, "extractPerPage"),
        ({"reviewBelow": 2}, "reviewBelow"),
        ({"llm": "nobody::knows"}, "llm"),
        ({"directImageExtraction": True, "llm": LOCAL_LLM}, "directImageExtraction"),
    ],
)
def test_bad_input_names_what_is_wrong(org: Organization, fields: dict[str, Any], told: str) -> None:
    answer = send(org, note_pdf(), expect=400, **fields)

    assert told in answer["detail"]
    assert org.call("GET", "/jobs")["pagination"]["totalCount"] == 0


def test_one_document_is_needed_and_of_a_kind_that_is_read(org: Organization) -> None:
    assert "url" in org.call("POST", "/extract", 400, json={})["detail"]
    assert "only one" in send(org, note_pdf(), expect=400, url="http://127.0.0.1/x")["detail"]
    assert "10.0.0.1" in org.call("POST", "/extract", 400, json={"url": "http://10.0.0.1/x.pdf"})["detail"]
    assert send(org, b"\x7fELF" + b"\0" * 60, name="a.out", expect=415)["code"] == "UNSUPPORTED_FILE_TYPE"
    assert "JSON" in org.http.post("/extract", content=b"{").json()["detail"]
    org.call("GET", "/extract", 400)
    org.call("GET", "/extract", 404, params={"jobId": str(uuid4())})


def test_a_page_out_of_range_is_refused_or_fails_the_job_where_nobody_could_count(org: Organization) -> None:
    refused = send(org, note_pdf(), pageRange=[1, 7], expect=400)
    with source_server() as url:
        found = poll(org, org.call("POST", "/extract", json={"url": f"{url}/text", "pageRange": [7]})["jobId"])

    assert (refused["code"], found["error"]["code"]) == ("PAGE_OUT_OF_RANGE", "PAGE_OUT_OF_RANGE")
    assert "7" in refused["detail"]


def test_more_pages_than_are_read_are_refused(org: Organization) -> None:
    refused = send(org, pdf_of([Sheet("")] * 2_001), expect=413)

    assert "2001 pages" in refused["detail"]
    assert org.call("GET", "/jobs")["jobs"] == []


def test_the_same_request_again_gives_the_same_job(org: Organization) -> None:
    headers = {"Idempotency-Key": uuid4().hex}

    first = send(org, note_pdf(), headers=headers)
    second = send(org, note_pdf(), headers=headers)

    assert first == second
    send(org, note_pdf(2), headers=headers, expect=422)
    poll(org, first["jobId"])


def test_no_key_and_another_organizations_key(org: Organization, system: EmbeddedStack) -> None:
    job = send(org, note_pdf())["jobId"]
    poll(org, job)
    other = organization(system.api_url)
    paths = [("GET", f"/jobs/{job}"), ("POST", f"/jobs/{job}/cancel"), ("POST", f"/jobs/{job}/pause"),
             ("POST", f"/jobs/{job}/resume"), ("POST", f"/jobs/{job}/retry"), ("GET", f"/extract?jobId={job}"),
             ("GET", f"/annotations?jobId={job}")]  # fmt: skip
    for method, path in paths:
        other.call(method, path, 404)
    other.call("POST", f"/jobs/{job}/review", 404, json={"decision": "APPROVED"})
    other.call("POST", "/annotate", 404, json={"jobId": job, "annotatedData": {}})
    with httpx.Client(base_url=system.api_url) as nobody:
        paths += [("POST", "/extract"), ("GET", "/jobs"), ("GET", "/templates"), ("POST", "/annotate")]
        for method, path in paths:
            assert nobody.request(method, path).status_code == 401, path
    assert other.call("GET", "/jobs")["jobs"] == []


def test_a_paused_job_starts_no_page_and_goes_on(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    provider.faults = [Fault(hang=1.0)]
    job = send(org, note_pdf(), schema=SCHEMA, llm=LLM)["jobId"]

    org.call("POST", f"/jobs/{job}/pause")
    assert org.call("POST", f"/jobs/{job}/pause")["status"] == "PAUSED"

    assert org.call("POST", f"/jobs/{job}/resume")["status"] in {"IN_PROGRESS", "PENDING"}
    assert poll(org, job)["status"] == "COMPLETE"
    org.call("POST", f"/jobs/{job}/pause", 409)
    assert org.call("POST", f"/jobs/{job}/cancel")["status"] == "COMPLETE"


def test_templates_are_overridden_by_the_request(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    body = {"name": "delivery note", "schema": SCHEMA, "options": {"includeConfidence": True, "llm": LLM}}
    template = org.call("POST", "/templates", 201, json=body)["templateId"]

    job = send(org, note_pdf(), templateId=template, excludeOCRResult=True)["jobId"]
    found = poll(org, job)

    assert found["result"]["extracted"] == FIELDS
    assert "confidence" in found["result"]
    assert "ocr" not in found["result"]
    assert org.call("GET", f"/jobs/{job}")["templateId"] == template
    listed = org.call("GET", "/jobs", params={"templateId": template})
    assert [one["jobId"] for one in listed["jobs"]] == [job]
    changed = org.call("PUT", f"/templates/{template}", json={"name": "note", "options": {}})
    assert (changed["name"], changed["schema"]) == ("note", None)
    assert "options.x" in org.call("POST", "/templates", 400, json={"name": "x", "options": {"x": 1}})["detail"]
    org.call("DELETE", f"/templates/{template}", 204)
    org.call("GET", f"/templates/{template}", 404)


def test_a_document_is_classified(org: Organization, provider: LlmServer) -> None:
    options = [
        {"name": "delivery note", "examples": ["Delivery note, pallets, gate"]},
        {"name": "invoice", "examples": ["Invoice, amount due, VAT"]},
    ]
    made = org.call("POST", "/classification", 201, json={"name": "papers", "options": options})
    provider.answer = lambda _m, _p, form: {"option": "delivery note", "confidence": 0.9, "reasoning": "pallets"}
    provider.whole = True

    job = send(org, note_pdf(), path=f"/classification/{made['id']}/run")["jobId"]
    org.until(job)

    entry = org.call("GET", f"/jobs/{job}")
    assert entry["responseBody"] == {"option": "delivery note", "confidence": 0.9, "reasoning": "pallets"}
    assert org.call("GET", f"/classification/{made['id']}")["name"] == "papers"
    org.call("POST", "/classification", 400, json={"name": "x", "options": [options[0], options[0]]})


def test_every_kind_of_job_is_in_the_list(org: Organization, provider: LlmServer) -> None:
    org.index()
    batch = org.done([{"id": 1, "name": "Ada"}])
    job = send(org, note_pdf())["jobId"]
    poll(org, job)

    found = org.call("GET", "/jobs")

    assert [one["jobId"] for one in found["jobs"]] == [job, batch]
    assert found["pagination"] == {
        "currentPage": 1, "pageSize": 100, "totalCount": 2, "totalPages": 1, "nextPage": None, "previousPage": None,
    }  # fmt: skip
    first = found["jobs"][0]
    assert first["requestBody"]["file"]["sizeBytes"] == len(note_pdf())
    assert NOTE[0] in first["responseBody"]["ocr"]["pages"][0]["content"]
    assert [one["jobId"] for one in org.call("GET", "/jobs", params={"kind": "entity_batch"})["jobs"]] == [batch]
    assert org.call("GET", "/jobs", params={"status": "ERROR,CANCELLED"})["jobs"] == []
    beyond = org.call("GET", "/jobs", params={"page": 9, "size": 1})
    assert (beyond["jobs"], beyond["pagination"]["previousPage"]) == ([], 2)
    assert "requestBody" not in org.call("GET", "/jobs", params={"includeBodies": False})["jobs"][0]
    for wrong in ({"status": "DONE"}, {"page": 0}, {"size": 1001}, {"size": "x"}, {"reviewStatus": "MAYBE"}):
        assert org.call("GET", "/jobs", 400, params=wrong)["detail"]


def test_fields_and_classes_come_through_batches_at_half_the_price(
    org: Organization, provider: LlmServer, loopback: BatchLlmServer
) -> None:
    says(provider, ANSWER)
    live = extracted(org, note_pdf(), schema=SCHEMA, llm=LLM)

    started = send(org, note_pdf(), schema=SCHEMA, llm=LLM, execution="batch", bypassCache=True)
    found = poll(org, started["jobId"])

    assert found["status"] == "COMPLETE", found
    assert found["result"]["extracted"] == live["result"]["extracted"]
    assert len(provider.calls) == 1
    assert [len(batch.calls) for batch in loopback.batches] == [1]
    paid = [org.job(one["jobId"])["cost"]["usd"] for one in (started, live)]
    assert paid[0] == pytest.approx(paid[1] / 2)

    says(provider, {"option": "note", "confidence": 0.75, "reasoning": "as such"})
    options = [{"name": name, "examples": []} for name in ("note", "invoice")]
    made = org.call("POST", "/classification", 201, json={"name": "papers", "options": options})
    job = send(org, note_pdf(), path=f"/classification/{made['id']}/run", execution="batch")["jobId"]
    assert org.until(job)["result"]["option"] == "note"
    assert len(provider.calls) == 1
    assert [len(batch.calls) for batch in loopback.batches] == [1, 1]


def test_a_batch_whose_end_is_waited_for_is_refused(org: Organization) -> None:
    files = {"file": ("note.pdf", note_pdf(), "application/pdf")}
    answer = org.http.post("/extract/sync", files=files, data={"execution": "batch", "llm": LLM})
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].startswith("execution: batch")
