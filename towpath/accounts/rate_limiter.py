"""How often something may happen: sign-ins of an account, requests of an organization, for all façades together.

What happens often is counted in blocks: a process takes some at once from the shared counter and spends them from its
own memory. So the limit is never passed, and near to it up to one block a process may stay unused.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from dataclasses import dataclass, field

from limits import RateLimitItemPerSecond
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from towpath.accounts.store.rates import PostgresStorage
from towpath.core.errors import LimitReachedError, UnavailableError
from towpath.db.engine import Database, is_away

logger = logging.getLogger(__name__)

MAX_KEY = 200
MAX_BLOCKS = 10_000
BLOCKS_A_WINDOW = 10
"""A block is given up after this part of its window."""
MIN_SHARE = 200
"""A block is at most this part of its limit."""
PAUSE_SECONDS = 5.0
"""How long Postgres is not asked again where it did not answer."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit of how often.

    Attributes:
        name: What the client is told: words like `sign_ins_a_minute`.
        most: How often in a window; 0: as often as wanted.
        seconds: The window, which slides.
        exact: Whether each is counted in Postgres by itself; else in blocks, as requests are.
    """

    name: str
    most: int
    seconds: int = 60
    exact: bool = True

    @property
    def item(self) -> RateLimitItemPerSecond:
        """The same for the library."""
        return RateLimitItemPerSecond(self.most, self.seconds, self.name)


@dataclass(slots=True)
class _Block:
    """What a process has taken of one key and not spent."""

    remaining: int = 0
    size: int = 1
    until: float = 0.0
    wait: int = 0
    refused_until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Limiter:
    """Counts by name and key.

    Args:
        database: Holds the counters.
    """

    def __init__(self, database: Database) -> None:
        self._storage = PostgresStorage(database)
        self._strategy = SlidingWindowCounterRateLimiter(self._storage)
        self._blocks: dict[tuple[Rate, str], _Block] = {}
        self._away_until = 0.0

    async def hit(self, rate: Rate, key: str, amount: int = 1, *, strict: bool = False) -> None:
        """Count something that is about to happen. What is refused does not count.

        Args:
            rate: The limit.
            key: Of whom: an organization, an account, an address; told apart by `rate.name`.
            amount: How many at once.
            strict: Refuse where Postgres does not answer; else it is let through, with a line in the log.

        Raises:
            LimitReachedError: It is used up; tells when there is room again.
            UnavailableError: `strict`, and Postgres does not answer.
        """
        if rate.most == 0:
            return
        if self._away_until > time.monotonic() and not strict:
            return
        try:
            await (self._take(rate, key, amount) if rate.exact else self._spend(rate, key, amount))
        except Exception as error:
            raise_unless_away(error, quiet=strict or self._away_until > time.monotonic())
            if strict:
                raise UnavailableError("attempts cannot be counted now; try again") from error
            self._away_until = time.monotonic() + PAUSE_SECONDS

    async def forgive(self, rate: Rate, key: str, amount: int = 1) -> None:
        """Take back what was counted by `hit` of an exact rate: it was no guess."""
        await self._storage.give_back(rate.item.key_for(_short(key)), amount)

    async def forget(self, rate: Rate, key: str) -> None:
        """Begin to count anew."""
        await self._strategy.clear(rate.item, _short(key))

    async def used(self, rate: Rate, key: str) -> int:
        """Return how many of the limit are used; with blocks, what the processes have taken."""
        if rate.most == 0:
            return 0
        return rate.most - (await self._strategy.get_window_stats(rate.item, _short(key))).remaining

    async def _take(self, rate: Rate, key: str, amount: int) -> None:
        if not await self._strategy.hit(rate.item, _short(key), cost=amount):
            raise _reached(rate, await self._wait(rate, key))

    async def _wait(self, rate: Rate, key: str) -> int:
        stats = await self._strategy.get_window_stats(rate.item, _short(key))
        return min(max(math.ceil(stats.reset_time - time.time()), 1), rate.seconds)

    async def _spend(self, rate: Rate, key: str, amount: int) -> None:
        block = self._block(rate, key)
        if _pay(block, amount):
            return
        async with block.lock:
            # Whoever waited here may find what the one before has taken.
            if _pay(block, amount):
                return
            if block.refused_until > time.monotonic():
                raise _reached(rate, block.wait)
            await self._refill(rate, key, block, amount)

    async def _refill(self, rate: Rate, key: str, block: _Block, amount: int) -> None:
        """Take a block: twice the last where that was spent in time, else as much as was."""
        spent = block.until > time.monotonic()
        size = 2 * block.size if spent else block.size - block.remaining
        size = max(min(size, rate.most // MIN_SHARE), amount, 1)
        is_granted = await self._strategy.hit(rate.item, _short(key), cost=size)
        if not is_granted and size > amount:
            size = amount
            is_granted = await self._strategy.hit(rate.item, _short(key), cost=size)
        if not is_granted:
            block.wait = await self._wait(rate, key)
            # One who knocks without a pause costs no statement each time.
            block.refused_until = time.monotonic() + 1
            raise _reached(rate, block.wait)
        block.size, block.remaining = size, size - amount
        block.until = time.monotonic() + rate.seconds / BLOCKS_A_WINDOW

    def _block(self, rate: Rate, key: str) -> _Block:
        block = self._blocks.get((rate, key))
        if block is None:
            if len(self._blocks) >= MAX_BLOCKS:
                now = time.monotonic()
                self._blocks = {
                    at: block for at, block in self._blocks.items() if block.until > now or block.lock.locked()
                }
            block = self._blocks[rate, key] = _Block()
        return block


def raise_unless_away(error: Exception, *, quiet: bool = False) -> None:
    """Let a limit be where the database does not answer; every other error is raised again.

    Args:
        error: What went wrong.
        quiet: Without a line in the log.
    """
    if not is_away(error) and not is_away(getattr(error, "orig", None)):
        raise error
    if not quiet:
        logger.warning("limits are not counted: the database does not answer: %s", error)


def _pay(block: _Block, amount: int) -> bool:
    if block.remaining < amount or block.until <= time.monotonic():
        return False
    block.remaining -= amount
    return True


def _reached(rate: Rate, wait: int) -> LimitReachedError:
    return LimitReachedError(rate.name, rate.most, window=rate.seconds, retry_after=wait)


def _short(key: str) -> str:
    """Return a key of bounded length: an address typed by anybody may have any."""
    return key if len(key) <= MAX_KEY else hashlib.sha256(key.encode()).hexdigest()
