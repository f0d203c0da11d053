"""Reading one generation to build the next: equal shares by uid, and what has changed meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection
from towpath.entities.store.indexes import Index, generation

LOWEST, SPAN = -(1 << 63), 1 << 64


@dataclass(frozen=True, slots=True)
class ShareRow:
    """An entity as it was sent, and the batch that brought it."""

    uid: int
    body: str
    batch: int | None


async def find_building(connection: Connection, organization: str, name: str) -> Index | None:
    """Find the generation that is being built for an index."""
    selected = await connection.execute(
        "SELECT index_no FROM entity_indexes WHERE organization = %s AND name = %s AND state = 'building'",
        (organization, name),
    )
    row = await selected.fetchone()
    if row is None:
        return None
    try:
        return await generation(connection, row[0])
    except NotFoundError:
        return None


async def discard_building(connection: Connection, building: Index) -> None:
    """Give a half-built generation up; its rows are purged later."""
    await connection.execute("UPDATE entity_indexes SET state = 'dropping' WHERE index_no = %s", (building.index_no,))


async def read_share(connection: Connection, index_no: int, share: int, shares: int) -> list[ShareRow]:
    """Read the entities whose uid falls into one of `shares` equal ranges: uids are hashes, so these are even."""
    low = LOWEST + SPAN * share // shares
    high = LOWEST + SPAN * (share + 1) // shares - 1
    selected = await connection.execute(
        "SELECT uid, body, batch FROM entities WHERE index_no = %s AND uid BETWEEN %s AND %s ORDER BY uid",
        (index_no, low, high),
        binary=True,
    )
    return [ShareRow(*row) for row in await selected.fetchall()]


async def read_bodies(connection: Connection, index_no: int, uids: Sequence[int]) -> list[ShareRow]:
    """Read entities by uid."""
    selected = await connection.execute(
        "SELECT uid, body, batch FROM entities WHERE index_no = %s AND uid = ANY(%s) ORDER BY uid",
        (index_no, list(uids)),
        binary=True,
    )
    return [ShareRow(*row) for row in await selected.fetchall()]


async def find_stale(connection: Connection, live_no: int, building_no: int, *, limit: int) -> list[int]:
    """Find entities that the new generation does not have, or has in an older version."""
    selected = await connection.execute(
        """
        SELECT l.uid FROM entities l LEFT JOIN entities b ON b.index_no = %s AND b.uid = l.uid
        WHERE l.index_no = %s AND (b.uid IS NULL OR b.digest <> l.digest) LIMIT %s
        """,
        (building_no, live_no, limit),
    )
    return [row[0] for row in await selected.fetchall()]


async def find_removed(connection: Connection, live_no: int, building_no: int, *, limit: int) -> list[int]:
    """Find entities that the new generation has and the live one no longer."""
    selected = await connection.execute(
        """
        SELECT b.uid FROM entities b LEFT JOIN entities l ON l.index_no = %s AND l.uid = b.uid
        WHERE b.index_no = %s AND l.uid IS NULL LIMIT %s
        """,
        (live_no, building_no, limit),
    )
    return [row[0] for row in await selected.fetchall()]
