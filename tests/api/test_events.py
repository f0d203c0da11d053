"""Streams: quiet ones, many at once, beside a writer, over lost notifications, with a token of another job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio

from contracts.jobs import EventType, Finish, JobKind, JobRef, JobState, NewEvent
from runtime.embedded import EmbeddedStack
from stores import jobs as store
from stores.auth import DEFAULT_ORGANIZATION
from stores.db import Database
from stores.events import EventHub
from stores.job_events import append_events
from stores.tables import JobRow
from tests.builders import Organization
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")
MANY = 500


@pytest_asyncio.fixture(loop_scope="session")
async def systems_database(system: EmbeddedStack) -> AsyncIterator[Database]:
    """The running system's database."""
    handle = Database(system.database_url)
    yield handle
    await handle.close()


async def running(database: Database, organization: str) -> JobRef:
    """A job that runs, without a workflow."""
    job = JobRow(id=uuid4(), organization=organization, kind=JobKind.BATCH_ENRICHMENT, total=10, params={})
    async with database.transaction() as connection:
        await store.create_job(connection, job)
    ref = JobRef(organization=organization, job_id=job.id, kind=job.kind, attempt=1)
    await store.begin_job(database, ref)
    return ref


async def tell(database: Database, ref: JobRef, number: int) -> None:
    async with database.transaction() as connection:
        await append_events(connection, ref, [NewEvent(type="told", key=f"told {number}", data={"number": number})])


async def end(database: Database, ref: JobRef) -> None:
    await store.finish_job(database, Finish(ref=ref, state=JobState.COMPLETED))


async def read(
    url: str, key: str, job: UUID, ready: asyncio.Semaphore | None = None, seen: list[str] | None = None
) -> list[str]:
    """Every line that a stream sends until it closes; `seen` has them as they come."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    assert b" 200 " in await reader.readline()
    if ready is not None:
        ready.release()
    lines = [] if seen is None else seen
    async for line in reader:
        lines.append(line.decode().strip())
    writer.close()
    return lines


def numbers(lines: list[str]) -> list[int]:
    return [int(line[4:]) for line in lines if line.startswith("id: ")]


async def test_many_streams_at_once_each_miss_nothing_and_see_nothing_twice(
    system: EmbeddedStack, systems_database: Database
) -> None:
    refs = [await running(systems_database, DEFAULT_ORGANIZATION) for _ in range(10)]
    ready = asyncio.Semaphore(0)
    readers = [
        asyncio.create_task(read(system.api_url, system.api_key, refs[place % 10].job_id, ready))
        for place in range(MANY)
    ]
    for _ in range(MANY):
        await ready.acquire()
    for number in range(20):
        for ref in refs:
            await tell(systems_database, ref, number)
    for ref in refs:
        await end(systems_database, ref)

    for place, lines in enumerate(await asyncio.gather(*readers)):
        assert numbers(lines) == list(range(1, 24)), (place, lines)
        assert f"event: {EventType.COMPLETED}" in lines


async def test_a_reader_beside_a_writer_sees_the_order_of_commits(
    system: EmbeddedStack, systems_database: Database
) -> None:
    ref = await running(systems_database, DEFAULT_ORGANIZATION)
    following = asyncio.create_task(read(system.api_url, system.api_key, ref.job_id))
    await asyncio.gather(*(tell(systems_database, ref, number) for number in range(200)))
    late = asyncio.create_task(read(system.api_url, system.api_key, ref.job_id))
    await end(systems_database, ref)
    first, second = await following, await late

    assert numbers(first) == list(range(1, 204))
    assert [line for line in first if line.startswith(("id:", "data:"))] == [
        line for line in second if line.startswith(("id:", "data:"))
    ]


async def test_a_quiet_stream_is_kept_open_by_comments(system: EmbeddedStack, systems_database: Database) -> None:
    ref = await running(systems_database, DEFAULT_ORGANIZATION)
    seen: list[str] = []
    following = asyncio.create_task(read(system.api_url, system.api_key, ref.job_id, seen=seen))
    await eventually(lambda: ": alive" in seen, "comment")
    await end(systems_database, ref)

    assert await following == seen


async def test_an_event_without_a_notification_is_found_all_the_same(database: Database) -> None:
    ref = await running(database, DEFAULT_ORGANIZATION)
    hub = EventHub(database)
    await hub.start()
    seen: list[int] = []

    async def follow() -> None:
        async for events in hub.follow(ref.job_id, after=0, seconds=60):
            seen.extend(event.seq for event in events)

    following = asyncio.create_task(follow())
    while not seen:
        await asyncio.sleep(0.02)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO job_events (job_id, seq, key, type, data) VALUES (%s, 3, 'unheard', 'told', '{}')",
            (ref.job_id,),
        )
        connection.execute("UPDATE jobs SET last_seq = 3, state = 'FAILED' WHERE id = %s", (ref.job_id,))
    await asyncio.wait_for(following, 30)
    await hub.close()
    assert seen == [1, 2, 3]


async def test_a_token_of_another_job_or_a_spoilt_one_opens_nothing(system: EmbeddedStack, org: Organization) -> None:
    one, other = (org.enrich(entity_data={"name": name}, schema_id=org.schema(name)) for name in ("a", "b"))
    token = org.call("POST", f"/v1/jobs/{one}/stream-token")["token"]
    for path in (f"/v1/jobs/{other}/events", f"/api/llm/stream/{other}"):
        for wrong in (token, token[:-2] + "xx", ""):
            answer = httpx.get(f"{system.api_url}{path}", params={"token": wrong})
            assert answer.status_code == 401, answer.text
    began = time.monotonic()
    org.until(one), org.until(other)
    assert httpx.get(f"{system.api_url}/v1/jobs/{one}/events", params={"token": token}).status_code == 200
    assert time.monotonic() - began < 300
