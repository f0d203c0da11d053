"""What an extraction did worse than it was asked to is told: in the job, its stream, its notice and its page."""

from __future__ import annotations

import json
from typing import Any

from tests.support.builders import Organization
from tests.support.extraction import NOTE, SCHEMA, note_pdf, poll, send, sheet_of_lines
from tests.support.llm_server import Fault, LlmServer
from tests.support.pdfs import pdf_of
from tests.support.receiver import Receiver
from towpath.documents.types import PageBody, PageContent, ReadMethod

SMALL, LARGE = "small::tiny", "openai::gpt-4o"
WANTED: dict[str, Any] = {
    "type": "object",
    "properties": {**SCHEMA["properties"], "vatNumber": {"type": "string"}},
    "required": ["noteNumber", "vatNumber"],
}


def codes(job: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {(one["code"], one.get("item")) for one in job["warnings"]}


def test_a_layout_that_answers_for_a_model_that_is_away_is_told_everywhere(
    org: Organization, provider: LlmServer, hook: Receiver, path: str
) -> None:
    provider.away = {"tiny": Fault(status=400, message="no such weights")}

    job = send(org, note_pdf(), schema=WANTED, llm=SMALL, webhookUrl=hook.url + path)["jobId"]
    found = poll(org, job)

    assert found["status"] == "COMPLETE"
    assert found["result"]["extracted"]["noteNumber"] == "88", "the layout says it"
    assert codes(found) == {("model_refused", None), ("REQUIRED_MISSING", "vatNumber")}
    assert "no such weights" in found["warnings"][0]["message"]
    view = org.job(job)
    assert view["warnings"] == found["warnings"]
    assert org.call("GET", f"/jobs/{job}")["warnings"] == found["warnings"]
    assert org.call("GET", "/jobs")["jobs"][0]["warnings"] == found["warnings"]
    assert json.loads(hook.wait(path, 1)[0].body)["warnings"] == found["warnings"]
    stream = org.http.get(f"/v1/jobs/{job}/events").text
    assert stream.count("event: job.warning") == 2


def test_a_large_model_that_leaves_a_required_field_open_is_told(org: Organization, provider: LlmServer) -> None:
    answer = {"noteNumber": "88", "pallets": 4, "vatNumber": None}
    provider.answer = lambda _model, _prompt, form: {k: v for k, v in answer.items() if k in form["properties"]}
    provider.whole = True

    found = poll(org, send(org, note_pdf(), schema=WANTED, llm=LARGE)["jobId"])

    assert codes(found) == {("REQUIRED_MISSING", "vatNumber")}


def test_what_is_whole_has_no_warning(org: Organization, provider: LlmServer) -> None:
    found = poll(org, send(org, note_pdf(), schema=SCHEMA, llm=LARGE)["jobId"])

    assert (found["status"], found["warnings"]) == ("COMPLETE", [])


def test_pages_that_a_small_model_is_not_shown_are_told(org: Organization, provider: LlmServer) -> None:
    long = [
        sheet_of_lines([*NOTE, *(f"line {line} of page {page} says this and that" for line in range(24))])
        for page in range(12)
    ]
    provider.answer = lambda _model, _prompt, form: {"vatNumber": None}

    found = poll(org, send(org, pdf_of(long), schema=WANTED, llm=SMALL)["jobId"])

    assert ("PAGES_LEFT_OUT", None) in codes(found)


def test_a_class_is_chosen_by_the_first_pages_and_says_so(org: Organization, provider: LlmServer) -> None:
    options = [{"name": "note", "examples": ["Pallets"]}, {"name": "invoice", "examples": ["Amount due"]}]
    made = org.call("POST", "/classification", 201, json={"name": "kinds", "options": options})
    path = f"/classification/{made['id']}/run"

    job = org.job(send(org, note_pdf(5), path=path)["jobId"])
    job = org.until(job["id"])

    assert [(one["code"], one["message"]) for one in job["warnings"]] == [
        ("PAGES_LEFT_OUT", "the class is chosen by the first 3 of 5 pages")
    ]


def test_a_page_that_is_cut_can_be_told_without_being_read() -> None:
    for cut in (True, False):
        page = PageContent(page=1, content='"truncated":true}', method=ReadMethod.TEXT, truncated=cut)
        assert PageBody.of(page.model_dump_json().encode()).truncated is cut
