"""Gives an index that has lost parts the live ones again, from Postgres."""

from __future__ import annotations

import numpy as np

from domain.vectors.items import part_id
from stores.db import Database
from stores.vectors.index import VectorIndex

ROWS = 2_000


async def poor_collections(database: Database, index: VectorIndex) -> list[int]:
    """Collections of which the index holds fewer parts than there are objects: it has lost its data.

    Raises:
        Unavailable: The index does not answer.
    """
    async with database.transaction() as connection:
        found = await connection.execute("SELECT collection_no, objects FROM vector_collections WHERE objects > 0")
        rows = await found.fetchall()
    return [number for number, objects in rows if await index.count(number) < objects]


async def refill(database: Database, index: VectorIndex, collection_no: int) -> int:
    """Add every live part of a collection; those that are there stay.

    Returns:
        How many parts are live.

    Raises:
        Unavailable: The index does not answer.
    """
    total, after = 0, (-(2**63), -1)
    while True:
        async with database.transaction() as connection:
            found = await connection.execute(
                """
                SELECT p.uid, p.part, p.version, p.vector FROM vector_objects o
                JOIN vector_parts p USING (collection_no, uid, version)
                WHERE o.collection_no = %s AND (p.uid, p.part) > (%s, %s)
                ORDER BY p.uid, p.part LIMIT %s
                """,
                (collection_no, *after, ROWS),
                binary=True,
            )
            rows = await found.fetchall()
        if not rows:
            return total
        ids = [part_id(uid, version, part) for uid, part, version, _ in rows]
        vectors = np.frombuffer(b"".join(row[3] for row in rows), dtype=np.float32).reshape(len(rows), -1)
        await index.add(collection_no, ids, vectors)
        total += len(rows)
        after = rows[-1][0], rows[-1][1]
