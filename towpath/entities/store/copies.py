"""The neighbours of an entity among those that hold a key too, by uid: at the same cost however many they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection

Int64s = npt.NDArray[np.int64]


async def read_neighbours(
    connection: Connection, index_no: int, keys: Int64s, uids: Int64s, *, each_side: int
) -> tuple[Int64s, Int64s]:
    """Read the nearest holders of a key on either side of some uids.

    Args:
        connection: A connection.
        index_no: The generation.
        keys: A key for each uid.
        uids: Whose neighbours; none of them needs to hold its key, or to be stored.
        each_side: The most neighbours on one side.

    Returns:
        The uids, each once for each of its neighbours, and the neighbour beside each.
    """
    selected = await connection.execute(
        """
        SELECT q.uid, n.uid FROM unnest(%(keys)s::bigint[], %(uids)s::bigint[]) q(key, uid) CROSS JOIN LATERAL (
            (SELECT p.uid FROM entity_postings p WHERE p.index_no = %(index)s AND p.key = q.key AND p.uid < q.uid
             ORDER BY p.uid DESC LIMIT %(most)s)
            UNION ALL
            (SELECT p.uid FROM entity_postings p WHERE p.index_no = %(index)s AND p.key = q.key AND p.uid > q.uid
             ORDER BY p.uid LIMIT %(most)s)
        ) n
        """,
        {"keys": keys, "uids": uids, "index": index_no, "most": each_side},
        binary=True,
    )
    rows = np.array(await selected.fetchall(), dtype=np.int64).reshape(-1, 2)
    return rows[:, 0].copy(), rows[:, 1].copy()


async def read_landmarks(
    connection: Connection, index_no: int, keys: Int64s, uids: Int64s, masks: Int64s
) -> tuple[Int64s, Int64s]:
    """Read the nearest holders of a key, on either side of some uids, whose uid has only zeros in the bits of a mask.

    Args:
        connection: A connection.
        index_no: The generation.
        keys: A key for each uid.
        uids: Where to begin.
        masks: A mask for each uid; so many postings are read as one of the uids has zeros there.

    Returns:
        The uids, each once for each such holder, and that holder beside each.
    """
    selected = await connection.execute(
        """
        SELECT q.uid, n.uid FROM unnest(%(keys)b::bigint[], %(uids)b::bigint[], %(masks)b::bigint[]) q(key, uid, mask)
        CROSS JOIN LATERAL (
            (SELECT p.uid FROM entity_postings p
             WHERE p.index_no = %(index)s AND p.key = q.key AND p.uid < q.uid AND p.uid & q.mask = 0
             ORDER BY p.uid DESC LIMIT 1)
            UNION ALL
            (SELECT p.uid FROM entity_postings p
             WHERE p.index_no = %(index)s AND p.key = q.key AND p.uid > q.uid AND p.uid & q.mask = 0
             ORDER BY p.uid LIMIT 1)
        ) n
        """,
        {"keys": keys.tolist(), "uids": uids.tolist(), "masks": masks.tolist(), "index": index_no},
        binary=True,
    )
    rows = np.array(await selected.fetchall(), dtype=np.int64).reshape(-1, 2)
    return rows[:, 0].copy(), rows[:, 1].copy()
