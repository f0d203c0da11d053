"""An embedding endpoint that is away: waited for as long as patience lasts, over a worker's death, then the cause."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.builders import Organization, organization
from tests.support.embedding_server import KEY, EmbeddingServer, embedding_server
from tests.support.supervised import supervised
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

PATIENCE = 12.0
AWAY = [(503, {"Retry-After": "1"})] * 1000
ITEMS: list[dict[str, Any]] = [
    {"object_id": f"o{number}", "payload": {"text": f"text {number}"}} for number in range(5)
]


@pytest.fixture(scope="module")
def model() -> Iterator[EmbeddingServer]:
    with embedding_server() as served:
        yield served


@pytest.fixture(scope="module")
def stack(session_home: Path, model: EmbeddingServer) -> Iterator[EmbeddedStack]:
    """A system of its own, because its worker is killed."""
    settings = Settings(
        home=session_home / "vector-outages", port=0, ui_port=0, workers=1, embedding_model="openai::test-embed",
        embedding_url=model.url, embedding_key=KEY, provider_patience_seconds=PATIENCE,
    )  # fmt: skip
    with supervised(settings) as running:
        yield running


@pytest.fixture
def org(stack: EmbeddedStack, model: EmbeddingServer) -> Iterator[Organization]:
    yield organization(stack.api_url)
    model.script.clear()


def outage(stack: EmbeddedStack, job: str) -> tuple[Any, int]:
    """Since when the job's call fails, and how often it has; waits for its first failure."""
    ends = time.monotonic() + 60
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        while True:
            row = connection.execute("SELECT since, tries FROM outages WHERE job_id = %s", (job,)).fetchone()
            if row is not None:
                return row[0], row[1]
            assert time.monotonic() < ends, "no call has failed"
            time.sleep(0.02)


def test_an_endpoint_that_comes_back_loses_nothing(org: Organization, model: EmbeddingServer) -> None:
    model.script = list(AWAY[:3])

    task = org.stored(ITEMS)

    assert task["progress"]["succeeded"] == 5
    job = org.call("GET", "/v1/jobs", params={"kind": "vector_upsertion"})["jobs"][0]
    stream = org.http.get(f"/v1/jobs/{job['id']}/events").text
    assert stream.count("event: job.provider_away") == 3


def test_a_worker_killed_during_an_outage_does_not_begin_to_wait_anew(
    org: Organization, stack: EmbeddedStack, model: EmbeddingServer
) -> None:
    model.script = list(AWAY)
    org.task({"items": ITEMS, "task_id": "away"})
    job = org.call("GET", "/v1/jobs", params={"kind": "vector_upsertion"})["jobs"][0]["id"]
    since, _ = outage(stack, job)

    stack.kill("worker-0")
    task = org.ended("away", seconds=120)

    again, tries = outage(stack, job)
    assert again == since
    assert task["status"] == "failed"
    assert len(task["failed_items"]) == 5
    assert all(f"tried {tries} times" in one["detail"] for one in task["failed_items"]), task["failed_items"]
    found = org.job(job)
    assert found["error"]["code"] == "ALL_ITEMS_FAILED"
    assert "(provider_unavailable)" in found["error"]["message"]
    failures = org.call("GET", f"/v1/jobs/{job}/failures")["failures"]
    assert {one["code"] for one in failures} == {"provider_unavailable"}

    model.script.clear()
    org.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": "away"})
    assert org.ended("away")["progress"]["succeeded"] == 5
