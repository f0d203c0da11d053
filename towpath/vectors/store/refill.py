"""Gives an index that lacks entries all of them, from Postgres: one that lost its data, or an earlier release made."""

from __future__ import annotations

import numpy as np

from towpath.db.engine import Database
from towpath.vectors.store.index import VectorIndex

ROWS = 2_000


async def find_incomplete_collections(database: Database, index: VectorIndex) -> list[int]:
    """Collections of which the index lacks entries; from now on they are searched without it.

    Raises:
        UnavailableError: The index does not answer.
    """
    async with database.transaction() as connection:
        # What is not live is garbage or about to be live, and may not be in the index.
        cursor = await connection.execute(
            """
            SELECT c.collection_no, c.indexed, entries.count - garbage.parts FROM vector_collections c
            CROSS JOIN LATERAL (
                SELECT count(*) FROM vector_entries e WHERE e.collection_no = c.collection_no
            ) AS entries (count)
            CROSS JOIN LATERAL (
                SELECT coalesce(sum(parts), 0) FROM vector_garbage g WHERE g.collection_no = c.collection_no
            ) AS garbage (parts)
            WHERE c.objects > 0
            """
        )
        rows = await cursor.fetchall()
    poor = [number for number, indexed, least in rows if not indexed or await index.count(number) < least]
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE vector_collections SET indexed = false WHERE collection_no = ANY(%s) AND indexed", (poor,)
        )
    return poor


async def refill_index(database: Database, index: VectorIndex, collection_no: int) -> int:
    """Add every entry of a collection, those that are there stay; then it is searched with the index again.

    Returns:
        How many entries there are.

    Raises:
        UnavailableError: The index does not answer.
    """
    total, after = 0, -1
    while True:
        async with database.transaction() as connection:
            # Held while they are added, so that nobody takes one out of the index just before.
            cursor = await connection.execute(
                """
                SELECT entry, vector FROM vector_entries WHERE collection_no = %s AND entry > %s
                ORDER BY entry LIMIT %s FOR KEY SHARE
                """,
                (collection_no, after, ROWS),
                binary=True,
            )
            rows = await cursor.fetchall()
            if not rows:
                break
            vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype=np.float32).reshape(len(rows), -1)
            await index.add(collection_no, [row[0] for row in rows], vectors)
        total += len(rows)
        after = rows[-1][0]
    await index.delete_former(collection_no)
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE vector_collections SET indexed = true WHERE collection_no = %s", (collection_no,)
        )
    return total
