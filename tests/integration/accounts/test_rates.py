"""Limits that all façades count together: each `Limiter` here stands for a process."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from towpath.accounts.rate_limiter import MIN_SHARE, Limiter, Rate
from towpath.accounts.store.rates import PostgresStorage, sweep_counters
from towpath.core.errors import ErrorCode, LimitReachedError, UnavailableError
from towpath.db.engine import Database

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR = 3600
"""A window that a slow machine does not leave in the middle of a test."""


async def let_through(limiters: list[Limiter], rate: Rate, key: str, tries: int) -> int:
    """How many of so many tries go through, in turn at each of the processes."""

    async def attempt(place: int) -> int:
        try:
            await limiters[place % len(limiters)].hit(rate, key)
        except LimitReachedError:
            return 0
        return 1

    return sum(await asyncio.gather(*(attempt(place) for place in range(tries))))


async def test_processes_count_together_to_the_exact_number(database: Database) -> None:
    key, rate = uuid4().hex, Rate("exact", 10, HOUR)
    processes = [Limiter(database), Limiter(database)]
    assert await let_through(processes, rate, key, 25) == 10
    with pytest.raises(LimitReachedError) as caught:
        await processes[0].hit(rate, key)
    assert caught.value.code is ErrorCode.LIMIT_REACHED
    assert caught.value.limit == "exact"
    assert 1 <= (caught.value.retry_after or 0) <= HOUR
    await processes[0].hit(rate, uuid4().hex)
    assert await processes[1].used(rate, key) == 10


async def test_blocks_never_pass_the_limit_and_leave_little_unused(database: Database) -> None:
    key, rate = uuid4().hex, Rate("blocks", 2000, HOUR, exact=False)
    processes = [Limiter(database), Limiter(database)]
    through = await let_through(processes, rate, key, 2500)
    assert 2000 - len(processes) * (2000 // MIN_SHARE) <= through <= 2000


async def test_blocks_cost_few_statements(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    acquire = PostgresStorage.acquire_sliding_window_entry

    async def counted(self: PostgresStorage, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        nonlocal asked
        asked += 1
        return await acquire(self, key, limit, expiry, amount)

    monkeypatch.setattr(PostgresStorage, "acquire_sliding_window_entry", counted)
    assert await let_through([Limiter(database)], Rate("cheap", 100_000, HOUR, exact=False), uuid4().hex, 2000) == 2000
    assert asked < 20


async def test_what_is_refused_does_not_count_and_what_is_forgiven_is_given_back(database: Database) -> None:
    key, rate, limiter = uuid4().hex, Rate("forgiven", 2, HOUR), Limiter(database)
    assert await let_through([limiter], rate, key, 9) == 2
    await limiter.forgive(rate, key)
    assert await let_through([limiter], rate, key, 9) == 1
    await limiter.forget(rate, key)
    assert await let_through([limiter], rate, key, 9) == 2
    with pytest.raises(LimitReachedError):
        await limiter.hit(rate, uuid4().hex, 3)


async def test_the_window_before_counts_in_part(database: Database) -> None:
    key, storage = uuid4().hex, PostgresStorage(database)
    assert await storage.acquire_sliding_window_entry(key, 100, HOUR, 100)
    async with database.transaction() as connection:
        await connection.execute("UPDATE rate_counters SET slot = slot - 1 WHERE key = %s", (key,))
    previous, left, present, _ = await storage.get_sliding_window(key, HOUR)
    assert (previous, present) == (100, 0)
    assert 0 < left <= HOUR
    room = 100 - int(100 * left / HOUR)
    assert not await storage.acquire_sliding_window_entry(key, 100, HOUR, room + 2)
    assert room < 3 or await storage.acquire_sliding_window_entry(key, 100, HOUR, room - 2)


async def test_fixed_windows_and_the_sweep(database: Database) -> None:
    key, storage = uuid4().hex, PostgresStorage(database)
    assert [await storage.incr(key, HOUR, 2), await storage.incr(key, HOUR), await storage.get(key)] == [2, 3, 3]
    async with database.transaction() as connection:
        await connection.execute("UPDATE rate_counters SET expires_at = now() - interval '1 s' WHERE key = %s", (key,))
    assert await storage.get(key) == 0
    await sweep_counters(database)
    async with database.statement() as connection:
        found = await connection.execute("SELECT count(*) FROM rate_counters WHERE key = %s", (key,))
        assert await found.fetchone() == (0,)


async def test_a_long_key_is_counted_as_any(database: Database) -> None:
    key, rate = "long" * 10_000, Rate("long", 1, HOUR)
    assert await let_through([Limiter(database)], rate, key, 3) == 1


async def test_without_postgres_requests_go_on_and_sign_ins_do_not(
    parts: object, caplog: pytest.LogCaptureFixture
) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none")
    limiter, rate = Limiter(away), Rate("away", 1)
    for _ in range(3):
        await limiter.hit(rate, "one")
        await limiter.hit(Rate("blocks", 1, exact=False), "one")
    assert caplog.text.count("limits are not counted") == 1
    with pytest.raises(UnavailableError):
        await limiter.hit(rate, "one", strict=True)
    await away.close()
