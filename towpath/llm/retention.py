"""How long the answers of language models are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from towpath.db.engine import Connection
from towpath.llm.store.answers import sweep_answers
from towpath.llm.store.batches import sweep_batches


def sweep_after(days: int) -> Callable[[Connection, int], Awaitable[int]]:
    """Return what deletes answers older than so many days, so many rows at most, and returns how many went."""

    async def sweep(connection: Connection, limit: int) -> int:
        gone = await sweep_answers(connection, days=days, limit=limit)
        return gone + await sweep_batches(connection, days=days, limit=limit)

    return sweep
