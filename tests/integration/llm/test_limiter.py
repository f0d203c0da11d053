"""One budget for all workers: each `LanguageModels` here stands for a process, Postgres is what they share."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import orjson
import pytest

from tests.support.llm_server import KEY, TOKENS_IN, TOKENS_OUT, Fault, LlmServer, llm_server
from tests.support.waiting import eventually
from towpath.accounts.limits import LimitName
from towpath.accounts.store.usage import set_limits
from towpath.accounts.types import DEFAULT_ORGANIZATION
from towpath.core.errors import RateLimitedError
from towpath.db.engine import Database
from towpath.enrichment.types import BATCH_ENRICHMENT
from towpath.jobs.rows import waiting_of
from towpath.jobs.store import jobs as job_store
from towpath.jobs.store.event_log import read_events
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef
from towpath.jobs.waits import CURRENT_WAITS, ActivityWaits
from towpath.llm import LanguageModels
from towpath.llm.limiter.budgets import budgets_of, measure_use
from towpath.llm.limiter.ledger import PostgresLedger
from towpath.llm.limiter.limiter import ProviderLimiter
from towpath.llm.limiter.telling import telling
from towpath.llm.limiter.types import Budget, PoolKey
from towpath.llm.store.pools import read_pools
from towpath.llm.types import LlmConfig, Prompt, ProviderConfig

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
NO_LIMITS = dict.fromkeys(LimitName, 0)
PROGRAM = """
import asyncio, sys
from towpath.db.engine import Database
from towpath.llm.limiter.ledger import PostgresLedger
from towpath.llm.limiter.limiter import ProviderLimiter
from towpath.llm.limiter.types import Budget, PoolKey

async def main():
    limiter = ProviderLimiter(PostgresLedger(Database(sys.argv[1])))
    pool = limiter.pool(PoolKey.of("openai", sys.argv[2]), Budget(calls=3))
    for _ in range(3):
        await pool.enter("org", 100)
    print("holds", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def prompt(text: str) -> Prompt:
    return Prompt(system="be exact", user=text, form=FORM)


async def nowhere() -> str:
    raise AssertionError("nobody asked for the local model")


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


Process = Callable[[], LanguageModels]


@asynccontextmanager
async def processes(
    database: Database, server: LlmServer, count: int, **limits: int
) -> AsyncIterator[list[LanguageModels]]:
    """So many workers with the same settings; the provider's name is a new one, and so is the budget."""
    provider = ProviderConfig(url=f"{server.url}/v1", key=KEY, **limits)
    name = f"p{uuid4().hex[:8]}"
    config = LlmConfig(providers={name: provider}, seconds=20.0, repairs=0)
    made = []
    for _ in range(count):
        limiter = ProviderLimiter(PostgresLedger(database), budgets_of(database, NO_LIMITS), telling(database))
        made.append(LanguageModels(config, nowhere, limiter))
    try:
        yield made
    finally:
        for models in made:
            await models.close()


def model_of(models: LanguageModels) -> str:
    return f"{next(iter(models._config.providers))}::m"


async def ask(models: LanguageModels, text: str, organization: str = "org") -> None:
    await models.ask(organization, model_of(models), prompt(text))


async def hold_of(database: Database, models: LanguageModels) -> float:
    """How long the pool of these processes is held, as Postgres knows it."""
    name = model_of(models).partition("::")[0]
    return next((state.hold - now for provider, state, now in await read_pools(database) if provider == name), 0.0)


async def test_two_processes_together_have_as_many_calls_at_once_as_are_allowed(
    database: Database, server: LlmServer
) -> None:
    server.seconds = 0.1
    async with processes(database, server, 2, concurrency=3) as workers:
        await asyncio.gather(*(ask(workers[number % 2], f"firm {number}") for number in range(30)))
    assert server.most_at_once == 3
    assert server.paid.total() == 30


async def test_a_retry_after_of_one_call_holds_the_calls_of_another_process(
    database: Database, server: LlmServer
) -> None:
    arrived: dict[str, float] = {}

    def note(_model: str, text: str, _form: object) -> None:
        arrived[text] = time.monotonic()

    server.answer = note
    server.faults = [Fault(status=429, headers={"Retry-After": "3"}, match="first")]
    async with processes(database, server, 2) as (one, other):
        # It has a slot at hand when the other one is told to wait.
        await ask(other, "before")
        asked = time.monotonic()
        first = asyncio.create_task(ask(one, "first"))
        await eventually(lambda: is_held(database, one), "hold")
        await asyncio.sleep(0.6)
        await asyncio.gather(first, *(ask(other, f"queued {number}") for number in range(5)))
    # The refused call was no failure: it went back into the queue, and came again after the others were let go.
    assert len(server.calls) == 8
    assert min(at for text, at in arrived.items() if text != "before") - asked >= 3


async def is_held(database: Database, models: LanguageModels) -> bool:
    return await hold_of(database, models) > 0


async def test_a_long_hold_gives_every_call_back_and_sends_none(database: Database, server: LlmServer) -> None:
    server.faults = [Fault(status=429, headers={"Retry-After": "700"})]
    async with processes(database, server, 2) as (one, other):
        with pytest.raises(RateLimitedError) as caught:
            await ask(one, "first")
        assert caught.value.retry_after == 700
        await eventually(lambda: is_held(database, one), "hold")
        for organization in ("org", "another"):
            with pytest.raises(RateLimitedError, match="asks all requests with its key to wait") as held:
                await ask(other, "second", organization)
            assert 600 < (held.value.retry_after or 0) <= 700
    assert len(server.calls) == 1


async def test_what_a_killed_process_held_comes_back(database: Database, server: LlmServer) -> None:
    key = f"sk-{uuid4().hex}"
    command = [sys.executable, "-c", PROGRAM, database.url, key]
    held = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert held.stdout is not None
        assert await asyncio.to_thread(held.stdout.readline) == "holds\n"
        limiter = ProviderLimiter(PostgresLedger(database))
        pool = limiter.pool(PoolKey.of("openai", key), Budget(calls=3))
        waiting = [asyncio.create_task(pool.enter("org", 100)) for _ in range(3)]
        await eventually(lambda: is_waiting(database, "openai", 3), "three that wait")
        assert not any(task.done() for task in waiting)
    finally:
        held.kill()
        held.wait()
    async with asyncio.timeout(60):
        await asyncio.gather(*waiting)
    await limiter.stop()


async def is_waiting(database: Database, provider: str, count: int) -> bool:
    """Whether so many requests wait at a provider."""
    claims = [
        claim
        for name, state, _ in await read_pools(database)
        if name == provider
        for holder in state.holders.values()
        for claim in holder.claims.values()
    ]
    return sum(claim.waiting for claim in claims) == count


async def test_the_end_of_a_process_and_a_cancel_end_a_wait_at_once(database: Database, server: LlmServer) -> None:
    server.seconds = 5.0
    async with processes(database, server, 1, concurrency=1) as (models,):
        running = asyncio.create_task(ask(models, "running"))
        await eventually(lambda: bool(server.calls), "call")
        given_up, left = (asyncio.create_task(ask(models, text)) for text in ("given up", "left"))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert not running.done()
        models._limiter.close()
        with pytest.raises(RateLimitedError, match="the worker stops"):
            await left
        assert not running.done()
        await running
    assert len(server.calls) == 1


async def test_tokens_that_were_used_count_for_their_organization_alone(database: Database, server: LlmServer) -> None:
    mine, theirs = uuid4().hex, uuid4().hex
    async with processes(database, server, 2, tokens_per_minute=1_000_000) as workers:
        await asyncio.gather(*(ask(workers[number % 2], f"firm {number}", mine) for number in range(10)))
    used = await measure_use(database, mine)
    # The minute may have turned meanwhile: then a part has left it already.
    assert 5 < used[LimitName.LLM_REQUESTS] <= 10
    assert 5 * (TOKENS_IN + TOKENS_OUT) < used[LimitName.LLM_TOKENS] <= 10 * (TOKENS_IN + TOKENS_OUT)
    assert set((await measure_use(database, theirs)).values()) == {0}


async def test_an_organizations_own_limit_of_calls_at_once_holds_over_all_processes(
    database: Database, server: LlmServer
) -> None:
    organization = uuid4().hex
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO organizations (id, name) VALUES (%s, %s)", (organization, organization))
    await set_limits(database, organization, {LimitName.LLM_CALLS: 2})
    server.seconds = 0.1
    async with processes(database, server, 2, concurrency=20) as workers:
        await asyncio.gather(*(ask(workers[number % 2], f"firm {number}", organization) for number in range(12)))
        assert server.most_at_once == 2
        await asyncio.gather(*(ask(workers[number % 2], f"free {number}") for number in range(12)))
    assert server.most_at_once > 2


async def test_a_job_is_told_what_it_waits_for(database: Database, server: LlmServer) -> None:
    job = JobRow(id=uuid4(), organization=DEFAULT_ORGANIZATION, kind=BATCH_ENRICHMENT, total=1, params={})
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO organizations (id, name) VALUES (%s, 'x') ON CONFLICT DO NOTHING", (DEFAULT_ORGANIZATION,)
        )
        await job_store.create_job(connection, job)
    ref = JobRef(organization=job.organization, job_id=job.id, kind=job.kind)
    await job_store.begin_job(database, ref)
    waits = ActivityWaits(ref)
    server.faults = [Fault(status=429, headers={"Retry-After": "5"})]
    async with processes(database, server, 1) as (models,):
        CURRENT_WAITS.set(waits)
        asked = asyncio.create_task(models.ask(job.organization, model_of(models), prompt("held")))
        CURRENT_WAITS.set(None)
        await eventually(lambda: has_waiting_event(database, ref), "event")
        provider = model_of(models).partition("::")[0]
        assert waits.details[0].startswith(f"1 request waits for {provider} until ")
        row = await job_store.get_job(database, job.organization, job.id)
        told = [event.data for event in await read_events(database, job.id, after=0) if event.type == "job.waiting"]
        assert [(one["provider"], one["reason"], one["requests"]) for one in told] == [(provider, "retry_after", 1)]
        shown = waiting_of(row, row.updated_at)
        assert shown is not None
        assert shown.provider == provider
        await asked
    assert waits.details == ()


async def has_waiting_event(database: Database, ref: JobRef) -> bool:
    return any(event.type == "job.waiting" for event in await read_events(database, ref.job_id, after=0))


async def test_the_key_is_kept_nowhere(database: Database, server: LlmServer) -> None:
    async with processes(database, server, 1) as (models,):
        await ask(models, "firm")
        async with database.statement() as connection:
            rows = await (await connection.execute("SELECT to_jsonb(p) FROM llm_pools p")).fetchall()
    assert rows
    assert KEY not in orjson.dumps([row[0] for row in rows]).decode()
