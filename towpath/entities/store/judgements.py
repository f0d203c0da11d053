"""What language models have said of pairs: it outlives an index's generations, and holds while both contents last.

A content is looked up by a scalar subquery, once for each row, whatever the planner believes of the size of an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from towpath.db.engine import Connection
from towpath.entities.domain.matching import PairLabel
from towpath.entities.judge_types import Judge
from towpath.entities.store.indexes import Index

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class StoredJudgement:
    """A judged pair, `left_uid < right_uid`; the digests are of the contents that the model was shown."""

    left_uid: int
    right_uid: int
    left_id: str
    right_id: str
    left_digest: bytes
    right_digest: bytes
    answer: str
    reason: str
    model: str
    job_id: UUID
    cost_usd: float


@dataclass(frozen=True, slots=True)
class ListedJudgement:
    """A judgement as it is listed; `is_current` is false once one of the entities has changed or is gone."""

    left_uid: int
    right_uid: int
    left_id: str
    right_id: str
    answer: str
    reason: str
    model: str
    job_id: UUID
    cost_usd: float
    created_at: datetime
    is_current: bool


@dataclass(frozen=True, slots=True)
class Content:
    """An entity as it is now."""

    id_json: str
    body: str
    digest: bytes


_OF = "organization = %(organization)s AND index_name = %(name)s"
_CURRENT = """
    j.left_digest = (SELECT digest FROM entities WHERE index_no = %(index)s AND uid = j.left_uid)
    AND j.right_digest = (SELECT digest FROM entities WHERE index_no = %(index)s AND uid = j.right_uid)
"""
# `OFFSET 0`: looked up once for each pair, and never joined.
_LABELLED = f"""
    EXISTS (
        SELECT 1 FROM entity_labels l WHERE {_OF} AND l.left_uid = p.left_uid AND l.right_uid = p.right_uid OFFSET 0
    )
"""
_JUDGED = f"""
    EXISTS (
        SELECT 1 FROM entity_judgements j WHERE {_OF} AND j.left_uid = p.left_uid AND j.right_uid = p.right_uid
        AND {_CURRENT} OFFSET 0
    )
"""


def _of(index: Index) -> dict[str, object]:
    return {"organization": index.organization, "name": index.name, "index": index.index_no}


async def pick_pairs(connection: Connection, index: Index, low: float, high: float, *, limit: int) -> list[Pair]:
    """Choose the pairs whose similarity is within a range and that nobody has judged, the most doubtful first.

    Those that follow from a group alone are left out.

    Args:
        connection: A connection.
        index: The generation.
        low: The lowest similarity.
        high: The similarity that is too high.
        limit: The most pairs.
    """
    cursor = await connection.execute(
        f"""
        WITH zone AS MATERIALIZED (
            SELECT left_uid, right_uid, similarity FROM entity_pairs
            WHERE index_no = %(index)s AND similarity >= %(low)s AND similarity < %(high)s AND NOT closed
        )
        SELECT left_uid, right_uid FROM zone p WHERE NOT {_LABELLED} AND NOT {_JUDGED}
        ORDER BY abs(similarity - %(threshold)s), left_uid, right_uid LIMIT %(limit)s
        """,
        {**_of(index), "low": low, "high": high, "threshold": index.config.duplicate_threshold, "limit": limit},
    )
    return [(left, right) for left, right in await cursor.fetchall()]


async def find_settled(connection: Connection, index: Index, pairs: Sequence[Pair]) -> set[Pair]:
    """Return those of some pairs that have a label or a judgement that is of their contents."""
    cursor = await connection.execute(
        f"""
        SELECT p.left_uid, p.right_uid FROM unnest(%(left)b::bigint[], %(right)b::bigint[]) p(left_uid, right_uid)
        WHERE {_LABELLED} OR {_JUDGED}
        """,
        {**_of(index), "left": [pair[0] for pair in pairs], "right": [pair[1] for pair in pairs]},
    )
    return {(left, right) for left, right in await cursor.fetchall()}


async def read_contents(connection: Connection, index_no: int, uids: Sequence[int]) -> dict[int, Content]:
    """Read entities as they are now; those that are gone are left out."""
    cursor = await connection.execute(
        "SELECT uid, id_json, body, digest FROM entities WHERE index_no = %s AND uid = ANY(%b::bigint[])",
        (index_no, list(uids)),
        binary=True,
    )
    return {uid: Content(id_json, body, bytes(digest)) for uid, id_json, body, digest in await cursor.fetchall()}


async def save_judgements(
    connection: Connection, organization: str, name: str, judgements: Sequence[StoredJudgement]
) -> None:
    """Add judgements; a pair that has one gets the new one."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """
            INSERT INTO entity_judgements (
                organization, index_name, left_uid, right_uid, left_id, right_id, left_digest, right_digest, answer,
                reason, model, job_id, cost_usd
            ) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (organization, index_name, left_uid, right_uid) DO UPDATE
            SET left_digest = excluded.left_digest, right_digest = excluded.right_digest, answer = excluded.answer,
                reason = excluded.reason, model = excluded.model, job_id = excluded.job_id,
                cost_usd = excluded.cost_usd, created_at = excluded.created_at
            """,
            [
                (
                    organization, name, x.left_uid, x.right_uid, x.left_id, x.right_id, x.left_digest, x.right_digest,
                    x.answer, x.reason, x.model, x.job_id, x.cost_usd,
                )
                for x in judgements
            ],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statements:
    """What is said of pairs: by people, and by models as far as the contents are still the same."""

    labels: list[PairLabel]
    judgements: list[PairLabel]


async def read_statements(connection: Connection, index: Index, uids: Sequence[int] | None = None) -> Statements:
    """Read what is said of some entities, and of all that are said to be the same as one of them.

    Args:
        connection: A connection.
        index: The generation that contents are compared with.
        uids: The entities; None: all of the index.
    """
    statements: set[tuple[bool, int, int, bool]] = set()
    reached, frontier = set(uids or ()), list(uids or ())
    sides = ("left_uid", "right_uid") if uids is not None else ("",)
    labels = "SELECT true, left_uid, right_uid, duplicate FROM entity_labels WHERE {of}{side}"
    judgements = (
        "SELECT false, left_uid, right_uid, answer = 'same' FROM entity_judgements j"
        " WHERE {of}{side} AND answer <> 'unsure' AND {current}"
    )
    # One statement: every single write asks.
    query = " UNION ALL ".join(
        source.format(of=_OF, current=_CURRENT, side=f" AND {side} = ANY(%(uids)b::bigint[])" if side else "")
        for source in (labels, judgements)
        for side in sides
    )
    while frontier or uids is None:
        cursor = await connection.execute(query, {**_of(index), "uids": frontier})
        rows = {(by_people, left, right, same) for by_people, left, right, same in await cursor.fetchall()}
        statements |= rows
        if uids is None:
            break
        frontier = sorted({uid for _, left, right, same in rows if same for uid in (left, right)} - reached)
        reached.update(frontier)
    return Statements(
        labels=[PairLabel(left, right, same) for by_people, left, right, same in sorted(statements) if by_people],
        judgements=[
            PairLabel(left, right, same) for by_people, left, right, same in sorted(statements) if not by_people
        ],
    )


async def read_judges(connection: Connection, index: Index, pairs: Sequence[Pair]) -> dict[Pair, Judge]:
    """Return who has judged each of some pairs, of those that have a judgement and no label."""
    cursor = await connection.execute(
        f"""
        SELECT p.left_uid, p.right_uid, j.model, j.reason
        FROM unnest(%(left)b::bigint[], %(right)b::bigint[]) p(left_uid, right_uid)
        CROSS JOIN LATERAL (
            SELECT j.model, j.reason FROM entity_judgements j WHERE {_OF} AND j.left_uid = p.left_uid
            AND j.right_uid = p.right_uid AND j.answer <> 'unsure' AND {_CURRENT} OFFSET 0
        ) j
        WHERE NOT {_LABELLED}
        """,
        {**_of(index), "left": [pair[0] for pair in pairs], "right": [pair[1] for pair in pairs]},
    )
    rows = await cursor.fetchall()
    return {(left, right): Judge(model=model, reason=reason) for left, right, model, reason in rows}


async def page_judgements(
    connection: Connection, index: Index, *, limit: int, offset: int
) -> tuple[list[ListedJudgement], int]:
    """Return a page of the judgements of an index, newest first, and how many there are."""
    counted = await connection.execute(f"SELECT count(*) FROM entity_judgements WHERE {_OF}", _of(index))
    async with connection.cursor(row_factory=class_row(ListedJudgement)) as cursor:
        await cursor.execute(
            f"""
            WITH page AS MATERIALIZED (
                SELECT * FROM entity_judgements WHERE {_OF}
                ORDER BY created_at DESC, left_uid, right_uid LIMIT %(limit)s OFFSET %(offset)s
            )
            SELECT left_uid, right_uid, left_id, right_id, answer, reason, model, job_id, cost_usd, created_at,
                   coalesce({_CURRENT}, false) AS is_current
            FROM page j ORDER BY created_at DESC, left_uid, right_uid
            """,
            {**_of(index), "limit": limit, "offset": offset},
        )
        rows = await cursor.fetchall()
    return rows, (await counted.fetchone() or (0,))[0]


async def read_job_pairs(connection: Connection, index: Index, job_id: UUID) -> list[Pair]:
    """Return the pairs of an index that a job has judged."""
    cursor = await connection.execute(
        f"""
        SELECT left_uid, right_uid FROM entity_judgements WHERE {_OF} AND job_id = %(job)s
        ORDER BY left_uid, right_uid
        """,
        {**_of(index), "job": job_id},
    )
    return [(left, right) for left, right in await cursor.fetchall()]


async def count_judgements(connection: Connection, organization: str, name: str) -> dict[str, int]:
    """Count the judgements of an index by answer."""
    cursor = await connection.execute(
        f"SELECT answer, count(*) FROM entity_judgements WHERE {_OF} GROUP BY answer",
        {"organization": organization, "name": name},
    )
    return dict(await cursor.fetchall())


async def delete_judgements(connection: Connection, organization: str, name: str) -> list[Pair]:
    """Delete all judgements of an index, and return their pairs."""
    cursor = await connection.execute(
        f"DELETE FROM entity_judgements WHERE {_OF} RETURNING left_uid, right_uid",
        {"organization": organization, "name": name},
    )
    return [(left, right) for left, right in await cursor.fetchall()]


async def find_open_judge(connection: Connection, organization: str, kind: str, name: str) -> UUID | None:
    """Return the job of a kind that has to do with an index and has not ended; None: there is none."""
    cursor = await connection.execute(
        """
        SELECT id FROM jobs WHERE organization = %s AND kind = %s AND state IN ('PENDING', 'RUNNING', 'PAUSED')
        AND params ->> 'index' = %s LIMIT 1
        """,
        (organization, kind, name),
    )
    row = await cursor.fetchone()
    return row[0] if row else None
