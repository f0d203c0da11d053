"""The limiter of a process: one pool for each provider's key, and what the jobs are told of their waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from towpath.jobs.waits import ActivityWaits
from towpath.llm.limiter.ledger import Ledger
from towpath.llm.limiter.pool import Pool
from towpath.llm.limiter.types import Budget, PoolKey, WaitReason

logger = logging.getLogger(__name__)

BUDGET_KNOWN_SECONDS = 10.0
MAX_KNOWN = 10_000
TELL_AFTER_SECONDS = 2.0
TELL_EVERY_SECONDS = 5.0
MAX_TELL_SECONDS = 60.0
PURPOSES = {
    WaitReason.HELD: "it asks to wait",
    WaitReason.RATE: "its limit of a minute is used",
    WaitReason.CALLS: "as many calls as may be are on the way",
}

LoadBudget = Callable[[str], Awaitable[Budget]]
Tell = Callable[[ActivityWaits, str, WaitReason, int, datetime], Awaitable[None]]


async def _no_budget(_organization: str) -> Budget:
    return Budget()


class ProviderLimiter:
    """All pools of this process.

    Args:
        ledger: Knows what all processes do.
        load_budget: Tells an organization's own budget; None: none has one.
        tell: Tells a job what it waits for, why, with how many requests and until when; None: nobody is told.
    """

    def __init__(self, ledger: Ledger, load_budget: LoadBudget | None = None, tell: Tell | None = None) -> None:
        self._ledger = ledger
        self._load_budget = load_budget or _no_budget
        self._tell = tell
        self._pools: dict[PoolKey, Pool] = {}
        self._budgets: dict[str, tuple[float, Budget]] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def pool(self, key: PoolKey, budget: Budget) -> Pool:
        """Return the pool of a provider's key; the first who asks says its budget."""
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(key, budget, self._ledger, self._budget_of, self._watch)
        return pool

    def close(self) -> None:
        """End every wait at once: the process is about to stop."""
        for pool in self._pools.values():
            pool.close()

    async def stop(self) -> None:
        """Give back everything that this process holds."""
        for pool in self._pools.values():
            await pool.stop()
        for task in list(self._telling):
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _budget_of(self, organization: str) -> Budget:
        until, budget = self._budgets.get(organization, (0.0, Budget()))
        if until > time.monotonic():
            return budget
        if len(self._budgets) >= MAX_KNOWN:
            self._budgets.clear()
        budget = await self._load_budget(organization)
        self._budgets[organization] = (time.monotonic() + BUDGET_KNOWN_SECONDS, budget)
        return budget

    def _watch(self, pool: Pool) -> None:
        """Say in heartbeats what is waited for, and tell the jobs that have waited a while, now and then."""
        now = time.monotonic()
        for place in pool.places.values():
            if not place.queue:
                continue
            reason = pool.reason(place)
            until = pool.hold_until if reason is WaitReason.HELD else pool.again_at
            at = datetime.now(UTC) + timedelta(seconds=max(until - now, 0.0))
            counts: dict[ActivityWaits, int] = {}
            oldest: dict[ActivityWaits, float] = {}
            for waiter in place.queue:
                if waiter.waits is not None:
                    counts[waiter.waits] = counts.get(waiter.waits, 0) + 1
                    oldest.setdefault(waiter.waits, waiter.since)
            for waits, count in counts.items():
                waits.words = _words(pool.key.provider, reason, count, at)
                if reason is WaitReason.CALLS or now - oldest[waits] < TELL_AFTER_SECONDS or now < waits.tell_at:
                    continue
                waits.tell_at = now + min(TELL_EVERY_SECONDS * 2**waits.events, MAX_TELL_SECONDS)
                waits.events += 1
                self._start_telling(waits, pool.key.provider, reason, count, at)

    def _start_telling(
        self, waits: ActivityWaits, provider: str, reason: WaitReason, count: int, until: datetime
    ) -> None:
        if self._tell is None or waits.ref is None:
            return
        # Beside the exchanges: a slow database must not slow down what asks for permits.
        task = asyncio.create_task(self._tell_safely(waits, provider, reason, count, until))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell_safely(
        self, waits: ActivityWaits, provider: str, reason: WaitReason, count: int, until: datetime
    ) -> None:
        assert self._tell is not None
        try:
            await self._tell(waits, provider, reason, count, until)
        except Exception as error:
            logger.debug("a wait could not be told: %s", error)


def _words(provider: str, reason: WaitReason, count: int, until: datetime) -> str:
    requests = "1 request waits" if count == 1 else f"{count} requests wait"
    when = "" if reason is WaitReason.CALLS else f" until {until:%H:%M:%S} UTC"
    return f"{requests} for {provider}{when}: {PURPOSES[reason]}"
