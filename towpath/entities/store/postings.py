"""The inverted index of a generation: which entities have a key, and the sources of those entities."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection
from towpath.entities.domain.matching import Csr
from towpath.entities.store.indexes import Index
from towpath.entities.store.records import KEY_BYTES
from towpath.entities.store.sources import source_expression

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

ENTITIES_A_BLOCK = 4_000


async def stream_keys(connection: Connection, index_no: int) -> AsyncIterator[tuple[Int64s, Csr]]:
    """Read the keys of all entities of a generation, block by block: from the entities, not from the inverted index.

    A row is an entity with all its keys: a twenty-fourth of the rows, and as many comparisons saved in Postgres.
    """
    async with connection.cursor("entity_keys", binary=True) as cursor:
        await cursor.execute("SELECT uid, keys FROM entities WHERE index_no = %s", (index_no,))
        while rows := await cursor.fetchmany(ENTITIES_A_BLOCK):
            yield _decode_keys(rows)


def _decode_keys(rows: list[tuple[int, bytes]]) -> tuple[Int64s, Csr]:
    starts = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(packed) // KEY_BYTES for _, packed in rows], out=starts[1:])
    keys = np.frombuffer(b"".join([packed for _, packed in rows]), dtype="<i8").astype(np.int64)
    return np.array([uid for uid, _ in rows], dtype=np.int64), Csr(keys, starts)


async def read_postings(connection: Connection, index_no: int, keys: Int64s, *, limit: int) -> tuple[Int64s, Int64s]:
    """Read the postings of some keys.

    Args:
        connection: A connection.
        index_no: The generation.
        keys: Which keys, no key twice.
        limit: The most postings of one key.

    Returns:
        The keys, one a posting, and the uid beside each.
    """
    selected = await connection.execute(
        """
        SELECT k.key, p.uids FROM unnest(%(keys)s::bigint[]) k(key) CROSS JOIN LATERAL (
            SELECT string_agg(int8send(uid), ''::bytea) AS uids FROM (
                SELECT uid FROM entity_postings WHERE index_no = %(index)s AND key = k.key LIMIT %(limit)s
            ) posting
        ) p WHERE p.uids IS NOT NULL
        """,
        {"keys": keys, "index": index_no, "limit": limit},
        binary=True,
    )
    rows = [(key, np.frombuffer(uids, dtype=">i8").astype(np.int64)) for key, uids in await selected.fetchall()]
    if not rows:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    keys_by_posting = np.repeat([key for key, _ in rows], [len(uids) for _, uids in rows])
    return keys_by_posting, np.concatenate([uids for _, uids in rows])


async def read_sources(connection: Connection, index: Index, uids: Int64s | None = None) -> list[tuple[int, str]]:
    """Read the sources of entities that have one, by rising uid.

    Args:
        connection: A connection.
        index: The generation.
        uids: Of which entities; None: of all.
    """
    selected = await connection.execute(
        f"""
        SELECT uid, source FROM (
            SELECT uid, {source_expression(index)} AS source FROM entities
            WHERE index_no = %(index)s AND (%(all)s OR uid = ANY(%(uids)s::bigint[]))
        ) entity WHERE source IS NOT NULL ORDER BY uid
        """,
        {"index": index.index_no, "all": uids is None, "uids": np.empty(0, dtype=np.int64) if uids is None else uids},
        binary=True,
    )
    return [(uid, source) for uid, source in await selected.fetchall()]
