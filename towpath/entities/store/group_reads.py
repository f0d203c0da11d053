"""What one group is made of: its members as they were sent, the pairs between them, and the keys that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from towpath.db.engine import Connection


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member of a group; the higher its revision, the later it was written."""

    uid: int
    id_json: str
    body: str
    source: str | None
    revision: int


@dataclass(frozen=True, slots=True)
class MemberPair:
    """A stored pair of two members."""

    left: int
    right: int
    similarity: float
    duplicate: bool
    closed: bool
    bits: bytes
    basis: str | None


_PAIR = "p.left_uid, p.right_uid, p.similarity, p.duplicate, p.closed, p.bits, p.basis"


async def read_member_rows(connection: Connection, index_no: int, group_uid: int, *, limit: int) -> list[MemberRow]:
    """Read the first members of a group by their uids."""
    cursor = await connection.execute(
        """
        SELECT uid, id_json, body, source, revision FROM entities
        WHERE index_no = %s AND group_uid = %s ORDER BY uid LIMIT %s
        """,
        (index_no, group_uid, limit),
        binary=True,
    )
    return [MemberRow(*row) for row in await cursor.fetchall()]


async def read_member_pairs(connection: Connection, index_no: int, uids: Sequence[int]) -> list[MemberPair]:
    """Read the stored pairs between some entities."""
    cursor = await connection.execute(
        f"""
        SELECT {_PAIR} FROM entity_pairs p
        WHERE p.index_no = %(index)s AND p.left_uid = ANY(%(uids)s::bigint[])
        AND p.right_uid = ANY(%(uids)s::bigint[]) ORDER BY p.left_uid, p.right_uid
        """,
        {"index": index_no, "uids": list(uids)},
        binary=True,
    )
    return [MemberPair(*row) for row in await cursor.fetchall()]


async def read_best_duplicates(
    connection: Connection, index_no: int, uids: Sequence[int], *, limit: int
) -> list[MemberPair]:
    """Read the pairs of duplicates that some entities are in, the most similar first."""
    cursor = await connection.execute(
        f"""
        SELECT * FROM (
            SELECT {_PAIR} FROM entity_pairs p
            WHERE p.index_no = %(index)s AND p.left_uid = ANY(%(uids)s::bigint[]) AND p.duplicate
            UNION
            SELECT {_PAIR} FROM entity_pairs p
            WHERE p.index_no = %(index)s AND p.right_uid = ANY(%(uids)s::bigint[]) AND p.duplicate
            OFFSET 0
        ) b ORDER BY similarity DESC, left_uid, right_uid LIMIT %(limit)s
        """,
        {"index": index_no, "uids": list(uids), "limit": limit},
        binary=True,
    )
    return [MemberPair(*row) for row in await cursor.fetchall()]


async def count_holders(connection: Connection, index_no: int, keys: Sequence[int], *, most: int) -> dict[int, int]:
    """Count who holds each of some keys, up to a number."""
    cursor = await connection.execute(
        """
        SELECT k.key, h.holders FROM unnest(%(keys)s::bigint[]) k(key) CROSS JOIN LATERAL (
            SELECT count(*) AS holders FROM (
                SELECT 1 FROM entity_postings WHERE index_no = %(index)s AND key = k.key LIMIT %(most)s
            ) first
        ) h
        """,
        {"keys": list(keys), "index": index_no, "most": most},
    )
    return dict(await cursor.fetchall())
