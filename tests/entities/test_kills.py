"""Any process may be killed at any moment: the result is that of an undisturbed run."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from runtime.embedded import EmbeddedStack
from runtime.settings import Settings
from stores.migrate import migrate
from tests.builders import Organization, organization, persons

PEOPLE = persons(1200, seed=3)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(session_home: Path) -> AsyncIterator[EmbeddedStack]:
    """A system of its own, because its processes are killed."""
    settings = Settings(home=session_home / "kills", port=0, ui_port=0, workers=1, index_chunk=50, match_chunk=200)
    async with EmbeddedStack(settings, echo=False, prepare=migrate) as running:
        yield running


@pytest.fixture
def org(stack: EmbeddedStack) -> Organization:
    """A fresh organisation on the system that is killed."""
    return organization(stack.api_url)


def undisturbed(stack: EmbeddedStack) -> Organization:
    """The same batch, run in peace."""
    calm = organization(stack.api_url)
    calm.index()
    calm.done(PEOPLE)
    return calm


def wait_for_share(org: Organization, job_id: str, low: float, high: float) -> None:
    """Wait until the batch's progress is between two shares."""
    for _ in range(2000):
        query = {"jobId": job_id, "resultsLimit": 0}
        progress = org.call("GET", "/v1/entities/batch/status", params=query)["progress"]
        if progress >= low:
            assert progress < high, "the batch was too fast to be killed there"
            return
        time.sleep(0.005)
    raise AssertionError("the batch does not move")


def assert_same(org: Organization, calm: Organization, job_id: str) -> None:
    """Nothing lost, nothing doubled, the same pairs, verdicts and groups."""
    job = org.job(job_id)
    assert job["progress"] == {"total": 1200, "processed": 1200, "succeeded": 1200, "failed": 0, "skipped": 0}
    assert org.call("GET", "/v1/indexes/people")["entityCount"] == 1200
    assert len(org.pairs()) > 300
    assert org.pairs() == calm.pairs()
    assert org.groups() == calm.groups()
    events = org.http.get(f"/v1/jobs/{job_id}/events").text
    numbers = [int(line[3:]) for line in events.splitlines() if line.startswith("id:")]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_worker_killed_while_it_indexes(org: Organization, stack: EmbeddedStack) -> None:
    org.index()
    job_id = org.submit(PEOPLE)
    wait_for_share(org, job_id, 0.05, 0.5)

    stack.kill("worker-0")

    await _alive(stack)
    org.until(job_id)
    assert_same(org, undisturbed(stack), job_id)


async def test_a_worker_killed_while_it_matches(org: Organization, stack: EmbeddedStack) -> None:
    org.index()
    job_id = org.submit(PEOPLE)
    wait_for_share(org, job_id, 0.55, 0.99)

    stack.kill("worker-0")

    await _alive(stack)
    org.until(job_id)
    assert_same(org, undisturbed(stack), job_id)


async def test_a_facade_killed_during_the_last_page_of_an_upload(org: Organization, stack: EmbeddedStack) -> None:
    org.index()
    lines = [json.dumps(person).encode() + b"\n" for person in PEOPLE]

    def upload() -> object:
        yield b"".join(lines[:1190])
        time.sleep(0.5)
        stack.kill("api")
        time.sleep(0.2)
        yield b"".join(lines[1190:])

    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "once"}
    query = {"indexName": "people"}
    import asyncio

    def send() -> None:
        with pytest.raises(httpx.TransportError):
            org.http.post("/v1/entities/batch", params=query, content=upload(), headers=headers)

    await asyncio.to_thread(send)
    await _alive(stack)
    await asyncio.to_thread(_assert_empty, org)

    answer = org.http.post("/v1/entities/batch", params=query, content=b"".join(lines), headers=headers)

    assert answer.status_code == 202
    job_id = answer.json()["jobId"]
    await asyncio.to_thread(org.until, job_id)
    assert len(org.call("GET", "/v1/jobs")["jobs"]) == 1
    assert_same(org, await asyncio.to_thread(undisturbed, stack), job_id)


def _assert_empty(org: Organization) -> None:
    assert org.call("GET", "/v1/jobs")["jobs"] == []
    assert org.call("GET", "/v1/indexes/people")["entityCount"] == 0


async def test_temporal_and_postgres_killed_in_the_middle(org: Organization, stack: EmbeddedStack) -> None:
    import asyncio

    org.index()
    job_id = org.submit(PEOPLE)
    wait_for_share(org, job_id, 0.05, 0.6)

    stack.kill("temporal")
    stack.kill("postgres")

    await _alive(stack, seconds=60)
    await asyncio.to_thread(org.until, job_id)
    assert_same(org, await asyncio.to_thread(undisturbed, stack), job_id)


async def _alive(stack: EmbeddedStack, seconds: float = 30) -> None:
    """Wait until the façade says that everything is ready, letting the supervisor do its work meanwhile."""
    import asyncio

    async with httpx.AsyncClient() as client:
        await asyncio.sleep(0.5)
        for _ in range(int(seconds * 10)):
            try:
                if (await client.get(f"{stack.api_url}/health", timeout=3)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError("the façade does not come back")
