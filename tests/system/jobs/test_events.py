"""Streams: quiet ones, many at once, beside a writer, over lost notifications, with a token of another job."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import pytest_asyncio

from tests.support.builders import Organization
from tests.support.console.browser import NewPage
from tests.support.llm_server import LlmServer
from towpath.accounts.limits import LimitName
from towpath.accounts.store.usage import set_limits
from towpath.accounts.types import DEFAULT_ORGANIZATION
from towpath.db.engine import Database
from towpath.enrichment.types import BATCH_ENRICHMENT
from towpath.jobs.event_hub import EventHub
from towpath.jobs.store import jobs as store
from towpath.jobs.store.ends import finish_job
from towpath.jobs.store.events import append_events
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import EventType, Finish, JobRef, JobState, NewEvent
from towpath.runtime.embedded import EmbeddedStack

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
    job = JobRow(id=uuid4(), organization=organization, kind=BATCH_ENRICHMENT, total=10, params={})
    async with database.transaction() as connection:
        await store.create_job(connection, job)
    ref = JobRef(organization=organization, job_id=job.id, kind=job.kind, attempt=1)
    await store.begin_job(database, ref)
    return ref


async def tell(database: Database, ref: JobRef, number: int) -> None:
    async with database.transaction() as connection:
        await append_events(connection, ref, [NewEvent(type="told", key=f"told {number}", data={"number": number})])


async def end(database: Database, ref: JobRef) -> None:
    await finish_job(database, Finish(ref=ref, state=JobState.COMPLETED))


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
    await set_limits(systems_database, DEFAULT_ORGANIZATION, {LimitName.STREAMS: 0})
    # Who asks for the limits has the façade look them up.
    httpx.get(f"{system.api_url}/v1/limits", headers={"X-API-Key": system.api_key}).raise_for_status()
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


STREAMS = ("/v1/jobs/{}/events", "/api/llm/stream/{}", "/api/enrichment/stream/{}")
SILENCE = 5.0
"""Seconds after which httpx gives up on a connection, unless it is told otherwise."""


@pytest.mark.parametrize("path", STREAMS)
async def test_a_quiet_stream_is_kept_open_by_comments_from_its_beginning(
    system: EmbeddedStack, systems_database: Database, path: str
) -> None:
    ref = await running(systems_database, DEFAULT_ORGANIZATION)
    seen: list[str] = []
    # As a client that sets no time-out has it.
    async with (
        httpx.AsyncClient(base_url=system.api_url, headers={"X-API-Key": system.api_key}) as client,
        client.stream("GET", path.format(ref.job_id), params={"last_event_id": 10_000}) as answer,
    ):
        assert client.timeout.read == SILENCE
        async for line in answer.aiter_lines():
            seen.append(line)
            if seen.count(": alive") == 2:
                await end(systems_database, ref)

    assert not any(line.startswith("data:") for line in seen)


def seeds_example(base: str, headers: dict[str, str], body: dict[str, object]) -> Iterator[str]:
    """The example of the seed to the letter, time-outs and all; it gives the lines that it sees."""
    job_id = httpx.post(f"{base}/api/single/enrich/stream", headers=headers, json=body).json()["job_id"]
    record_id = None
    with httpx.stream("GET", f"{base}/api/llm/stream/{job_id}", headers=headers) as stream:
        for line in stream.iter_lines():
            yield line
            if not line.startswith("data: "):
                continue
            event = json.loads(line[6:])
            if event["type"] == "model_completed" and event.get("record_id"):
                record_id = event["record_id"]
            elif event["type"] == "completed":
                break
    assert record_id
    record = httpx.get(f"{base}/api/records/{record_id}", headers=headers).json()
    yield json.dumps(record["structured_output"], indent=2)


async def test_the_seeds_own_example_outlives_a_model_that_takes_longer_than_its_time_out(
    system: EmbeddedStack, org: Organization, provider: LlmServer
) -> None:
    let_go = threading.Event()
    provider.answer = lambda _model, _prompt, _form: let_go.wait(60) and None
    body = {"entity_data": {"name": "Orion"}, "schema_id": org.schema(), "models": ["openai::gpt-4o"]}

    lines: list[str] = []
    for line in seeds_example(system.api_url, {"X-API-Key": org.key}, body):
        lines.append(line)
        if lines.count(": alive") == 2:
            let_go.set()

    assert lines.count(": alive") >= 2
    assert "slogan" in lines[-1]


@pytest.mark.parametrize("path", STREAMS)
async def test_who_comes_back_gets_what_is_left_and_then_a_204(
    system: EmbeddedStack, systems_database: Database, path: str
) -> None:
    ref = await running(systems_database, DEFAULT_ORGANIZATION)
    await tell(systems_database, ref, 1)
    await end(systems_database, ref)
    address = f"{system.api_url}{path.format(ref.job_id)}"

    def come_back(position: str | None, **query: str) -> httpx.Response:
        headers = {"X-API-Key": system.api_key} | ({"Last-Event-ID": position} if position else {})
        return httpx.get(address, headers=headers, params=query)

    seen = numbers(come_back(None).text.splitlines())
    for place, number in enumerate(seen[:-1]):
        assert numbers(come_back(str(number)).text.splitlines()) == seen[place + 1 :]
    for answer in (
        come_back(str(seen[-1])),
        come_back(str(seen[-1] + 1000)),
        come_back(None, last_event_id=str(seen[-1])),
        come_back(str(seen[-1]), last_event_id="0"),
    ):
        assert (answer.status_code, answer.content) == (204, b"")
    assert numbers(come_back(str(seen[-2]), last_event_id=str(seen[-1])).text.splitlines()) == seen[-1:]
    assert come_back(None, last_event_id="0").status_code == 200


@pytest.mark.parametrize("path", STREAMS)
async def test_a_browser_stops_coming_back_when_a_job_has_ended(
    system: EmbeddedStack, systems_database: Database, new_page: NewPage, path: str
) -> None:
    ref = await running(systems_database, DEFAULT_ORGANIZATION)
    with httpx.Client(base_url=system.api_url, headers={"X-API-Key": system.api_key}) as client:
        token = client.post(f"/v1/jobs/{ref.job_id}/stream-token").json()["token"]
    page = await new_page()
    # An answer of the API may load nothing and our pages evaluate nothing: a page of the same origin that may.
    await page.route("**/blank", lambda route: route.fulfill(content_type="text/html", body="<!doctype html>"))
    await page.goto(f"{system.api_url}/blank")
    await page.evaluate(
        """address => {
            window.seen = [];
            window.opened = 0;
            window.source = new EventSource(address);
            window.source.onopen = () => { window.opened += 1; };
            for (const name of ["message", "told", "job.completed"])
                window.source.addEventListener(name, event => window.seen.push(event.lastEventId));
        }""",
        f"{path.format(ref.job_id)}?token={token}",
    )
    await page.wait_for_function("window.opened === 1")
    await tell(systems_database, ref, 1)
    await end(systems_database, ref)

    await page.wait_for_function("window.source.readyState === EventSource.CLOSED", timeout=60_000)

    seen = await page.evaluate("window.seen")
    assert len(seen) == len(set(seen)) >= 2, seen
    assert await page.evaluate("window.opened") == 1


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
