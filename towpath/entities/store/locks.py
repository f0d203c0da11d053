"""Who may decide an index's pairs, and who may write a single entity to it: advisory locks of a transaction."""

from __future__ import annotations

from towpath.db.engine import Connection

# The first half of the advisory lock under which an index's verdicts are decided.
_DECIDE_LOCK = 0x7061


async def lock_deciding(connection: Connection, index_no: int) -> None:
    """Wait until nobody else decides the verdicts of a generation."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_DECIDE_LOCK, index_no))


async def try_lock_deciding(connection: Connection, index_no: int) -> bool:
    """Take the same lock, or give up at once.

    Returns:
        Whether it was free.
    """
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", (_DECIDE_LOCK, index_no))
    return bool((await cursor.fetchone() or (False,))[0])


async def lock_single_writes(connection: Connection, organization: str, index_name: str) -> None:
    """Wait until no other single write of an index is under way in any process: the first thing of its transaction.

    Each decides its neighbours anew, in an order that depends on what is there: two at once would wait for each
    other's pairs again and again, a second each time until Postgres sees it.
    """
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"single/{organization}/{index_name}",)
    )
