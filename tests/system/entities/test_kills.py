"""Any process may be killed at any moment: the result is that of an undisturbed run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from tests.support.builders import Organization, organization, persons
from tests.support.reconciling import until_reconciled
from tests.support.supervised import supervised
from tests.support.waiting import SECONDS, until
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.embedded.process import wait_until_ended
from towpath.runtime.settings import Settings

PEOPLE = persons(1200, seed=3)


@pytest.fixture(scope="module")
def stack(session_home: Path) -> Iterator[EmbeddedStack]:
    """A system of its own, because its processes are killed."""
    settings = Settings(home=session_home / "kills", port=0, ui_port=0, workers=1, index_chunk=50, match_chunk=200,
        settle_seconds=1,
    )  # fmt: skip
    with supervised(settings, with_chroma=False) as running:
        yield running


@pytest.fixture
def org(stack: EmbeddedStack) -> Organization:
    """A fresh organisation on the system that is killed."""
    return organization(stack.api_url)


@pytest.fixture(scope="module")
def calm(stack: EmbeddedStack) -> Organization:
    """The same batch, run in peace."""
    calm = organization(stack.api_url)
    calm.index()
    calm.done(PEOPLE)
    return calm


def batch_at(stack: EmbeddedStack, low: float, high: float) -> tuple[Organization, str]:
    """A batch whose progress is between two shares; one that was faster than the look at it is followed by another."""
    ends = time.monotonic() + SECONDS
    while True:
        org = organization(stack.api_url)
        org.index()
        job_id = org.submit(PEOPLE)
        query = {"jobId": job_id, "resultsLimit": 0}

        def progress(org: Organization = org, query: dict[str, Any] = query) -> float:
            return float(org.call("GET", "/v1/entities/batch/status", params=query)["progress"])

        reached = until(lambda: (seen := progress()) >= low and seen, "movement of the batch")
        if reached < high:
            return org, job_id
        assert time.monotonic() < ends, "no batch is slow enough to be killed there"


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


def test_a_worker_killed_while_it_indexes(stack: EmbeddedStack, calm: Organization) -> None:
    org, job_id = batch_at(stack, 0.05, 0.5)

    _alive(stack, worker_0=stack.kill("worker-0"))

    org.until(job_id)
    assert_same(org, calm, job_id)


def test_a_worker_killed_while_it_matches(stack: EmbeddedStack, calm: Organization) -> None:
    org, job_id = batch_at(stack, 0.55, 0.99)

    _alive(stack, worker_0=stack.kill("worker-0"))

    org.until(job_id)
    assert_same(org, calm, job_id)


def test_a_worker_killed_while_an_index_settles(org: Organization, stack: EmbeddedStack) -> None:
    org.index()
    org.done(PEOPLE)
    late = {**PEOPLE[7], "id": "late"}
    org.call("POST", "/v1/entity", params={"indexName": "people"}, json=late)

    def settling() -> list[str]:
        jobs = org.call("GET", "/v1/jobs", params={"kind": "entity_settle"})["jobs"]
        return [str(job["id"]) for job in jobs]

    (job_id,) = until_reconciled(stack, settling, "job that settles the index")
    listed = org.call("GET", "/v1/jobs")["jobs"]
    assert job_id not in [job["id"] for job in listed]
    assert job_id in [job["id"] for job in org.call("GET", "/v1/jobs", params={"include": "upkeep"})["jobs"]]
    until(lambda: org.job(job_id)["phase"] in {"copy", "train", "match"}, "its work")
    _alive(stack, worker_0=stack.kill("worker-0"))

    org.until(job_id)
    calm = organization(stack.api_url)
    calm.index()
    calm.done([*PEOPLE, late])
    assert org.groups() == calm.groups()
    assert org.pairs() == calm.pairs()
    events = org.call("GET", "/v1/indexes/people/events", params={"after": 0, "limit": 1000})
    numbers = [event["seq"] for event in events["events"]]
    assert numbers == list(range(1, len(numbers) + 1))
    known: dict[str, int] = {}
    for event in events["events"]:
        assert event["before"]["count"] == known.get(event["groupId"], 0), event
        known[event["groupId"]] = event["after"]["count"]
        for taken_in in event["sources"] if event["type"] == "group.merged" else ():
            known[taken_in] = 0


def test_a_facade_killed_before_a_split_is_answered(org: Organization, stack: EmbeddedStack) -> None:
    org.index()
    org.done(persons(40, seed=9))
    before = org.groups()
    for one in "abc":
        entity = {"id": one, "name": "maria fontaine de la cruz", "city": "oslo", "born": "1980-02-03"}
        org.call("POST", "/v1/entity", params={"indexName": "people"}, json=entity)
    (group,) = org.call("GET", "/v1/groups", params={"indexName": "people", "entityId": "a"})["groups"]
    request = {
        "url": f"/v1/groups/{group['groupId']}/split", "params": {"indexName": "people"}, "json": {"leave": ["a"]},
        "headers": {"Idempotency-Key": "once"},
    }  # fmt: skip
    with psycopg.connect(stack.database_url) as database:
        # Whoever decides waits, with everything else of the split done.
        database.execute("SELECT pg_advisory_xact_lock(%s, index_no) FROM entity_indexes", (0x7061,))
        with ThreadPoolExecutor(1) as pool:
            lost = pool.submit(org.http.post, **request)
            until(lambda: waits_for_deciding(stack), "split that waits")
            killed = stack.kill("api")
            assert wait_until_ended([psutil.Process(killed)], 30)
            with pytest.raises(httpx.TransportError):
                lost.result()
    _alive(stack, api=killed)
    assert org.groups() == sorted([*before, ["a", "b", "c"]])

    first, again = (org.http.post(**request) for _ in range(2))

    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert org.groups() == sorted([*before, ["b", "c"]])
    assert org.call("GET", "/v1/indexes/people/labels")["total"] == 2


def waits_for_deciding(stack: EmbeddedStack) -> bool:
    """Whether somebody waits for an advisory lock."""
    with psycopg.connect(stack.database_url) as database:
        waiting = database.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    return waiting is not None


def test_a_facade_killed_during_the_last_page_of_an_upload(
    org: Organization, stack: EmbeddedStack, calm: Organization
) -> None:
    org.index()
    # Together well beyond what is read before a transaction begins.
    lines = [json.dumps(person).encode() + b" " * 2000 + b"\n" for person in PEOPLE]

    def upload() -> object:
        yield b"".join(lines[:1190])
        until(lambda: in_a_transaction(stack), "pages of the upload")
        assert wait_until_ended([psutil.Process(stack.kill("api"))], 30)
        yield b"".join(lines[1190:])

    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "once"}
    query = {"indexName": "people"}

    def send() -> None:
        with pytest.raises(httpx.TransportError):
            org.http.post("/v1/entities/batch", params=query, content=upload(), headers=headers)

    send()
    _alive(stack)
    _assert_empty(org)

    answer = org.http.post("/v1/entities/batch", params=query, content=b"".join(lines), headers=headers)

    assert answer.status_code == 202
    job_id = answer.json()["jobId"]
    org.until(job_id)
    assert len(org.call("GET", "/v1/jobs")["jobs"]) == 1
    assert_same(org, calm, job_id)


def _assert_empty(org: Organization) -> None:
    assert org.call("GET", "/v1/jobs")["jobs"] == []
    assert org.call("GET", "/v1/indexes/people")["entityCount"] == 0


def test_temporal_and_postgres_killed_in_the_middle(stack: EmbeddedStack, calm: Organization) -> None:
    org, job_id = batch_at(stack, 0.05, 0.6)

    _alive(stack, temporal=stack.kill("temporal"), postgres=stack.kill("postgres"))

    org.until(job_id)
    assert_same(org, calm, job_id)


def _alive(stack: EmbeddedStack, **killed: int) -> None:
    """Wait until others run in the place of those that were killed, and the façade says that it is ready."""
    for name, pid in killed.items():
        until(lambda: stack.home.children().get(name.replace("_", "-")) not in {None, pid}, f"new {name}")  # noqa: B023

    def ready() -> bool:
        try:
            return httpx.get(f"{stack.api_url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    until(ready, "readiness of the façade")


def in_a_transaction(stack: EmbeddedStack) -> bool:
    """Whether the façade waits for more of something inside a transaction."""
    with psycopg.connect(stack.database_url) as database:
        found = database.execute("SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction'").fetchone()
    return found is not None
