"""What an organization may use: each limit refuses with its name, and every façade counts with the others."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.builders import Organization
from tests.support.console.site import Site, site, who
from tests.support.llm_server import LlmServer
from towpath.accounts.limits import LimitName
from towpath.accounts.service.stream_leases import StreamLeases
from towpath.accounts.store.usage import count_leases, hold_lease, measure_stored_bytes, set_limits
from towpath.core.errors import LimitReachedError
from towpath.db.engine import Database
from towpath.runtime.embedded import EmbeddedStack

pytestmark = pytest.mark.asyncio(loop_scope="session")

BATCH = [{"id": number, "name": f"lamp {number}"} for number in range(3)]


@pytest.fixture(scope="module")
def sites(parts: EmbeddedStack, database_url: str, loopback: LlmServer) -> Iterator[list[Site]]:
    """Two façades over one database."""
    limits = {"limit_requests": 1000, "limit_streams": 3, "limit_jobs": 2, "limit_bytes": 0, "batch_sync_limit": 0}
    with ExitStack() as stack:
        yield [stack.enter_context(site(parts, database_url, loopback, **limits)) for _ in range(2)]


@pytest.fixture
def tenant(sites: list[Site]) -> Organization:
    return sites[0].organization()


def at(place: Site, org: Organization) -> httpx.Client:
    return httpx.Client(base_url=place.url, headers={"X-API-Key": org.key}, timeout=30)


async def give(database: Database, org: Organization, name: LimitName, most: int) -> None:
    await set_limits(database, who(org), {name: most})


def refused(answer: httpx.Response, name: LimitName, most: int) -> None:
    assert answer.status_code == 429, answer.text
    body = answer.json()
    assert (body["code"], body["limit"]) == ("LIMIT_REACHED", name)
    assert name in body["detail"]
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["RateLimit-Policy"].startswith(f'"{name}";q={most}')
    assert answer.headers["RateLimit"].startswith(f'"{name}";r=0;t=')


def shown(client: httpx.Client) -> dict[str, dict[str, Any]]:
    answer = client.get("/v1/limits")
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in answer.json()["limits"]}


async def test_an_organization_sees_its_limits_and_no_other_sees_them(
    sites: list[Site], tenant: Organization, database: Database
) -> None:
    other = sites[1].organization()
    await give(database, tenant, LimitName.STREAMS, 7)
    await give(database, tenant, LimitName.REQUESTS, 0)
    with at(sites[1], tenant) as mine, at(sites[1], other) as theirs:
        own, foreign = shown(mine), shown(theirs)
    assert set(own) == set(LimitName)
    assert (own["open_streams"]["most"], own["open_streams"]["own"], own["open_streams"]["used"]) == (7, True, 0)
    assert (own["requests"]["most"], own["requests"]["windowSeconds"]) == (None, 60)
    assert (foreign["open_streams"]["most"], foreign["open_streams"]["own"]) == (3, False)
    assert foreign["requests"]["most"] == 1000
    assert httpx.get(f"{sites[0].url}/v1/limits").status_code == 401


async def test_requests_are_counted_over_all_facades(
    sites: list[Site], tenant: Organization, database: Database
) -> None:
    await give(database, tenant, LimitName.REQUESTS, 30)
    # Neither façade has seen this organization's own limit yet: each looks it up with its first request.
    key = uuid4().hex
    with at(sites[0], tenant) as one, at(sites[1], tenant) as two:
        sites[0].state.limits._own.clear()
        sites[1].state.limits._own.clear()
        answers = [client.get(f"/v1/entity?entityId={key}") for _ in range(20) for client in (one, two)]
        codes = [answer.status_code for answer in answers]
        assert codes[:10] == [404] * 10
        assert 404 not in codes[32:]
        refused(answers[-1], LimitName.REQUESTS, 30)
        other = sites[0].organization()
        assert other.http.get(f"/v1/entity?entityId={key}").status_code == 404


async def test_jobs_in_flight_are_bounded(sites: list[Site], tenant: Organization) -> None:
    """No worker runs here, so that what is started stays in flight."""
    with at(sites[0], tenant) as one, at(sites[1], tenant) as two:
        first = one.post("/v1/entities/batch", json=BATCH)
        second = two.post("/v1/entities/batch", json=BATCH)
        assert (first.status_code, second.status_code) == (202, 202), second.text
        refused(one.post("/v1/entities/batch", json=BATCH), LimitName.JOBS, 2)
        refused(two.post("/embeddings/upsertion-tasks/run", json={"items": []}), LimitName.JOBS, 2)
        assert shown(one)["jobs_in_flight"]["used"] == 2
        assert at(sites[0], sites[0].organization()).post("/v1/entities/batch", json=BATCH).status_code == 202


async def test_stored_bytes_are_bounded(sites: list[Site], tenant: Organization, database: Database) -> None:
    text = b"lamp" * 5000
    with at(sites[0], tenant) as client:
        made = client.post("/api/attachments", files={"files": ("a.txt", text)})
        assert made.status_code == 200, made.text
        assert await measure_stored_bytes(database, who(tenant)) >= len(text)
        await give(database, tenant, LimitName.BYTES, len(text))
        sites[0].state.limits._own.clear()
        refused(client.post("/api/attachments", files={"files": ("b.txt", b"b")}), LimitName.BYTES, len(text))
        refused(client.post("/v1/entities/batch", json=BATCH), LimitName.BYTES, len(text))
        refused(client.post("/v1/entity", json=BATCH[0]), LimitName.BYTES, len(text))
        assert shown(client)["stored_bytes"]["used"] >= len(text)


async def test_stored_bytes_count_every_kind(database: Database, sites: list[Site], tenant: Organization) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO blobs (organization, sha256, size, chunks, upload_id) VALUES (%s, %s, 1000000, 0, %s)",
            (who(tenant), uuid4().bytes, uuid4()),
        )
    with at(sites[0], tenant) as client:
        assert client.post("/v1/entities/batch", json=BATCH).status_code == 202
        entity = client.post("/v1/entity", json={"id": 1, "name": "x" * 50_000})
        assert entity.status_code == 200, entity.text
    assert 1_050_000 < await measure_stored_bytes(database, who(tenant)) < 1_200_000


def open_stream(place: Site, org: Organization, path: str) -> socket.socket:
    """A stream that has begun."""
    parts = urlsplit(place.url)
    opened = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
    opened.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\nX-API-Key: {org.key}\r\n\r\n".encode())
    assert opened.recv(12) == b"HTTP/1.1 200"
    return opened


async def test_streams_are_counted_over_all_facades_and_given_back(
    sites: list[Site], tenant: Organization, database: Database
) -> None:
    with at(sites[0], tenant) as client:
        job = client.post("/v1/entities/batch", json=BATCH).json()["statusUrl"][-36:]
        path = f"/v1/jobs/{job}/events"
        with ExitStack() as stack:
            for place in (sites[0], sites[1], sites[0]):
                stack.enter_context(closing(open_stream(place, tenant, path)))
            for place in sites:
                refused(at(place, tenant).get(path), LimitName.STREAMS, 3)
            assert shown(client)["open_streams"]["used"] == 3
        while await count_leases(database, "stream", who(tenant)):
            await asyncio.sleep(0.05)
        with closing(open_stream(sites[1], tenant, path)):
            pass


async def test_those_that_wait_do_not_count(sites: list[Site], tenant: Organization, database: Database) -> None:
    """Many at once: as many are let in as may be, not none because there are so many."""
    leases = StreamLeases(database, sites[0].state.limits)
    inside = asyncio.Semaphore(0)

    async def one() -> None:
        async with leases.held(who(tenant)):
            inside.release()
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(one()) for _ in range(20)]
    for _ in range(3):
        await inside.acquire()
    refused_ones, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    assert all(isinstance(task.exception(), LimitReachedError) for task in refused_ones)
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, LimitReachedError) for one in done) <= 17
    await leases.close()


async def test_a_facade_that_is_killed_leaves_no_stream_behind(
    sites: list[Site], tenant: Organization, database: Database, database_url: str
) -> None:
    assert await hold_lease(database, "stream", who(tenant), uuid4(), held=3, most=3, seconds=3600)
    assert not await hold_lease(database, "stream", who(tenant), uuid4(), held=1, most=3, seconds=3600)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "UPDATE leases SET expires_at = now() - interval '1 second' WHERE organization = %s", (who(tenant),)
        )
    assert await hold_lease(database, "stream", who(tenant), uuid4(), held=1, most=3, seconds=3600)


async def test_the_last_stream_is_taken_by_one_of_many(tenant: Organization, database: Database) -> None:
    taken = await asyncio.gather(
        *(hold_lease(database, "stream", who(tenant), uuid4(), held=1, most=4, seconds=3600) for _ in range(9))
    )
    assert sum(taken) == 4


async def test_a_place_where_bytes_are_awaited_holds_no_connection(
    parts: EmbeddedStack, database_url: str, loopback: LlmServer
) -> None:
    """More slow uploads than there are connections and places: a neighbour's batch goes through."""
    with site(parts, database_url, loopback, api_pool_size=4, uploads=2, batch_sync_limit=0) as narrow:
        slow, other = narrow.organization(), narrow.organization()
        head = (
            f"POST /v1/entities/batch HTTP/1.1\r\nHost: here\r\nX-API-Key: {slow.key}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n"
        ).encode()
        where = urlsplit(narrow.url)
        with ExitStack() as stack:
            for _ in range(12):
                opened = socket.create_connection((where.hostname or "", where.port or 0), timeout=30)
                stack.enter_context(closing(opened))
                opened.sendall(head)
            answers: list[int] = []
            threads = [
                threading.Thread(
                    target=lambda: answers.append(at(narrow, other).post("/v1/entities/batch", json=BATCH).status_code)
                )
                for _ in range(6)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert answers == [202] * 6
