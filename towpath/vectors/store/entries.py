"""Entries: the distinct vectors of a collection, each stored once and held once by the index.

Parts refer to entries. The reference is a foreign key, so an entry that is referred to cannot go, and who deletes
entries locks them first: a writer that wants one either keeps it alive or waits and finds it gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection
from towpath.vectors.store.index import VectorIndex

Vector = npt.NDArray[np.float32]


async def read_entries(connection: Connection, collection_no: int, entries: Iterable[int]) -> dict[int, Vector]:
    """Return the vectors of those entries that are stored."""
    cursor = await connection.execute(
        "SELECT entry, vector FROM vector_entries WHERE collection_no = %s AND entry = ANY(%s::bigint[])",
        (collection_no, list(entries)),
        binary=True,
    )
    return {entry: np.frombuffer(vector, dtype=np.float32) for entry, vector in await cursor.fetchall()}


async def store_entries(connection: Connection, collection_no: int, entries: Mapping[int, Vector]) -> None:
    """Store what is not there yet, and hold all of them until the transaction ends.

    In the order of their numbers, as everybody locks them, so that two never wait for each other.
    """
    missing = sorted(entries)
    while missing:
        await connection.execute(
            """
            INSERT INTO vector_entries (collection_no, entry, vector)
            SELECT %b, new.* FROM unnest(%b::bigint[], %b::bytea[]) AS new (entry, vector)
            ON CONFLICT DO NOTHING
            """,
            (collection_no, missing, [entries[entry].tobytes() for entry in missing]),
        )
        # One that somebody was about to delete is gone when its lock comes free: it is stored again.
        cursor = await connection.execute(
            """
            SELECT entry FROM vector_entries WHERE collection_no = %s AND entry = ANY(%s::bigint[])
            ORDER BY entry FOR KEY SHARE
            """,
            (collection_no, missing),
        )
        stored = {row[0] for row in await cursor.fetchall()}
        missing = [entry for entry in missing if entry not in stored]


async def drop_unused(connection: Connection, index: VectorIndex, collection_no: int, entries: Sequence[int]) -> None:
    """Delete those entries that no part refers to any more, from the index and from Postgres.

    Raises:
        UnavailableError: The index does not answer; the transaction is to be rolled back.
    """
    await connection.execute(
        """
        SELECT FROM vector_entries WHERE collection_no = %s AND entry = ANY(%s::bigint[]) ORDER BY entry FOR UPDATE
        """,
        (collection_no, list(entries)),
    )
    # A statement of its own: it sees the parts of those that the locks have waited for.
    cursor = await connection.execute(
        """
        SELECT entry FROM vector_entries e WHERE collection_no = %s AND entry = ANY(%s::bigint[])
        AND NOT EXISTS (SELECT FROM vector_parts p WHERE p.collection_no = e.collection_no AND p.entry = e.entry)
        """,
        (collection_no, list(entries)),
    )
    unused = [row[0] for row in await cursor.fetchall()]
    await index.delete(collection_no, unused)
    await connection.execute(
        "DELETE FROM vector_entries WHERE collection_no = %s AND entry = ANY(%s::bigint[])", (collection_no, unused)
    )
