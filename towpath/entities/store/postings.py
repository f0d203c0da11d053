"""The inverted index of a generation: which entities have a key, and the sources of those entities."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection
from towpath.entities.store.indexes import Index

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

_COPY_HEADER_BYTES = 19
# psycopg hands over 8 to 64 KiB a piece: some megabytes at a time keep numpy busy and memory flat.
_PIECES_A_BLOCK = 256
_POSTING = np.dtype([("fields", ">i2"), ("l0", ">i4"), ("key", ">i8"), ("l1", ">i4"), ("uid", ">i8")])


async def stream_postings(connection: Connection, index_no: int) -> AsyncIterator[bytes]:
    """Read all postings of a generation in key order, as blocks of whole rows for `decode_postings`."""
    query = f"""
        COPY (SELECT key, uid FROM entity_postings WHERE index_no = {index_no:d} ORDER BY key, uid)
        TO STDOUT (FORMAT binary)
    """
    async with connection.cursor().copy(query) as copy:
        rest = b""
        header = _COPY_HEADER_BYTES
        pieces: list[bytes] = []
        async for piece in copy:
            pieces.append(bytes(piece)[header:])
            header = 0
            if len(pieces) >= _PIECES_A_BLOCK:
                block, rest = _cut(rest + b"".join(pieces))
                pieces = []
                yield block
        # The two bytes behind the last row are COPY's trailer: no whole row, so they stay in the rest.
        yield _cut(rest + b"".join(pieces))[0]


def _cut(data: bytes) -> tuple[bytes, bytes]:
    end = len(data) // _POSTING.itemsize * _POSTING.itemsize
    return data[:end], data[end:]


def decode_postings(block: bytes) -> tuple[Int64s, Int64s]:
    """Decode a block of `stream_postings`.

    Returns:
        The keys, and the uid beside each.
    """
    rows = np.frombuffer(block, dtype=_POSTING)
    return rows["key"].astype(np.int64), rows["uid"].astype(np.int64)


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
        SELECT k.key, p.uids FROM unnest(%(keys)b::bigint[]) k(key) CROSS JOIN LATERAL (
            SELECT string_agg(int8send(uid), ''::bytea) AS uids FROM (
                SELECT uid FROM entity_postings WHERE index_no = %(index)s AND key = k.key LIMIT %(limit)s
            ) posting
        ) p WHERE p.uids IS NOT NULL
        """,
        {"keys": keys.tolist(), "index": index_no, "limit": limit},
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
        """
        SELECT uid, source FROM entities WHERE index_no = %(index)s AND source IS NOT NULL
        AND (%(all)s OR uid = ANY(%(uids)b::bigint[])) ORDER BY uid
        """,
        {"index": index.index_no, "all": uids is None, "uids": [] if uids is None else uids.tolist()},
        binary=True,
    )
    return [(uid, source) for uid, source in await selected.fetchall()]
