"""Scored pairs: written by matching, decided by `resolve`, read by candidates, pairs and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from towpath.db.engine import Connection
from towpath.entities.store.sources import STORED

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Beyond this many entities a walk over the pairs costs more than reading all of them; or beyond this part of them all.
WALK_LIMIT = 50_000
WALK_SHARE = 0.1
SHORT_WALK = 5_000


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Pairs with `left < right`, in rising order; `bits` holds the prior and the contributions, row by row."""

    left: Int64s
    right: Int64s
    similarity: Floats
    bits: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.left)

    @classmethod
    def join(cls, parts: Sequence[ScoredPairs]) -> ScoredPairs:
        """Join parts, of which there is at least one; a pair that is in several is taken once."""
        if len(parts) == 1:
            return parts[0]
        left, right = (np.concatenate([getattr(part, side) for part in parts]) for side in ("left", "right"))
        order = np.lexsort((right, left))
        is_first = np.ones(len(order), dtype=np.bool_)
        is_first[1:] = (np.diff(left[order]) != 0) | (np.diff(right[order]) != 0)
        rows = order[is_first]
        return cls(
            left[rows], right[rows], np.concatenate([part.similarity for part in parts])[rows],
            np.concatenate([part.bits for part in parts])[rows],
        )  # fmt: skip

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
class JudgedPairs:
    """Stored pairs whose similarity is not what their bits add up to, in rising order."""

    left: Int64s
    right: Int64s
    basis: list[str]
    bits: list[bytes]


@dataclass(frozen=True, slots=True)
class PairGraph:
    """The pairs of whole components, with what is stored of their entities.

    Attributes:
        left: One side of each pair, in rising order.
        right: The other side.
        similarity: That is stored.
        duplicate: The verdict that is stored.
        uids: The entities, rising; some have no pair.
        sources: Of each.
        groups: That each is in; 0 for none.
        judged: Those pairs that have a basis.
        closed: Pairs with one of the entities that follow from a group alone, one a row.
    """

    left: Int64s
    right: Int64s
    similarity: Floats
    duplicate: Flags
    uids: Int64s
    sources: tuple[str | None, ...]
    groups: Int64s
    judged: JudgedPairs
    closed: Int64s

    def only(self, mask: Flags) -> PairGraph:
        """Return it with the pairs that a mask keeps."""
        return replace(
            self, left=self.left[mask], right=self.right[mask], similarity=self.similarity[mask],
            duplicate=self.duplicate[mask],
        )  # fmt: skip


# Each entity is looked up by itself. For a whole array of them the planner, which takes an array for ten lookups and an
# index for a two-hundredth of its table, would rather read all pairs of the index through the wrong one of its keys.
_WALKED = """
    RECURSIVE reached(uid) AS (
        SELECT uid FROM unnest(%(seeds)s::bigint[]) seed(uid)
        UNION
        SELECT next.uid FROM reached CROSS JOIN LATERAL (
            SELECT right_uid FROM entity_pairs WHERE index_no = %(index)s AND left_uid = reached.uid AND NOT closed
            UNION ALL
            SELECT left_uid FROM entity_pairs WHERE index_no = %(index)s AND right_uid = reached.uid AND NOT closed
            OFFSET 0
        ) next(uid)
    ), walked AS MATERIALIZED (SELECT uid FROM reached LIMIT %(limit)s)
"""
_EVERY = """
    walked AS MATERIALIZED (
        SELECT left_uid AS uid FROM entity_pairs WHERE index_no = %(index)s AND NOT closed
        UNION SELECT right_uid FROM entity_pairs WHERE index_no = %(index)s AND NOT closed
        UNION SELECT uid FROM unnest(%(seeds)s::bigint[]) seed(uid)
        LIMIT %(limit)s
    )
"""
_PAIRS_OF_WALKED = """
    walked CROSS JOIN LATERAL (
        SELECT * FROM entity_pairs WHERE index_no = %(index)s AND {side} = walked.uid AND {which} OFFSET 0
    ) pair
"""
_PAIRS_OF_EVERY = "entity_pairs WHERE index_no = %(index)s AND {which}"
_GRAPH = """
    WITH {walked}
    SELECT * FROM (
        SELECT string_agg(int8send(uid), ''::bytea), string_agg(int8send(coalesce(group_uid, 0)), ''::bytea),
               coalesce(string_agg(coalesce(to_json(source)::text, 'null'), ','), '')
        FROM (
            SELECT walked.uid, group_uid, source FROM walked LEFT JOIN LATERAL (
                SELECT group_uid, {{source}} AS source FROM entities
                WHERE index_no = %(index)s AND uid = walked.uid OFFSET 0
            ) stored ON true ORDER BY walked.uid
        ) entity
    ) of_entities, (
        SELECT string_agg(int8send(left_uid), ''::bytea), string_agg(int8send(right_uid), ''::bytea),
               string_agg(float8send(similarity), ''::bytea), string_agg(boolsend(duplicate), ''::bytea)
        FROM (SELECT left_uid, right_uid, similarity, duplicate FROM {pairs} ORDER BY left_uid, right_uid) open
    ) of_pairs, (
        SELECT coalesce(array_agg(left_uid), '{{}}'), coalesce(array_agg(right_uid), '{{}}'),
               coalesce(array_agg(basis), '{{}}'), coalesce(array_agg(bits), '{{}}')
        FROM (SELECT left_uid, right_uid, basis, bits FROM {judged} ORDER BY left_uid, right_uid) judged
    ) of_judged, (
        SELECT string_agg(int8send(left_uid) || int8send(right_uid), ''::bytea)
        FROM (SELECT left_uid, right_uid FROM {closed}) closed
    ) of_closed
"""


def _graph_of(walked: str, pairs: str, closed: str) -> str:
    return _GRAPH.format(
        walked=walked,
        pairs=pairs.format(side="left_uid", which="NOT closed"),
        judged=pairs.format(side="left_uid", which="basis IS NOT NULL AND NOT closed"),
        closed=closed,
    )


_WALKED_GRAPH = _graph_of(
    _WALKED,
    _PAIRS_OF_WALKED,
    " UNION SELECT left_uid, right_uid FROM ".join(
        _PAIRS_OF_WALKED.format(side=side, which="closed") for side in ("left_uid", "right_uid")
    ),
)
_WHOLE_GRAPH = _graph_of(_EVERY, _PAIRS_OF_EVERY, _PAIRS_OF_EVERY.format(which="closed"))


async def read_components(
    connection: Connection, index_no: int, seeds: Sequence[int], *, entities: int, source: str = STORED
) -> PairGraph:
    """Return the components that hold `seeds`: by walking from them, or by reading all pairs when that is cheaper.

    Args:
        connection: A connection.
        index_no: The generation.
        seeds: Some entities.
        entities: How many the generation has, or more or less so.
        source: The expression of an entity's source, see `source_expression`.
    """
    walked, whole = (query.replace("{source}", source) for query in (_WALKED_GRAPH, _WHOLE_GRAPH))
    limit = max(min(WALK_LIMIT, round(entities * WALK_SHARE)), SHORT_WALK)
    if len(seeds) <= limit:
        graph = await _read_graph(connection, walked, index_no, seeds, limit=limit + 1)
        if len(graph.uids) <= limit:
            return graph
    return await _read_graph(connection, whole, index_no, seeds, limit=None)


async def _read_graph(
    connection: Connection, query: str, index_no: int, seeds: Sequence[int], *, limit: int | None
) -> PairGraph:
    arguments = {"index": index_no, "seeds": np.array(seeds, dtype=np.int64), "limit": limit}
    cursor = await connection.execute(query, arguments, binary=True)
    row = await cursor.fetchone()
    assert row is not None
    # A batch decides hundreds of thousands of pairs: columns instead of a row for each.
    uids, groups, sources, left, right, similarity, duplicate, *judged, closed = row

    def unpack(column: bytes | None, kind: str) -> npt.NDArray[Any]:
        return np.frombuffer(column or b"", dtype=kind).astype(kind[1:])

    return PairGraph(
        left=unpack(left, ">i8"),
        right=unpack(right, ">i8"),
        similarity=unpack(similarity, ">f8"),
        duplicate=unpack(duplicate, "|?"),
        uids=unpack(uids, ">i8"),
        sources=tuple(orjson.loads(f"[{sources}]")),
        groups=unpack(groups, ">i8"),
        judged=JudgedPairs(
            left=np.array(judged[0], dtype=np.int64),
            right=np.array(judged[1], dtype=np.int64),
            basis=judged[2],
            bits=[bytes(bits) for bits in judged[3]],
        ),
        closed=unpack(closed, ">i8").reshape(-1, 2),
    )


async def drop_closed(connection: Connection, index_no: int, pairs: Int64s) -> None:
    """Delete pairs that followed from groups, one a row, before these are decided anew."""
    if len(pairs):
        await connection.execute(
            """
            DELETE FROM entity_pairs p USING unnest(%s::bigint[], %s::bigint[]) AS u(left_uid, right_uid)
            WHERE p.index_no = %s AND p.left_uid = u.left_uid AND p.right_uid = u.right_uid AND p.closed
            """,
            (pairs[:, 0].copy(), pairs[:, 1].copy(), index_no),
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
