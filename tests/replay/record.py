"""Record one history for each path of each workflow: `python -m tests.replay.record`, or only of paths by name.

Do so only when a workflow's commands have changed on purpose, with a line in CHANGELOG.md that says why.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path

from temporalio.client import Client

from tests.replay.ai_paths import AiPaths
from tests.replay.document_paths import DocumentPaths
from tests.replay.llm_paths import LlmPaths
from tests.replay.request_paths import RequestPaths
from tests.support import builders
from tests.support.ai import make_lamps
from tests.support.builders import FIELDS, Organization, organization, papers, persons, providers
from tests.support.llm_server import llm_server
from tests.support.receiver import Script, receiver
from towpath.db.migrate import migrate
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

FOLDER = Path(__file__).parent / "histories"


def completed(org: Organization) -> str:
    return org.done(persons(150))


def rematched(org: Organization) -> str:
    org.done(persons(60))
    return org.done(persons(200, seed=5, first_id=1000))


def paused(org: Organization) -> str:
    job_id = org.submit(persons(600))
    org.call("POST", f"/v1/jobs/{job_id}/pause")
    time.sleep(1)
    org.call("POST", f"/v1/jobs/{job_id}/continue")
    org.until(job_id)
    return job_id


def cancelled(org: Organization) -> str:
    job_id = org.submit(persons(600))
    time.sleep(0.5)
    org.call("POST", f"/v1/jobs/{job_id}/cancel")
    org.until(job_id)
    return job_id


def restarted_during_cancel(org: Organization) -> str:
    job_id = org.submit(persons(600))
    org.call("POST", f"/v1/jobs/{job_id}/cancel")
    org.call("POST", f"/v1/jobs/{job_id}/restart")
    org.until(job_id, "COMPLETED")
    return job_id


def out_of_time(org: Organization) -> str:
    job_id = org.submit(persons(600), headers={"Towpath-Deadline": "1"})
    org.call("POST", f"/v1/jobs/{job_id}/pause")
    org.until(job_id)
    return job_id


def index_dropped(org: Organization) -> str:
    job_id = org.submit(persons(600))
    org.call("POST", f"/v1/jobs/{job_id}/pause")
    org.call("DELETE", "/v1/indexes/people", 204)
    org.call("POST", f"/v1/jobs/{job_id}/continue")
    org.until(job_id)
    return job_id


def nothing_to_do(org: Organization) -> str:
    answer = org.call("POST", "/v1/entities/batch", params={"indexName": "people"}, json=[{"name": "no id"}])
    return str(answer["jobId"])


def reindexed(org: Organization) -> str:
    org.done(persons(150))
    changed = org.call("POST", "/v1/indexes", json={"indexName": "people", "fields": FIELDS[:2]})
    org.until(changed["reindexJobId"])
    return str(changed["reindexJobId"])


def settled(org: Organization) -> str:
    org.done(persons(150))
    org.call("POST", "/v1/entity", params={"indexName": "people"}, json={**persons(150)[3], "id": "late"})
    while not (jobs := org.call("GET", "/v1/jobs", params={"kind": "entity_settle"})["jobs"]):
        time.sleep(0.2)
    org.until(jobs[0]["id"])
    return str(jobs[0]["id"])


def _task(org: Organization) -> tuple[str, str]:
    task = org.task({"items": papers(300)})
    job = org.call("GET", "/v1/jobs", params={"externalId": task["id"]})["jobs"][0]
    return task["id"], job["id"]


def embedded(org: Organization) -> str:
    task_id, job_id = _task(org)
    org.ended(task_id)
    return job_id


def embedding_canceled(org: Organization) -> str:
    task_id, job_id = _task(org)
    time.sleep(0.5)
    org.call("PUT", "/embeddings/upsertion-tasks/cancel", params={"task_id": task_id})
    org.until(job_id)
    return job_id


def embedding_restarted(org: Organization) -> str:
    task_id, job_id = _task(org)
    org.ended(task_id)
    org.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": task_id, "scope": "all"})
    org.ended(task_id)
    return job_id


def deleted(org: Organization) -> str:
    task_id, _ = _task(org)
    org.ended(task_id)
    task = org.task({"object_ids": [item["object_id"] for item in papers(100)]}, "deletion")
    org.ended(task["id"], "deletion")
    return str(org.call("GET", "/v1/jobs", params={"externalId": task["id"]})["jobs"][0]["id"])


def noticed(org: Organization) -> str:
    """The histories of the notice and of the delivery that fails once."""
    with receiver() as hook:
        hook.scripts = [Script(status=503)]
        job = org.submit(persons(20), headers={"Towpath-Webhook-Url": hook.url})
        org.until(job)
        while (sent := org.deliveries(jobId=job)[0])["state"] == "PENDING":
            time.sleep(0.2)
    return f"notice/{job}|{sent['id']}"


PATHS = [
    completed, rematched, paused, cancelled, restarted_during_cancel, out_of_time, index_dropped, nothing_to_do,
    reindexed, settled, embedded, embedding_canceled, embedding_restarted, deleted, noticed,
]  # fmt: skip


def _plain(history: str) -> str:
    """A history without the recording machine's paths and names, which a replay does not need."""
    return re.sub(r'"(stackTrace|identity)":\s*"(?:[^"\\]|\\.)*"', r'"\1": ""', history)


async def record(names: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="towpath-record-") as folder, llm_server() as provider:
        databases = Path(folder) / "databases"
        databases.mkdir()
        make_lamps(databases / "lamps.duckdb")
        builders.SEEDED.append(databases)
        settings = Settings(
            home=Path(folder) / "home", port=0, ui_port=0, workers=1, index_chunk=50, match_chunk=100, vector_chunk=50,
            llm_providers=providers(provider.url), databases_root=databases, ai_rate=1_000_000,
            payload_encryption=False, settle_seconds=1,
        )  # fmt: skip
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            client = await Client.connect(stack.temporal_address)
            paths = (LlmPaths(provider), AiPaths(provider), DocumentPaths(provider), RequestPaths(provider))
            for path in [*PATHS, *(path for each in paths for path in each.all())]:
                if names and path.__name__ not in names:
                    continue
                org = organization(stack.api_url)
                org.index()
                job_id = await asyncio.to_thread(path, org)
                await asyncio.sleep(1)
                async for run in client.list_workflows(f'WorkflowId STARTS_WITH "{_organization_of(org)}/"'):
                    if any(one in run.id for one in job_id.split("|")):
                        history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
                        name = f"{run.workflow_type}.{path.__name__}.{run.id.rsplit('.', 1)[-1]}.json"
                        (FOLDER / name).write_text(_plain(history.to_json()))
                        print(name, len(history.events))
            if names and "reconcile" not in names:
                return
            async for run in client.list_workflows('WorkflowType = "reconcile" AND ExecutionStatus = "Completed"'):
                history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
                (FOLDER / "reconcile.json").write_text(_plain(history.to_json()))
                break


def _organization_of(org: Organization) -> str:
    return str(org.call("GET", "/api/auth/me")["organization"])


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))
