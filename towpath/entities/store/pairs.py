"""Scored pairs: written by matching, decided by `resolve`, read by candidates, pairs and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Beyond this many entities a walk over the pairs costs more than reading all of them.
WALK_LIMIT = 50_000


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Pairs with `left < right`, in rising order; `bits` holds the prior and the contributions, row by row."""

    left: Int64s
    right: Int64s
    similarity: Floats
    bits: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.left)

    def only(self, mask: Flags) -> ScoredPairs:
        """Return the pairs that a mask keeps."""
        return ScoredPairs(self.left[mask], self.right[mask], self.similarity[mask], self.bits[mask])


async def write_pairs(
    connection: Connection,
    index_no: int,
    pairs: ScoredPairs,
    *,
    duplicate: Flags,
    model_version: int,
    closed: bool = False,
) -> None:
    """Insert pairs or bring them to this model's score; their entities are marked dirty.

    The verdict of a pair that is already there with the same score stays.
    """
    if not len(pairs):
        return
    width = pairs.bits.shape[1] * 4
    packed = pairs.bits.astype("<f4").tobytes()
    await connection.execute(
        """
        WITH fresh AS (
            INSERT INTO entity_pairs (index_no, left_uid, right_uid, similarity, bits, duplicate, model_version, closed)
            SELECT %(index)s, u.*, %(version)s, %(closed)s
            FROM unnest(%(left)s::bigint[], %(right)s::bigint[], %(similarity)s::float8[], %(bits)b::bytea[],
                        %(duplicate)s::bool[]) u
            ON CONFLICT (index_no, left_uid, right_uid) DO UPDATE
            SET similarity = excluded.similarity, bits = excluded.bits, duplicate = excluded.duplicate,
                model_version = excluded.model_version, closed = excluded.closed, basis = NULL
            WHERE entity_pairs.model_version <> excluded.model_version
               OR entity_pairs.similarity <> excluded.similarity OR entity_pairs.closed <> excluded.closed
            RETURNING left_uid, right_uid
        )
        INSERT INTO entity_dirty (index_no, uid)
        SELECT %(index)s, uid FROM (SELECT left_uid FROM fresh UNION SELECT right_uid FROM fresh) g(uid) ORDER BY uid
        ON CONFLICT DO NOTHING
        """,
        {
            "index": index_no,
            "version": model_version,
            "closed": closed,
            "left": pairs.left,
            "right": pairs.right,
            "similarity": pairs.similarity,
            "bits": [packed[start : start + width] for start in range(0, len(packed), width)],
            "duplicate": duplicate,
        },
    )


async def drop_stale_pairs(connection: Connection, index_no: int, *, model_version: int) -> None:
    """Delete pairs that an older model scored; who was in one is marked dirty."""
    await connection.execute(
        """
        WITH gone AS (
            DELETE FROM entity_pairs WHERE index_no = %(index)s AND model_version <> %(version)s
            RETURNING left_uid, right_uid
        )
        INSERT INTO entity_dirty (index_no, uid)
        SELECT %(index)s, uid FROM (SELECT left_uid FROM gone UNION SELECT right_uid FROM gone) g(uid) ORDER BY uid
        ON CONFLICT DO NOTHING
        """,
        {"index": index_no, "version": model_version},
    )


@dataclass(frozen=True, slots=True)
class PairGraph:
    """The pairs of whole components, with the source of each entity."""

    left: Int64s
    right: Int64s
    similarity: Floats
    duplicate: Flags
    uids: Int64s
    sources: tuple[str | None, ...]


async def read_components(connection: Connection, index_no: int, seeds: Sequence[int]) -> PairGraph:
    """Return the components that hold `seeds`: by walking from them, or by reading all pairs when that is cheaper."""
    reached = set(seeds)
    frontier = list(reached)
    while frontier and len(reached) <= WALK_LIMIT:
        cursor = await connection.execute(
            """
            SELECT right_uid FROM entity_pairs WHERE index_no = %(index)s AND NOT closed AND left_uid = ANY(%(uids)s)
            UNION
            SELECT left_uid FROM entity_pairs WHERE index_no = %(index)s AND NOT closed AND right_uid = ANY(%(uids)s)
            """,
            {"index": index_no, "uids": frontier},
            binary=True,
        )
        frontier = [row[0] for row in await cursor.fetchall() if row[0] not in reached]
        reached.update(frontier)
    everything = bool(frontier)
    walked = np.fromiter(reached, dtype=np.int64, count=len(reached))
    clause = "" if everything else "AND left_uid = ANY(%(uids)s)"
    pairs = await connection.execute(
        f"""
        SELECT string_agg(int8send(left_uid), ''::bytea), string_agg(int8send(right_uid), ''::bytea),
               string_agg(float8send(similarity), ''::bytea), string_agg(boolsend(duplicate), ''::bytea)
        FROM (
            SELECT left_uid, right_uid, similarity, duplicate FROM entity_pairs
            WHERE index_no = %(index)s AND NOT closed {clause} ORDER BY left_uid, right_uid
        ) pair
        """,
        {"index": index_no, "uids": walked},
        binary=True,
    )
    packed = await pairs.fetchone() or ()
    # A batch decides hundreds of thousands of pairs: columns instead of a row for each.
    left, right, similarity, duplicate = (
        np.frombuffer(column or b"", dtype=kind).astype(kind[1:])
        for column, kind in zip(packed, (">i8", ">i8", ">f8", "|?"), strict=True)
    )
    members = np.unique(np.concatenate([left, right, walked]))
    named = await connection.execute(
        "SELECT uid, source FROM entities WHERE index_no = %s AND uid = ANY(%s::bigint[]) AND source IS NOT NULL",
        (index_no, members),
        binary=True,
    )
    sources: dict[int, str | None] = dict(await named.fetchall())
    return PairGraph(
        left=left,
        right=right,
        similarity=similarity,
        duplicate=duplicate,
        uids=members,
        sources=tuple(map(sources.get, members.tolist())),
    )


async def drop_closed(connection: Connection, index_no: int, uids: Int64s) -> None:
    """Delete the pairs that followed from the groups of some entities, before they are decided anew."""
    await connection.execute(
        """
        DELETE FROM entity_pairs
        WHERE index_no = %(index)s AND closed AND (left_uid = ANY(%(uids)s) OR right_uid = ANY(%(uids)s))
        """,
        {"index": index_no, "uids": uids},
    )


async def save_verdicts(connection: Connection, index_no: int, graph: PairGraph, verdicts: Flags) -> int:
    """Write the verdicts that differ from the stored ones.

    Returns:
        How many did.
    """
    differs = verdicts != graph.duplicate
    if differs.any():
        await connection.execute(
            """
            UPDATE entity_pairs p SET duplicate = u.duplicate
            FROM unnest(%s::bigint[], %s::bigint[], %s::bool[]) AS u(left_uid, right_uid, duplicate)
            WHERE p.index_no = %s AND p.left_uid = u.left_uid AND p.right_uid = u.right_uid
            """,
            (graph.left[differs], graph.right[differs], verdicts[differs], index_no),
        )
    return int(differs.sum())


@dataclass(frozen=True, slots=True)
class PartnerRow:
    """One candidate of one entity, as stored."""

    uid: int
    id_json: str
    sku: str | None
    similarity: float
    duplicate: bool
    bits: bytes
    basis: str | None


@dataclass(frozen=True, slots=True, order=True)
class PairRow:
    """One pair with the ids of both sides, as stored."""

    left_id: str
    right_id: str
    similarity: float
    duplicate: bool
    bits: bytes
    basis: str | None


# Two ways into the pairs of an entity. `OFFSET 0` keeps the planner from looking for them by their order of
# similarity, and a lookup by `CROSS JOIN LATERAL ... OFFSET 0` runs once for each row before it: whatever the planner
# believes of an index, it cannot turn these around.
_BOTH_WAYS = """
    SELECT right_uid AS uid, similarity, duplicate, bits, basis FROM entity_pairs
    WHERE index_no = %(index)s AND left_uid = {uid}
    UNION ALL
    SELECT left_uid, similarity, duplicate, bits, basis FROM entity_pairs
    WHERE index_no = %(index)s AND right_uid = {uid}
    OFFSET 0
"""
_NAMED = """
    CROSS JOIN LATERAL (
        SELECT id_json, sku FROM entities WHERE index_no = %(index)s AND uid = {uid} OFFSET 0
    ) {name}
"""


async def read_partners(
    connection: Connection, index_no: int, uids: Sequence[int], *, limit: int
) -> dict[int, list[PartnerRow]]:
    """Return the best `limit` candidates of each entity, best first, ties by uid."""
    cursor = await connection.execute(
        f"""
        WITH best AS MATERIALIZED (
            SELECT q.uid AS asked, p.* FROM unnest(%(uids)b::bigint[]) q(uid) CROSS JOIN LATERAL (
                SELECT * FROM ({_BOTH_WAYS.format(uid="q.uid")}) b ORDER BY similarity DESC, uid LIMIT %(limit)s
            ) p
        )
        SELECT p.asked, p.uid, e.id_json, e.sku, p.similarity, p.duplicate, p.bits, p.basis
        FROM best p {_NAMED.format(uid="p.uid", name="e")}
        ORDER BY p.asked, p.similarity DESC, p.uid
        """,
        {"uids": list(uids), "index": index_no, "limit": limit},
        binary=True,
    )
    partners: dict[int, list[PartnerRow]] = {}
    for uid, *partner in await cursor.fetchall():
        partners.setdefault(uid, []).append(PartnerRow(*partner))
    return partners


async def page_partners(
    connection: Connection,
    index_no: int,
    uid: int,
    *,
    minimum: float,
    duplicates_only: bool,
    limit: int,
    offset: int,
) -> tuple[list[PartnerRow], int]:
    """Return a page of one entity's candidates, best first, and how many there are."""
    arguments = {"index": index_no, "uid": uid, "minimum": minimum, "only": duplicates_only}
    listed = f"""
        WITH listed AS MATERIALIZED (
            SELECT * FROM ({_BOTH_WAYS.format(uid="%(uid)s")}) b
            WHERE similarity >= %(minimum)s AND (duplicate OR NOT %(only)s)
        )
    """
    total = await _fetch_count(connection, f"{listed} SELECT count(*) FROM listed", arguments)
    cursor = await connection.execute(
        f"""
        {listed}
        SELECT p.uid, e.id_json, e.sku, p.similarity, p.duplicate, p.bits, p.basis
        FROM listed p {_NAMED.format(uid="p.uid", name="e")}
        ORDER BY p.similarity DESC, e.id_json LIMIT %(limit)s OFFSET %(offset)s
        """,
        {**arguments, "limit": limit, "offset": offset},
        binary=True,
    )
    rows = [PartnerRow(*row) for row in await cursor.fetchall()]
    return rows, total


async def page_pairs(
    connection: Connection, index_no: int, *, minimum: float, duplicates_only: bool, limit: int, offset: int
) -> tuple[list[PairRow], int]:
    """Return a page of all pairs, best first, ties by ids, and how many there are."""
    arguments: dict[str, Any] = {"index": index_no, "minimum": minimum, "only": duplicates_only}
    where = "index_no = %(index)s AND similarity >= %(minimum)s AND (duplicate OR NOT %(only)s)"
    total = await _fetch_count(connection, f"SELECT count(*) FROM entity_pairs WHERE {where}", arguments)
    cursor = await connection.execute(
        f"""
        WITH best AS MATERIALIZED (
            SELECT left_uid, right_uid, similarity, duplicate, bits, basis FROM entity_pairs WHERE {where}
            ORDER BY similarity DESC FETCH FIRST (%(limit)s::bigint + %(offset)s::bigint) ROWS WITH TIES
        )
        SELECT l.id_json, r.id_json, p.similarity, p.duplicate, p.bits, p.basis FROM best p
        {_NAMED.format(uid="p.left_uid", name="l")} {_NAMED.format(uid="p.right_uid", name="r")}
        ORDER BY p.similarity DESC, l.id_json, r.id_json LIMIT %(limit)s OFFSET %(offset)s
        """,
        {**arguments, "limit": limit, "offset": offset},
        binary=True,
    )
    return [PairRow(*row) for row in await cursor.fetchall()], total


async def _fetch_count(connection: Connection, sql: str, arguments: dict[str, Any]) -> int:
    cursor = await connection.execute(sql, arguments)
    row = await cursor.fetchone()
    return row[0] if row else 0
