"""Where the limiter's state is kept: in Postgres for all workers, or in memory for one process."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Protocol

from towpath.db.engine import Database
from towpath.llm.limiter.shares import exchange
from towpath.llm.limiter.types import Budget, PoolKey, PoolState, Report, Turn
from towpath.llm.store.pools import lock_pool, save_pool


class Ledger(Protocol):
    """Takes reports in and tells what may be done."""

    async def exchange(self, key: PoolKey, report: Report, budget: Budget) -> Turn:
        """Take a process's report of a pool in, and decide what it may do until the next one.

        Args:
            key: The pool.
            report: What the process states.
            budget: The provider's.
        """
        ...


class PostgresLedger:
    """One row a pool, read and written under its lock; its clock is the database's.

    Args:
        database: Has the table.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def exchange(self, key: PoolKey, report: Report, budget: Budget) -> Turn:
        """See `Ledger`."""
        async with self._database.transaction() as connection:
            state, now = await lock_pool(connection, key)
            turn = exchange(state, report, budget, now)
            await save_pool(connection, key, state)
        return turn


class MemoryLedger:
    """The same for processes that have no database: tools, and tests of what calls models."""

    def __init__(self) -> None:
        self._states: dict[PoolKey, PoolState] = defaultdict(PoolState)

    async def exchange(self, key: PoolKey, report: Report, budget: Budget) -> Turn:
        """See `Ledger`."""
        return exchange(self._states[key], report, budget, time.monotonic())
