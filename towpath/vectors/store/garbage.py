"""Removes from the index what is not live any more."""

from __future__ import annotations

from collections import defaultdict

from towpath.db.engine import Database
from towpath.vectors.store.entries import drop_unused
from towpath.vectors.store.index import VectorIndex

VERSIONS = 500


async def collect_garbage(database: Database, index: VectorIndex, *, collection_no: int | None = None) -> int:
    """Delete versions that are due, and the entries that only they referred to; another collector takes others.

    A due version's row is held while the index deletes, so that a task that stores the same text again
    waits and then finds it gone; so is an entry.

    Args:
        database: Where the rows are.
        index: The vector index.
        collection_no: Only this collection's.

    Returns:
        How many versions went: call again while it is not 0.

    Raises:
        UnavailableError: The index does not answer; the rows stay.
    """
    async with database.transaction() as connection:
        cursor = await connection.execute(
            """
            SELECT collection_no, uid, version FROM vector_garbage
            WHERE due_at <= now() AND (%(only)s::int IS NULL OR collection_no = %(only)s)
            ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
            """,
            {"only": collection_no, "limit": VERSIONS},
        )
        due: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for number, uid, version in await cursor.fetchall():
            due[number].append((uid, version))
        for number, versions in sorted(due.items()):
            of = [uid for uid, _ in versions], [version for _, version in versions], number
            deleted = await connection.execute(
                """
                DELETE FROM vector_parts t USING unnest(%s::bigint[], %s::bigint[]) AS gone (uid, version)
                WHERE t.collection_no = %s AND t.uid = gone.uid AND t.version = gone.version RETURNING entry
                """,
                of,
            )
            await drop_unused(connection, index, number, sorted({row[0] for row in await deleted.fetchall()}))
            await connection.execute(
                """
                DELETE FROM vector_garbage t USING unnest(%s::bigint[], %s::bigint[]) AS gone (uid, version)
                WHERE t.collection_no = %s AND t.uid = gone.uid AND t.version = gone.version
                """,
                of,
            )
        for number in sorted(due):
            # A search that asked the index before and Postgres after this asks both again.
            await connection.execute(
                "UPDATE vector_collections SET collected = collected + 1 WHERE collection_no = %s", (number,)
            )
        return sum(len(versions) for versions in due.values())


async def sweep_marks(database: Database) -> int:
    """Delete marks of deleted objects that no unfinished task was accepted before."""
    async with database.transaction() as connection:
        deleted = await connection.execute(
            """
            DELETE FROM vector_objects o USING vector_collections c
            WHERE o.collection_no = c.collection_no AND o.version IS NULL AND o.updated_at < now() - interval '1 hour'
            AND o.accepted < coalesce((
                SELECT min((params ->> 'order')::bigint) FROM jobs
                WHERE organization = c.organization AND kind IN ('vector_upsertion', 'vector_deletion')
                AND state IN ('PENDING', 'RUNNING', 'PAUSED')
            ), 9223372036854775807)
            """
        )
        return deleted.rowcount
