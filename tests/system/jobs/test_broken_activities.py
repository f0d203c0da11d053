"""An activity that is broken ends its job, and everybody sees it; one whose surroundings are away goes on, seen too."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from temporalio.activity import _Definition
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus

from tests.support import batches
from tests.support.ai import LATE, TELL, ask, lamps_model, script
from tests.support.builders import FIELDS, Organization, organization, papers, persons
from tests.support.console.site import CSRF
from tests.support.extraction import SCHEMA, note_pdf, poll, send
from tests.support.judge import MODEL, judge_by
from tests.support.llm_server import Fault, LlmServer
from tests.support.temporal import client_of
from tests.support.waiting import until
from tests.system.jobs.broken_worker import POISON
from tests.system.jobs.conftest import Breakable
from towpath import worker
from towpath.core.queues import Queue
from towpath.db.engine import Database
from towpath.jobs.types import JobRef, Reconciled
from towpath.runtime.codec import EncryptionCodec
from towpath.runtime.settings import Settings
from towpath.workflows.housekeeping import RECONCILE_ID

LLM = "openai::gpt-4o"
ORION = {"name": "Orion"}
# What is not part of a job, or ends one only by the way it is called.
OUTSIDE_OF_JOBS = {
    "tend_groups",
    "find_unclosed",
    "find_unstarted",
    "sweep",
    "tend_index",
    "find_overdue",
    "try_first",
    "try_delivery",
}

Start = Callable[[Organization, LlmServer], str]


def newest(org: Organization, kind: str) -> str:
    return str(org.call("GET", "/v1/jobs", params={"kind": kind})["jobs"][0]["id"])


def batch(org: Organization, _: LlmServer) -> str:
    org.index()
    return org.submit(persons(120))


def reindex(org: Organization, _: LlmServer) -> str:
    changed = org.call("POST", "/v1/indexes", json={"indexName": "people", "fields": FIELDS[:2]})
    return str(changed["reindexJobId"])


def upsertion(org: Organization, _: LlmServer) -> str:
    task = org.task({"items": papers(5)})
    return str(org.call("GET", "/v1/jobs", params={"externalId": task["id"]})["jobs"][0]["id"])


def deletion(org: Organization, _: LlmServer) -> str:
    task = org.task({"object_ids": ["one"]}, "deletion")
    return str(org.call("GET", "/v1/jobs", params={"externalId": task["id"]})["jobs"][0]["id"])


def enrichment(org: Organization, _: LlmServer) -> str:
    return org.enrich(entity_data=ORION, schema_id=org.schema(), classification_model=LLM)


def generation(org: Organization, _: LlmServer) -> str:
    body = {"entity_samples": [ORION], "model": LLM}
    return str(org.call("POST", "/api/schema/generate/stream", json=body)["job_id"])


def edit(org: Organization, _: LlmServer) -> str:
    body = {"prompt": "add a city", "model": LLM}
    return str(org.call("POST", f"/api/schema/saved/{org.schema()}/prompt/stream", json=body)["job_id"])


def half_done(org: Organization, provider: LlmServer) -> str:
    """A record of which one domain has failed."""
    provider.faults = [Fault(status=400, match="Brand")]
    job = org.enrich(entity_data=ORION, schema_id=org.schema(), strategy="multi_expertise")
    return str(org.messages(job)[-1]["result"]["record_id"])


def retry(org: Organization, provider: LlmServer) -> str:
    body = {"record_id": half_done(org, provider), "entity_data": ORION}
    return str(org.call("POST", "/api/single/retry-expertises/stream", json=body)["job_id"])


def merge(org: Organization, _: LlmServer) -> str:
    job = org.enrich(entity_data=ORION, schema_id=org.schema(), models=[LLM, "google::gemini-2.5-pro"])
    org.until(job)
    ids = [record["id"] for record in org.records(job_id=job, type="enrichment")]
    return str(org.call("POST", "/api/fusion/merge/stream", json={"result_ids": ids})["job_id"])


def question(org: Organization, provider: LlmServer) -> str:
    script(provider, LATE, TELL)
    return str(ask(org, lamps_model(org))["jobId"])


def topic(org: Organization, provider: LlmServer) -> str:
    script(provider, LATE, TELL)
    body = {"modelId": lamps_model(org)["model"], "prompt": "late sales"}
    org.http.post("/v1/ai/pick-topic", json=body)
    return newest(org, "topic_choice")


def query(org: Organization, provider: LlmServer) -> str:
    script(provider, LATE["query"])
    body = {"modelId": lamps_model(org)["model"], "prompt": "late sales", "currentTopicName": "sales"}
    org.http.post("/v1/ai/generate-query", json=body)
    return newest(org, "query_generation")


def schema_reading(org: Organization, _: LlmServer) -> str:
    body = {"name": "lamps", "kind": "duckdb", "path": "lamps.duckdb"}
    connection = org.call("POST", "/v1/connections", 201, json=body)["id"]
    org.http.post("/v1/models", json={"connectionId": connection})
    return newest(org, "schema_reading")


def document(org: Organization, _: LlmServer) -> str:
    return str(send(org, note_pdf(), schema=SCHEMA, llm=LLM, requireReview=True)["jobId"])


def held_document(org: Organization, _: LlmServer) -> str:
    return str(send(org, note_pdf(), schema=SCHEMA, llm=LLM, holdForReview=True)["jobId"])


def approved_document(org: Organization, provider: LlmServer) -> str:
    job = held_document(org, provider)
    poll(org, job, "PAUSED")
    org.call("POST", f"/jobs/{job}/review", json={"decision": "APPROVED"})
    return job


def classification(org: Organization, _: LlmServer) -> str:
    options = [{"name": "delivery note"}, {"name": "invoice"}]
    made = org.call("POST", "/classification", 201, json={"name": "papers", "options": options})["id"]
    return str(send(org, note_pdf(), path=f"/classification/{made}/run", llm=LLM)["jobId"])


def indexed(org: Organization, _: LlmServer) -> None:
    org.index()
    org.done(persons(120))


def judging(org: Organization, provider: LlmServer) -> str:
    judge_by(provider, lambda *_: "unsure")
    body = {"model": MODEL, "maxCostUsd": 1, "zone": {"from": 0, "to": 1}, "limit": 10}
    return str(org.call("POST", "/v1/indexes/people/judge", 202, json=body)["jobId"])


def requests(org: Organization, _: LlmServer) -> str:
    return batches.start(batches.client_of(org), batches.question(1)).id.removeprefix("batch_")


def batched(org: Organization, _: LlmServer) -> str:
    body = {"entities": [{"name": "Orion"}], "schema_id": org.schema(), "execution": "batch"}
    return org.enrich("/api/enrichment/batch/start", **body)


CASES: dict[str, Start] = {
    "begin_job": batch, "enter_phase": batch, "plan_batch": batch, "index_page": batch, "train_index": batch,
    "match_page": batch, "resolve_batch": batch, "plan_reindex": reindex, "copy_share": reindex,
    "train_building": reindex, "match_share": reindex, "resolve_building": reindex, "swap_index": reindex,
    "plan_task": upsertion, "upsert_page": upsertion, "delete_page": deletion, "plan_enrichment": enrichment,
    "check_type": enrichment, "enrich_page": enrichment, "generate_schema": generation, "edit_schema": edit,
    "retry_domains": retry, "merge_records": merge, "iterate": question, "choose_topic": topic,
    "generate_query": query, "read_schema": schema_reading, "open_document": document, "read_share": document,
    "extract_fields": document, "show_review": document, "hold_job": held_document, "settle_review": approved_document,
    "classify": classification, "plan_judging": judging, "judge_page": judging, "settle_judging": judging,
    "validate_batch": requests, "ask_batch_page": requests, "write_batch_files": requests,
    "finish_job": batch, "submit_batches": batched, "look_at_batches": batched, "plan_round": batched,
}  # fmt: skip
READY: dict[Start, Callable[[Organization, LlmServer], object]] = {reindex: indexed, judging: indexed}


@pytest.fixture
def org(breakable: Breakable) -> Organization:
    return organization(breakable.api_url)


def activity_names(home: Path) -> set[str]:
    """All that the workers serve, on all queues."""
    parts = worker.Parts.make(Database("postgresql://127.0.0.1/none"), Settings(home=home))
    served = [one for queue in Queue for one in parts.serve(queue)]
    return {str(_Definition.must_from_callable(one).name) for one in served}


def test_no_activity_is_forgotten(tmp_path: Path) -> None:
    assert activity_names(tmp_path) - OUTSIDE_OF_JOBS - {"cancel_workflow"} == set(CASES)


def describe(stack: Breakable, workflow_id: str) -> WorkflowExecutionDescription:
    async def ask_temporal() -> WorkflowExecutionDescription:
        client = await client_of(stack)
        return await client.get_workflow_handle(workflow_id).describe()

    return asyncio.run(ask_temporal())


def closed(stack: Breakable, workflow_id: str) -> WorkflowExecutionStatus | None:
    """How a workflow has ended; its row says so a moment before."""
    ends = time.monotonic() + 30
    while (status := describe(stack, workflow_id).status) is WorkflowExecutionStatus.RUNNING:
        assert time.monotonic() < ends
        time.sleep(0.1)
    return status


def execute(stack: Breakable, statement: str, *values: Any) -> None:
    with psycopg.connect(stack.database_url) as database:
        database.execute(statement, values)


def reconcile(stack: Breakable) -> list[str]:
    """Let the reconciler look once; what it could not put right."""

    async def trigger() -> list[str]:
        client = await client_of(stack)
        run = f"{RECONCILE_ID}-{uuid4()}"
        handle = await client.start_workflow("reconcile", id=run, task_queue=Queue.ENGINE, result_type=Reconciled)
        return list((await handle.result()).problems)

    return asyncio.run(trigger())


def current_details(stack: Breakable, workflow_id: str) -> str:
    async def ask_temporal() -> str:
        client = await client_of(stack)
        handle = client.get_workflow_handle(workflow_id)
        found = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        return str(found.current_details)

    return asyncio.run(ask_temporal())


def ref(org: Organization, job: dict[str, Any]) -> JobRef:
    slug = org.call("GET", "/api/auth/me")["organization"]
    return JobRef(organization=slug, kind=job["kind"], job_id=job["id"], attempt=job["attempt"])


def signed_in(stack: Breakable, org: Organization) -> httpx.Client:
    """A browser that is signed in with the organization's key."""
    browser = httpx.Client(base_url=stack.api_url, timeout=30)
    page = browser.get("/sign-in")
    found = CSRF.search(page.text)
    data = {"key": org.key, "next": "/console/jobs"} | ({"csrf": found.group(1)} if found else {})
    answer = browser.post("/sign-in", data=data, headers={"Origin": stack.api_url, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code in {200, 303}, answer.text[:300]
    return browser


def events(org: Organization, job: str) -> list[str]:
    with org.http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        return [line[7:] for line in answer.iter_lines() if line.startswith("event: ")]


def end_by_reconciler(stack: Breakable, org: Organization, job_id: str) -> None:
    """Wait for the end of a job's workflow, and let the reconciler find it, as it does after half a minute."""
    assert closed(stack, ref(org, org.job(job_id)).workflow_id) is WorkflowExecutionStatus.FAILED
    execute(stack, "UPDATE jobs SET updated_at = now() - interval '1 minute' WHERE id = %s", job_id)
    reconcile(stack)


@pytest.mark.parametrize("name", CASES)
def test_an_unknown_error_of_any_activity_ends_its_job(
    name: str, breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    start = CASES[name]
    if start in READY:
        READY[start](org, provider)
    with breakable.broken(name):
        job_id = start(org, provider)
        if name == "finish_job":
            end_by_reconciler(breakable, org, job_id)
        job = org.until(job_id, "FAILED", seconds=60)

        code = job["error"]["code"]
        if name == "finish_job":
            # Nobody can write the end but the reconciler, who finds that the workflow has failed.
            assert code == "WORKFLOW_LOST"
        else:
            assert code == "INTERNAL", job["error"]
        number = re.search(r"log knows it as (\w{12})", job["error"]["message"])
        assert number is not None, job["error"]
        assert f"error {number.group(1)} in {name}, attempt 1" in breakable.log()
        assert "IndexError: tuple index out of range" in breakable.log()
        assert events(org, job_id)[-1] == "job.failed"
        assert closed(breakable, ref(org, job).workflow_id) is WorkflowExecutionStatus.FAILED
    page = signed_in(breakable, org).get(f"/console/jobs/{job_id}")
    assert page.status_code == 200
    assert number.group(1) in page.text


def poisoned_batch(org: Organization) -> str:
    org.index()
    return org.submit([*persons(3), {"id": "bad", "name": POISON}])


def poisoned_task(org: Organization) -> str:
    task = org.task({"items": [*papers(3), {"object_id": "bad", "payload": {"text": POISON}}]})
    return str(org.call("GET", "/v1/jobs", params={"externalId": task["id"]})["jobs"][0]["id"])


def poisoned_enrichment(org: Organization) -> str:
    entities = [{"name": "one"}, {"name": "two"}, {"name": "three"}, {"name": POISON}]
    return org.enrich("/api/enrichment/batch/start", entities=entities, schema_id=org.schema())


@pytest.mark.parametrize("start", [poisoned_batch, poisoned_task, poisoned_enrichment])
def test_an_unknown_error_ends_the_item_and_not_its_neighbours(
    start: Callable[[Organization], str], breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    job = org.until(start(org), seconds=60)
    failures = org.call("GET", f"/v1/jobs/{job['id']}/failures")["failures"]

    assert (job["state"], job["progress"]["succeeded"], job["progress"]["failed"]) == ("COMPLETED", 3, 1)
    assert [one["code"] for one in failures] == ["INTERNAL"]
    number = re.search(r"log knows it as (\w{12})", failures[0]["message"])
    assert number is not None
    assert f"error {number.group(1)}" in breakable.log()


@pytest.mark.parametrize("kind", ["long", "endless"])
def test_an_error_of_any_size_and_shape_stays_small(
    kind: str, breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    with breakable.broken("resolve_batch", by=kind):
        job = org.until(batch(org, provider), "FAILED", seconds=60)

    assert job["error"]["code"] == "INTERNAL"
    assert len(job["error"]["message"]) < 300


def test_a_part_that_is_away_is_waited_for_and_everybody_sees_it(
    breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    with breakable.broken("match_page", by="network"):
        job_id = batch(org, provider)
        ends = time.monotonic() + 60
        while (job := org.job(job_id))["retrying"] is None or job["retrying"]["attempt"] < 3:
            assert time.monotonic() < ends, job
            time.sleep(0.05)

        assert job["state"] == "RUNNING"
        assert job["retrying"]["activity"] == "match_page"
        assert job["retrying"]["code"] == "UNAVAILABLE"
        assert "nobody listens" in job["retrying"]["message"]
        assert job["retrying"]["nextAttemptAt"] > job["createdAt"]
        page = signed_in(breakable, org).get(f"/console/jobs/{job_id}").text
        assert 'id="retrying"' in page
        assert "nobody listens" in page
        assert "Attempt 1 of match_page failed" in page
        details = current_details(breakable, ref(org, job).workflow_id)
        assert "match_page" in details
        assert "UNAVAILABLE" in details
        # A message may name what is the tenant's: it stands with the job, not here.
        assert "nobody listens" not in details

    ended = org.until(job_id)

    assert (ended["state"], ended["retrying"]) == ("COMPLETED", None)
    assert "job.retrying" in events(org, job_id)
    assert closed(breakable, ref(org, job).workflow_id) is WorkflowExecutionStatus.COMPLETED


def test_a_cancelled_job_has_a_cancelled_workflow(breakable: Breakable, org: Organization, provider: LlmServer) -> None:
    with breakable.broken("match_page", by="network"):
        job_id = batch(org, provider)
        org.until(job_id, "RUNNING")
        org.call("POST", f"/v1/jobs/{job_id}/cancel")
        job = org.until(job_id, "CANCELLED")

    assert job["retrying"] is None
    assert closed(breakable, ref(org, job).workflow_id) is WorkflowExecutionStatus.CANCELED


def test_a_cancel_that_only_the_row_knows_cancels_the_workflow_too(
    breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    with breakable.broken("begin_job", by="network"):
        job_id = batch(org, provider)
        execute(breakable, "UPDATE jobs SET cancelling = true WHERE id = %s", job_id)
    job = org.until(job_id, "CANCELLED")

    assert closed(breakable, ref(org, job).workflow_id) is WorkflowExecutionStatus.CANCELED


def test_a_job_that_missed_its_deadline_runs_when_it_is_started_again(
    breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    org.index()
    with breakable.broken("match_page", by="network"):
        job_id = org.submit(persons(120), headers={"Towpath-Deadline": "2"})
        missed = org.until(job_id, "FAILED")
    org.call("POST", f"/v1/jobs/{job_id}/restart", headers={"Towpath-Deadline": "600"})
    again = org.until(job_id, "COMPLETED")

    assert missed["error"]["code"] == "DEADLINE_EXCEEDED"
    assert missed["error"]["message"].endswith("Z")
    assert again["deadline"] > missed["deadline"]
    with breakable.broken("match_page", by="network"):
        other = org.submit(persons(120, seed=9), headers={"Towpath-Deadline": "2"})
        org.until(other, "FAILED")
    org.call("POST", f"/v1/jobs/{other}/restart")
    assert org.until(other, "COMPLETED")["deadline"] is None


def test_the_last_word_of_cancel_restart_cancel_holds(
    breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    with breakable.broken("finish_job", by="network"):
        job_id = batch(org, provider)
        for word in ("cancel", "restart", "cancel"):
            org.call("POST", f"/v1/jobs/{job_id}/{word}")
    job = org.until(job_id, "CANCELLED")

    assert job["attempt"] == 1
    assert closed(breakable, ref(org, job).workflow_id) is WorkflowExecutionStatus.CANCELED


def test_a_cancelled_attempt_has_a_cancelled_workflow_although_the_next_one_runs(
    breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    script(provider, LATE, TELL)
    with breakable.broken("iterate", by="network"):
        job_id = str(ask(org, lamps_model(org))["jobId"])
        org.until(job_id, "RUNNING")
        org.call("POST", f"/v1/ai/jobs/{job_id}/cancel")
        first = ref(org, org.job(job_id)).model_copy(update={"attempt": 1})
        org.call("POST", f"/v1/jobs/{job_id}/restart")
    assert org.until(job_id, "COMPLETED")["attempt"] == 2

    assert closed(breakable, first.workflow_id) is WorkflowExecutionStatus.CANCELED


def test_a_restart_after_the_index_was_made_anew_takes_up_everything(
    breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    with breakable.broken("resolve_batch", by="network"):
        job_id = batch(org, provider)
        until(lambda: org.job(job_id)["retrying"], "failed attempt")
        org.call("POST", f"/v1/jobs/{job_id}/cancel")
        org.until(job_id, "CANCELLED")
        org.call("DELETE", "/v1/indexes/people", 204)
        org.index()
    org.call("POST", f"/v1/jobs/{job_id}/restart")
    org.until(job_id, "COMPLETED")

    assert org.call("GET", "/v1/indexes/people")["entityCount"] == 120


def test_a_batch_whose_index_is_made_anew_meanwhile_says_so(
    breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    with breakable.broken("train_index", by="network"):
        job_id = batch(org, provider)
        until(lambda: org.job(job_id)["retrying"], "failed attempt")
        org.call("DELETE", "/v1/indexes/people", 204)
        org.index()
    job = org.until(job_id, "FAILED")

    assert job["error"]["code"] == "INDEX_DROPPED"


def test_a_restart_runs_after_a_failed_workflow(breakable: Breakable, org: Organization, provider: LlmServer) -> None:
    with breakable.broken("match_page"):
        job_id = batch(org, provider)
        failed = org.until(job_id, "FAILED")
    org.call("POST", f"/v1/jobs/{job_id}/restart")
    job = org.until(job_id, "COMPLETED")

    assert (failed["attempt"], job["attempt"], job["error"]) == (1, 2, None)
    assert closed(breakable, ref(org, job).workflow_id) is WorkflowExecutionStatus.COMPLETED


# A facade that has committed a restart and died before it started the workflow.
LOST = (
    "UPDATE jobs SET state = 'PENDING', attempt = attempt + 1, completed_at = NULL,"
    " updated_at = now() - interval '1 minute' WHERE id = %s"
)


def test_whoever_starts_a_job_starts_it_alike(breakable: Breakable, org: Organization, provider: LlmServer) -> None:
    job_id = batch(org, provider)
    by_facade = describe(breakable, ref(org, org.until(job_id)).workflow_id)
    execute(breakable, LOST, job_id)
    reconcile(breakable)
    job = org.until(job_id)
    by_reconciler = describe(breakable, ref(org, job).workflow_id)
    with breakable.broken("resolve_batch", by="network"):
        again = org.submit(persons(120, seed=7))
        org.until(again, "RUNNING")
        org.call("POST", f"/v1/jobs/{again}/cancel")
        org.call("POST", f"/v1/jobs/{again}/restart")
    restarted = org.until(again, "COMPLETED")
    by_itself = describe(breakable, ref(org, restarted).workflow_id)

    assert (job["attempt"], restarted["attempt"]) == (2, 2)
    for one in (by_facade, by_reconciler, by_itself):
        attributes = {pair.key.name: pair.value for pair in one.typed_search_attributes}
        raw = one.raw_description
        assert attributes["TowpathKind"] == "entity_batch"
        assert attributes["TowpathOrg"] == ref(org, job).organization
        assert attributes["TowpathState"] == "COMPLETED"
        assert raw.workflow_execution_info.priority.fairness_key == ref(org, job).organization
        told = raw.execution_config.user_metadata
        assert b"entity batch" not in told.SerializeToString()
        summary, details = asyncio.run(EncryptionCodec(breakable.encryption_keys).decode([told.summary, told.details]))
        assert b"entity batch people: 120 items" in summary.data
        assert b"- items: 120" in details.data


def test_rows_that_cannot_be_read_hide_no_other_from_the_reconciler(
    breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    job_id = batch(org, provider)
    org.until(job_id)
    copied = "INSERT INTO jobs SELECT (jsonb_populate_record(j, %s::jsonb)).* FROM jobs j WHERE id = %s"
    bad = [
        {"id": "00000000-0000-4000-8000-000000000001", "kind": "nonsense"},
        {"id": "00000000-0000-4000-8000-000000000002", "deadline": "10000-01-01T23:58:59Z"},
    ]
    for one in bad:
        poison = {**one, "state": "PENDING", "completed_at": None, "updated_at": "2001-01-01T00:00:00Z"}
        execute(breakable, copied, json.dumps(poison), job_id)
    execute(breakable, LOST, job_id)
    try:
        problems = reconcile(breakable)
        job = org.until(job_id)
    finally:
        execute(breakable, "DELETE FROM jobs WHERE id = ANY(%s)", [one["id"] for one in bad])

    assert (job["state"], job["attempt"]) == ("COMPLETED", 2)
    assert any(bad[0]["id"] in one for one in problems)


def test_a_deadline_beyond_all_years_does_not_hide_a_list(
    breakable: Breakable, org: Organization, provider: LlmServer
) -> None:
    job_id = batch(org, provider)
    org.until(job_id)
    execute(breakable, "UPDATE jobs SET deadline = '10000-01-01 23:58:59+00' WHERE id = %s", job_id)

    assert [one["id"] for one in org.call("GET", "/v1/jobs")["jobs"]] == [job_id]
    assert signed_in(breakable, org).get("/console/jobs").status_code == 200
    assert org.job(job_id)["deadline"].startswith("9999-12-31")
