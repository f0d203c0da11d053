"""What a quality report and suggestions of labels read: samples of bounded size, never all pairs of a large index.

Uids are hashes, so the first pairs in their order are a random draw, and how far they reach says which share they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection
from towpath.entities.domain.matching import similarity_of_packed
from towpath.entities.store.indexes import Index

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LOWEST, SPAN = -(1 << 63), 1 << 64
MAX_PAIRS_AN_ENTITY = 8
"""A part with more pairs than so many times its entities is cut off: a large group has a pair for every two members."""


def reach_of(entities: int, part_size: int) -> int:
    """Return the highest uid of a part of an index with about so many entities.

    A condition on uids bounds every plan; a mere LIMIT does not, for a planner that holds an index for small sorts all.
    """
    return LOWEST + SPAN - 1 if entities <= part_size else LOWEST + SPAN * part_size // entities - 1


def _share_of_pairs(reached: int) -> float:
    """Return which share of the pairs of random uids has its lower uid at `reached` or below."""
    beyond = 1.0 - (reached - LOWEST + 1) / SPAN
    return max(1.0 - beyond**2, 1e-12)


@dataclass(frozen=True, slots=True)
class PairHistogram:
    """Pairs of a sample by bin of similarity: counts, and of those called duplicates count and sum of similarities.

    Attributes:
        pairs: All listed pairs of the sample, by bin.
        duplicates: Those called duplicates, by bin.
        probability: Sum of the similarities of those, by bin.
        grey: Pairs between the two thresholds.
        near: Pairs near the duplicate threshold.
        share: Which share of all pairs the sample is.
    """

    pairs: Floats
    duplicates: Floats
    probability: Floats
    grey: int
    near: int
    share: float


async def count_pairs(
    connection: Connection,
    index: Index,
    edges: Sequence[float],
    *,
    near: float,
    part_size: int,
) -> PairHistogram:
    """Count the pairs of a generation by similarity, in a part of a large one.

    Args:
        connection: A connection.
        index: The generation.
        edges: Where the bins begin, the first at 0.
        near: How far from the duplicate threshold a pair is near it.
        part_size: About how many entities the part is to have.
    """
    reach, limit = reach_of(index.entities, part_size), part_size * MAX_PAIRS_AN_ENTITY
    cursor = await connection.execute(
        """
        WITH sample AS MATERIALIZED (
            SELECT left_uid, similarity, duplicate FROM entity_pairs
            WHERE index_no = %(index)s AND left_uid <= %(reach)s ORDER BY left_uid, right_uid LIMIT %(limit)s
        )
        SELECT width_bucket(similarity, %(edges)s::float8[]) - 1, count(*), count(*) FILTER (WHERE duplicate),
               coalesce(sum(similarity) FILTER (WHERE duplicate), 0),
               count(*) FILTER (WHERE similarity >= %(low)s AND similarity < %(high)s),
               count(*) FILTER (WHERE abs(similarity - %(high)s) <= %(near)s), max(left_uid)
        FROM sample GROUP BY 1
        """,
        {
            "index": index.index_no,
            "reach": reach,
            "limit": limit,
            "edges": list(edges),
            "low": index.config.candidate_threshold,
            "high": index.config.duplicate_threshold,
            "near": near,
        },
    )
    by_bin = np.zeros((3, len(edges)))
    greys = nears = 0
    last = LOWEST
    for place, pairs, duplicates, probability, grey_pairs, near_pairs, uid in await cursor.fetchall():
        by_bin[:, place] = pairs, duplicates, probability
        greys, nears, last = greys + grey_pairs, nears + near_pairs, max(last, uid)
    reached = reach if by_bin[0].sum() < limit else last
    return PairHistogram(by_bin[0], by_bin[1], by_bin[2], greys, nears, _share_of_pairs(reached))


@dataclass(frozen=True, slots=True)
class JudgedLabel:
    """A label beside what the fields of its pair say; `similarity` is None where the pair was no candidate."""

    left_id: str
    right_id: str
    duplicate: bool
    similarity: float | None
    verdict: bool


async def read_judged_labels(
    connection: Connection, organization: str, name: str, index_no: int, *, limit: int
) -> list[JudgedLabel]:
    """Read labels of an index, each with what its pair's fields say, and with its verdict in a generation."""
    cursor = await connection.execute(
        """
        WITH labels AS MATERIALIZED (
            SELECT left_uid, right_uid, left_id, right_id, duplicate FROM entity_labels
            WHERE organization = %(organization)s AND index_name = %(name)s ORDER BY left_uid, right_uid LIMIT %(limit)s
        )
        SELECT l.left_id, l.right_id, l.duplicate, p.bits, coalesce(p.duplicate, false)
        FROM labels l LEFT JOIN LATERAL (
            SELECT bits, duplicate FROM entity_pairs
            WHERE index_no = %(index)s AND left_uid = l.left_uid AND right_uid = l.right_uid
            AND basis IS DISTINCT FROM 'added' AND NOT closed OFFSET 0
        ) p ON true ORDER BY l.left_uid, l.right_uid
        """,
        {"organization": organization, "name": name, "index": index_no, "limit": limit},
    )
    return [
        # Not the stored similarity: a label has the last word on that.
        JudgedLabel(left_id, right_id, duplicate, None if bits is None else similarity_of_packed(bits), verdict)
        for left_id, right_id, duplicate, bits, verdict in await cursor.fetchall()
    ]


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Pairs that two generations call duplicates: the first, the second, and both."""

    before: int
    after: int
    both: int


async def compare_verdicts(connection: Connection, before_no: int, after_no: int) -> VerdictCounts:
    """Count the duplicates of two generations of an index, and those that they have in common."""
    cursor = await connection.execute(
        """
        SELECT count(*) FILTER (WHERE b.is_in), count(*) FILTER (WHERE a.is_in),
               count(*) FILTER (WHERE a.is_in AND b.is_in)
        FROM (SELECT left_uid, right_uid, true AS is_in FROM entity_pairs WHERE index_no = %s AND duplicate) b
        FULL JOIN (SELECT left_uid, right_uid, true AS is_in FROM entity_pairs WHERE index_no = %s AND duplicate) a
        USING (left_uid, right_uid)
        """,
        (before_no, after_no),
    )
    return VerdictCounts(*(await cursor.fetchone() or (0, 0, 0)))


@dataclass(frozen=True, slots=True)
class SampledPair:
    """A listed pair with its evidence and where its two entities come from."""

    left_uid: int
    right_uid: int
    similarity: float
    duplicate: bool
    bits: bytes
    basis: str | None
    left_source: str | None
    right_source: str | None
    left_group: int | None
    right_group: int | None


_SIDES = """
    CROSS JOIN LATERAL (
        SELECT source, group_uid FROM entities WHERE index_no = %(index)s AND uid = p.left_uid OFFSET 0
    ) l CROSS JOIN LATERAL (
        SELECT source, group_uid FROM entities WHERE index_no = %(index)s AND uid = p.right_uid OFFSET 0
    ) r
"""
_SAMPLED = """
    p.left_uid, p.right_uid, p.similarity, p.duplicate, p.bits, p.basis, l.source, r.source, l.group_uid, r.group_uid
"""


async def sample_pairs(connection: Connection, index: Index, *, part_size: int) -> list[SampledPair]:
    """Read the pairs of about so many random entities, those left out that follow from a group alone."""
    cursor = await connection.execute(
        f"""
        WITH sample AS MATERIALIZED (
            SELECT left_uid, right_uid, similarity, duplicate, bits, basis FROM entity_pairs
            WHERE index_no = %(index)s AND left_uid <= %(reach)s AND NOT closed
            ORDER BY left_uid, right_uid LIMIT %(limit)s
        )
        SELECT {_SAMPLED} FROM sample p {_SIDES} ORDER BY p.left_uid, p.right_uid
        """,
        {
            "index": index.index_no,
            "reach": reach_of(index.entities, part_size),
            "limit": part_size * MAX_PAIRS_AN_ENTITY,
        },
        binary=True,
    )
    return [SampledPair(*row) for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Groups by their size: `(size, groups)`; the largest with their first members; which share was counted."""

    sizes: list[tuple[int, int]]
    largest: list[tuple[int, int, list[str]]]
    share: float


async def count_groups(
    connection: Connection, index: Index, *, largest: int, members: int, part_size: int
) -> GroupCounts:
    """Count the groups of a generation by size, in a part of a large one.

    Args:
        connection: A connection.
        index: The generation.
        largest: How many of the largest groups are named.
        members: How many members of each of those.
        part_size: About how many entities the part is to have.
    """
    reach = reach_of(index.entities, part_size)
    arguments = {"index": index.index_no, "reach": reach, "largest": largest, "members": members}
    counted = """
        WITH sizes AS MATERIALIZED (
            SELECT group_uid, count(*) AS size FROM entities
            WHERE index_no = %(index)s AND group_uid <= %(reach)s GROUP BY group_uid
        )
    """
    cursor = await connection.execute(
        f"{counted} SELECT size, count(*) FROM sizes GROUP BY size ORDER BY size", arguments
    )
    rows = await cursor.fetchall()
    cursor = await connection.execute(
        f"""
        {counted}, best AS MATERIALIZED (
            SELECT group_uid, size FROM sizes ORDER BY size DESC, group_uid LIMIT %(largest)s
        )
        SELECT b.group_uid, b.size, m.ids FROM best b CROSS JOIN LATERAL (
            SELECT array_agg(id_json ORDER BY uid) AS ids FROM (
                SELECT uid, id_json FROM entities WHERE index_no = %(index)s AND group_uid = b.group_uid
                ORDER BY uid LIMIT %(members)s OFFSET 0
            ) e
        ) m ORDER BY b.size DESC, b.group_uid
        """,
        arguments,
    )
    named = await cursor.fetchall()
    # A group is named after the lowest uid in it, most often of two.
    return GroupCounts(rows, named, _share_of_pairs(reach))


async def doubtful_pairs(
    connection: Connection, index: Index, *, near: float, part_size: int, limit: int
) -> list[SampledPair]:
    """Read the pairs nearest to the duplicate threshold, of a part of a large index."""
    cursor = await connection.execute(
        f"""
        WITH sample AS MATERIALIZED (
            SELECT left_uid, right_uid, similarity, duplicate, bits, basis FROM entity_pairs
            WHERE index_no = %(index)s AND left_uid <= %(reach)s AND NOT closed
            AND abs(similarity - %(threshold)s) <= %(near)s
            ORDER BY abs(similarity - %(threshold)s), left_uid, right_uid LIMIT %(limit)s
        )
        SELECT {_SAMPLED} FROM sample p {_SIDES} ORDER BY p.left_uid, p.right_uid
        """,
        {
            "index": index.index_no,
            "reach": reach_of(index.entities, part_size),
            "threshold": index.config.duplicate_threshold,
            "near": near,
            "limit": limit,
        },
        binary=True,
    )
    return [SampledPair(*row) for row in await cursor.fetchall()]
