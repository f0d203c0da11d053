"""How long deliveries are kept that belong to no job; others go with their jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from towpath.db.engine import Connection
from towpath.webhooks.store.deliveries import sweep_index_deliveries


def sweep_deliveries_after(days: int) -> Callable[[Connection, int], Awaitable[int]]:
    """Return what deletes such deliveries older than so many days, and returns how many went."""

    async def sweep(connection: Connection, limit: int) -> int:
        return await sweep_index_deliveries(connection, days=days, limit=limit)

    return sweep
