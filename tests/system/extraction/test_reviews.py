"""Human review: asked for, held for, decided, corrected."""

from __future__ import annotations

import json
import time

from tests.support.builders import Organization
from tests.support.extraction import FIELDS, SCHEMA, extracted, note_pdf, poll, send
from tests.support.llm_server import LlmServer
from tests.support.receiver import receiver
from tests.system.extraction.test_extract import ANSWER, LLM, says


def test_a_review_is_asked_for_and_decided_with_a_correction(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    found = extracted(org, note_pdf(), schema=SCHEMA, llm=LLM, requireReview=True)
    job = found["jobId"]
    assert (found["status"], found["reviewStatus"]) == ("COMPLETE", "PENDING")
    waiting = org.call("GET", "/jobs", params={"reviewStatus": "PENDING"})["jobs"]
    assert [one["jobId"] for one in waiting] == [job]

    corrected = {**FIELDS, "pallets": 5}
    entry = org.call(
        "POST",
        f"/jobs/{job}/review",
        json={"decision": "APPROVED", "comment": "counted at the gate", "annotatedData": corrected},
    )

    assert (entry["status"], entry["reviewStatus"]) == ("COMPLETE", "APPROVED")
    notes = org.call("GET", "/annotations", params={"jobId": job})["annotations"]
    assert notes[0]["annotatedData"] == corrected
    assert notes[0]["changes"] == [{"path": "pallets", "from": 4, "to": 5}]
    history = org.call("GET", f"/jobs/{job}/review")
    assert [one["status"] for one in history["decisions"]] == ["PENDING", "APPROVED"]
    assert history["decisions"][1]["comment"] == "counted at the gate"
    org.call("POST", f"/jobs/{job}/review", 409, json={"decision": "REJECTED"})


def test_a_review_is_asked_for_only_where_it_is_doubtful(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    sure = extracted(org, note_pdf(), schema=SCHEMA, llm=LLM, reviewBelow=0.8)
    says(provider, {**ANSWER, "customer": "Vega Ltd"})
    doubtful = extracted(org, note_pdf(2), schema=SCHEMA, llm=LLM, reviewBelow=0.8)

    assert sure["reviewStatus"] is None
    assert doubtful["reviewStatus"] == "PENDING"
    org.call("POST", f"/jobs/{sure['jobId']}/review", 409, json={"decision": "APPROVED"})


def test_a_held_job_waits_and_goes_on_when_it_is_approved(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    job = send(org, note_pdf(), schema=SCHEMA, llm=LLM, holdForReview=True)["jobId"]
    held = poll(org, job, "PAUSED")
    assert held["result"]["extracted"] == FIELDS
    ends = time.monotonic() + 10
    while org.call("GET", f"/jobs/{job}")["reviewStatus"] != "PENDING":
        assert time.monotonic() < ends
    for path in (f"/jobs/{job}/resume", f"/v1/jobs/{job}/continue", f"/api/llm/continue/{job}"):
        assert "review" in org.call("POST", path, 409)["detail"]

    headers, decision = {"Idempotency-Key": "one"}, {"decision": "APPROVED"}
    org.call("POST", f"/jobs/{job}/review", json=decision, headers=headers)

    assert poll(org, job)["status"] == "COMPLETE"
    again = org.call("POST", f"/jobs/{job}/review", json=decision, headers=headers)
    assert again["reviewStatus"] == "APPROVED"
    org.call("POST", f"/jobs/{job}/review", 409, json=decision)


def test_a_held_job_that_is_rejected_fails_and_its_result_stays_readable(
    org: Organization, provider: LlmServer
) -> None:
    says(provider, ANSWER)
    job = send(org, note_pdf(), schema=SCHEMA, llm=LLM, holdForReview=True)["jobId"]
    poll(org, job, "PAUSED")

    org.call("POST", f"/jobs/{job}/review", json={"decision": "REJECTED", "comment": "not ours"})

    found = poll(org, job)
    assert (found["status"], found["error"]["code"], found["reviewStatus"]) == ("ERROR", "REVIEW_REJECTED", "REJECTED")
    assert found["result"]["extracted"] == FIELDS


def test_a_cancel_withdraws_the_review(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    held = send(org, note_pdf(), schema=SCHEMA, llm=LLM, holdForReview=True)["jobId"]
    poll(org, held, "PAUSED")
    done = extracted(org, note_pdf(), schema=SCHEMA, llm=LLM, requireReview=True)["jobId"]

    first = org.call("POST", f"/jobs/{held}/cancel")
    second = org.call("POST", f"/jobs/{done}/cancel")

    assert (first["status"], first["reviewStatus"]) == ("CANCELLED", "CANCELLED")
    assert (second["status"], second["reviewStatus"]) == ("COMPLETE", "CANCELLED")


def test_corrections_are_checked_by_the_schema_and_kept_with_their_history(
    org: Organization, provider: LlmServer
) -> None:
    says(provider, ANSWER)
    job = extracted(org, note_pdf(), schema=SCHEMA, llm=LLM)["jobId"]
    wrong = {"jobId": job, "annotatedData": {**FIELDS, "pallets": "five"}}
    assert "annotatedData.pallets" in org.call("POST", "/annotate", 400, json=wrong)["detail"]

    made = org.call("POST", "/annotate", json={"jobId": job, "annotatedData": {**FIELDS, "pallets": 5}})["annotation"]
    again = org.call(
        "POST",
        "/extract-annotations",
        json={"jobId": job, "annotationId": made["annotationId"], "annotatedData": {**FIELDS, "pallets": 6}},
    )["annotation"]

    assert again["annotationId"] == made["annotationId"]
    assert again["changes"] == [{"path": "pallets", "from": 4, "to": 6}]
    assert again["originalData"] == FIELDS
    revisions = org.call("GET", f"/jobs/{job}/review")["revisions"]
    assert [one["annotated"]["pallets"] for one in revisions] == [5, 6]
    assert org.call("GET", f"/jobs/{job}")["reviewStatus"] is None
    unknown = {"jobId": job, "annotationId": job, "annotatedData": FIELDS}
    org.call("POST", "/annotate", 404, json=unknown)
    without = extracted(org, note_pdf())["jobId"]
    org.call("POST", "/annotate", 409, json={"jobId": without, "annotatedData": {}})


def test_a_receiver_is_told_that_a_review_waits_and_of_the_end(org: Organization, provider: LlmServer) -> None:
    says(provider, ANSWER)
    with receiver() as hook:
        job = send(
            org, note_pdf(), schema=SCHEMA, llm=LLM, holdForReview=True, webhookUrl=hook.url, metadata={"gate": 3}
        )["jobId"]
        review = json.loads(hook.wait("/", 1)[0].body)
        poll(org, job, "PAUSED")
        org.call("POST", f"/jobs/{job}/review", json={"decision": "APPROVED"})
        done = json.loads(hook.wait("/", 2)[1].body)

    assert (review["event"], review["reviewStatus"], review["metadata"]) == ("job.review", "PENDING", {"gate": 3})
    assert (done["event"], done["status"], done["reviewStatus"]) == ("job.complete", "COMPLETE", "APPROVED")
