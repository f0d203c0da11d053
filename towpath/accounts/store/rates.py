"""Counters of what may happen so often in a while, in Postgres: all façades count together.

A storage for the library `limits`, whose strategies do the counting. One row a key holds the present window and the
one before it, so that one statement under one row lock decides.
"""

from __future__ import annotations

import time
from typing import Any

from limits.aio.storage import SlidingWindowCounterSupport, Storage

from towpath.db.engine import Database

ACQUIRE = """
INSERT INTO rate_counters AS c (key, slot, count, previous, expires_at)
SELECT %(key)s, slot, %(amount)s, 0, clock_timestamp() + make_interval(secs => 2 * %(expiry)s)
FROM (SELECT floor(extract(epoch FROM clock_timestamp()) / %(expiry)s)::bigint AS slot) moment
WHERE %(amount)s <= %(limit)s
ON CONFLICT (key) DO UPDATE SET
    slot = excluded.slot,
    count = excluded.count + CASE WHEN c.slot = excluded.slot THEN c.count ELSE 0 END,
    previous = CASE WHEN c.slot = excluded.slot THEN c.previous WHEN c.slot = excluded.slot - 1 THEN c.count ELSE 0 END,
    expires_at = excluded.expires_at
WHERE %(amount)s + CASE WHEN c.slot = excluded.slot THEN c.count ELSE 0 END + floor(
    CASE WHEN c.slot = excluded.slot THEN c.previous WHEN c.slot = excluded.slot - 1 THEN c.count ELSE 0 END
    * (excluded.slot + 1 - extract(epoch FROM clock_timestamp()) / %(expiry)s)
) <= %(limit)s
RETURNING 1
"""
WINDOW = """
SELECT CASE WHEN slot = now_slot THEN previous WHEN slot = now_slot - 1 THEN count ELSE 0 END::bigint,
    ((now_slot + 1) * %(expiry)s - now)::float8,
    CASE WHEN slot = now_slot THEN count ELSE 0 END::bigint
FROM rate_counters, LATERAL (SELECT extract(epoch FROM clock_timestamp()) AS now) clock,
    LATERAL (SELECT floor(now / %(expiry)s)::bigint AS now_slot) moment
WHERE key = %(key)s
"""
COUNT = """
INSERT INTO rate_counters AS c (key, slot, count, expires_at)
VALUES (%(key)s, 0, %(amount)s, clock_timestamp() + make_interval(secs => %(expiry)s))
ON CONFLICT (key) DO UPDATE SET
    count = CASE WHEN c.expires_at > clock_timestamp() THEN c.count ELSE 0 END + excluded.count,
    expires_at = CASE WHEN c.expires_at > clock_timestamp() THEN c.expires_at ELSE excluded.expires_at END
RETURNING count
"""
PRESENT = (
    "SELECT count, extract(epoch FROM expires_at)::float8 FROM rate_counters WHERE key = %s AND expires_at > now()"
)


class PostgresStorage(Storage, SlidingWindowCounterSupport):
    """Where `limits` keeps its counters; the clock is the database's, for façades may disagree.

    Args:
        database: Has the table.
    """

    STORAGE_SCHEME: list[str] | None = ["async+postgresql"]  # noqa: RUF012 - as the library declares it

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    @property
    def base_exceptions(self) -> type[Exception] | tuple[type[Exception], ...]:
        """None is wrapped: who asks knows the errors of Postgres."""
        return ()

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count in a fixed window that begins with the first.

        Returns:
            The count with this one.
        """
        row = await self._row(COUNT, {"key": key, "expiry": expiry, "amount": amount})
        return int(row[0])

    async def get(self, key: str) -> int:
        """Return the count of a fixed window."""
        row = await self._row(PRESENT, (key,))
        return int(row[0]) if row else 0

    async def get_expiry(self, key: str) -> float:
        """Return when a fixed window ends, in seconds of the epoch."""
        row = await self._row(PRESENT, (key,))
        return float(row[1]) if row else time.time()

    async def check(self) -> bool:
        """Return whether the counters can be read."""
        return await self._row("SELECT count(*) FROM (SELECT 1 FROM rate_counters LIMIT 1) one", ()) is not None

    async def reset(self) -> int | None:
        """Forget everything."""
        async with self._database.statement() as connection:
            return (await connection.execute("DELETE FROM rate_counters")).rowcount

    async def clear(self, key: str) -> None:
        """Forget one key."""
        async with self._database.statement() as connection:
            await connection.execute("DELETE FROM rate_counters WHERE key = %s", (key,))

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count, unless the limit would be passed: what is refused is not counted."""
        row = await self._row(ACQUIRE, {"key": key, "limit": limit, "expiry": expiry, "amount": amount})
        return row is not None

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the count before, the seconds it still counts, the present count, and the seconds until it is gone."""
        row = await self._row(WINDOW, {"key": key, "expiry": expiry})
        if row is None:
            return 0, 0.0, 0, 0.0
        previous, rest, present = row
        return int(previous), float(rest) if previous else 0.0, int(present), float(rest) + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget one key."""
        await self.clear(key)

    async def give_back(self, key: str, amount: int) -> None:
        """Take from the present window what was counted too much."""
        async with self._database.statement() as connection:
            await connection.execute(
                "UPDATE rate_counters SET count = greatest(count - %s, 0) WHERE key = %s", (amount, key)
            )

    async def _row(self, statement: str, values: Any) -> Any:
        async with self._database.statement() as connection:
            return await (await connection.execute(statement, values)).fetchone()


async def sweep_counters(database: Database) -> None:
    """Delete counters and leases that have run out."""
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM rate_counters WHERE expires_at < now()")
        await connection.execute("DELETE FROM leases WHERE expires_at < now()")
