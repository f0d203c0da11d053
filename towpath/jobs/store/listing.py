"""The list of all jobs: filtered, newest first, any page of it with an exact total, quick at a million rows.

A page is not reached by walking over all rows before it. The counts kept by `counters` say how many jobs
that match are in each stretch of time, so that whole stretches are stepped over: first spans, then the blocks of the
few spans that hold the page, then rows of the few blocks that do. Counts, what is not yet folded into them, and rows
are read in one snapshot, so that a total and its page always agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlmodel import col, select

from towpath.db.engine import Connection, Database
from towpath.jobs.lists import JobFilter, JobListPage
from towpath.jobs.registry import upkeep_kinds
from towpath.jobs.store.counters import BLOCK, SPAN
from towpath.jobs.store.tables import JobRow
from towpath.jobs.store.visibility import SEEN, seen_by
from towpath.jobs.types import STATUS_OF, JobState, JobStatus, job_status

_STORED = {status: state.value for state, status in STATUS_OF.items()} | {JobStatus.RETRY: "RETRY"}


@dataclass(frozen=True)
class _Piece:
    """A stretch of time and how many jobs that match are in it.

    Attributes:
        lo: Where it begins; none: at the beginning of time.
        hi: Before which it ends; none: at the end of time.
        cut: Only a part of the stretch is in the window, and `jobs` are those of the whole.
    """

    level: int
    lo: datetime | None
    hi: datetime | None
    jobs: int
    cut: bool = False


_PIECES = """
WITH tree AS MATERIALIZED (
    SELECT coalesce(array_agg(from_at ORDER BY from_at), ARRAY['-infinity'::timestamptz]) AS starts FROM job_blocks
    WHERE organization = %(organization)s AND level = %(level)s
), open AS (
    SELECT created_at, jobs FROM job_deltas
    WHERE organization = %(organization)s AND created_at >= {lo} AND created_at < {hi} {deltas}
    {own}
), sums AS (
    SELECT place, sum(jobs) AS jobs FROM (
        SELECT width_bucket(from_at, starts) AS place, jobs FROM tree CROSS JOIN job_counts
        WHERE facet = ANY (ARRAY(SELECT facet FROM job_facets WHERE organization = %(organization)s {facets}))
        AND level = %(level)s AND from_at >= starts[greatest(width_bucket({lo}, starts), 1)] AND from_at < {hi}
        UNION ALL
        SELECT greatest(width_bucket(created_at, starts), 1), jobs FROM tree CROSS JOIN open
    ) both_kinds GROUP BY place HAVING sum(jobs) <> 0
), pieces AS (
    SELECT jobs, starts[place] AS from_at, coalesce(starts[place + 1], 'infinity') AS to_at FROM tree CROSS JOIN sums
)
SELECT nullif(greatest(from_at, {lo}), '-infinity'), nullif(least(to_at, {hi}), 'infinity'), jobs::bigint,
    from_at < {lo} OR to_at > {hi}
FROM pieces ORDER BY from_at DESC
"""

_OWN = """
    UNION ALL SELECT created_at, 1 FROM jobs
    WHERE organization = %(organization)s AND user_id = %(seer)s AND created_at >= {lo} AND created_at < {hi} {asked}
"""

_OWN_STATES = """
    UNION ALL SELECT state, retrying, 1 FROM jobs
    WHERE organization = %(organization)s AND user_id = %(seer)s AND kind <> ALL(%(upkeep)s)
"""

_LO, _HI = "coalesce(%(lo)s::timestamptz, '-infinity')", "coalesce(%(hi)s::timestamptz, 'infinity')"

_MATCHING = """
SELECT id, created_at FROM jobs
WHERE organization = %(organization)s AND created_at >= {lo} AND created_at < {hi} {asked}
"""

# Of one stretch in the order of the index, which ends as soon as the page is full.
_ROWS_OF_ONE = "{matching} ORDER BY created_at DESC, id DESC OFFSET %(skip)s LIMIT %(size)s"

# Each by itself (OFFSET 0 keeps them apart), so that no plan reads what lies between them.
_ROWS_OF_SEVERAL = """
SELECT found.id FROM unnest(%(lows)s::timestamptz[], %(highs)s::timestamptz[]) AS stretch (lo, hi)
CROSS JOIN LATERAL ({matching} OFFSET 0) found
ORDER BY found.created_at DESC, found.id DESC OFFSET %(skip)s LIMIT %(size)s
"""

NO_UPKEEP = "kind <> ALL(%(upkeep)s)"
_STATUS = "CASE WHEN state = 'RUNNING' AND retrying THEN 'RETRY' ELSE state END"


class _Reader:
    """One filter in one snapshot."""

    def __init__(self, connection: Connection, organization: str, chosen: JobFilter) -> None:
        self._connection = connection
        self._params: dict[str, Any] = {
            "organization": organization,
            "kinds": list(chosen.kinds),
            "upkeep": sorted(upkeep_kinds()),
            "states": [_STORED[status] for status in chosen.statuses],
            "reviews": [status.value for status in chosen.review_statuses],
            "template": chosen.template_id,
            **({} if chosen.user_id is None else seen_by(chosen.user_id)),
        }
        conditions = [
            "kind = ANY(%(kinds)s)" if chosen.kinds else NO_UPKEEP,
            *([f"{_STATUS} = ANY(%(states)s)"] if chosen.statuses else []),
            *(["review_status = ANY(%(reviews)s)"] if chosen.review_statuses else []),
        ]
        template = [] if chosen.template_id is None else ["template_id = %(template)s"]
        of_nobody = [] if chosen.user_id is None else ["NOT owned"]
        of_either = [] if chosen.user_id is None else [SEEN]
        self._conditions = _and(conditions + template + of_either)
        own = "" if chosen.user_id is None else _OWN.format(lo=_LO, hi=_HI, asked=_and(conditions + template))
        self._pieces = _PIECES.format(
            lo=_LO,
            hi=_HI,
            deltas=_and(conditions + template + of_nobody),
            facets=_and(conditions + (template or ["template_id IS NULL"]) + of_nobody),
            own=own,
        )

    async def pieces(self, level: int, lo: datetime | None, hi: datetime | None) -> list[_Piece]:
        """Load the stretches of a level between two moments that have jobs, newest first."""
        rows = await self._rows(self._pieces, level=level, lo=lo, hi=hi)
        return [_Piece(level, *row) for row in rows]

    async def within(self, lo: datetime | None, hi: datetime | None) -> list[_Piece]:
        """Load the stretches of a window: spans, and where it begins and ends inside of one, its blocks."""
        pieces: list[_Piece] = []
        for span in await self.pieces(SPAN, lo, hi):
            pieces += await self._uncut(span) if span.cut else [span]
        return pieces

    async def _uncut(self, span: _Piece) -> list[_Piece]:
        blocks = await self.pieces(BLOCK, span.lo, span.hi)
        return [replace(block, jobs=await self._count(block), cut=False) if block.cut else block for block in blocks]

    async def _count(self, piece: _Piece) -> int:
        matching = _MATCHING.format(lo=_LO, hi=_HI, asked=self._conditions)
        rows = await self._rows(f"SELECT count(*) FROM ({matching}) found", lo=piece.lo, hi=piece.hi)
        return int(rows[0][0])

    async def narrowed(self, pieces: list[_Piece], skip: int, size: int) -> tuple[list[_Piece], int]:
        """Load the blocks that hold a page, and how many jobs of the first come before it."""
        pieces, skip = _holding(pieces, skip, size)
        spans = [position for position, piece in enumerate(pieces) if piece.level == SPAN]
        if not spans:
            return pieces, skip
        # Only a window's ends were opened, so that its spans lie side by side.
        first, last = spans[0], spans[-1]
        blocks = await self.pieces(BLOCK, pieces[last].lo, pieces[first].hi)
        return _holding(pieces[:first] + blocks + pieces[last + 1 :], skip, size)

    async def ids(self, pieces: list[_Piece], skip: int, size: int) -> list[UUID]:
        """Load the ids of a page's jobs out of the blocks that hold it."""
        lows, highs = _joined(pieces)
        if len(lows) == 1:
            matching = _MATCHING.format(lo=_LO, hi=_HI, asked=self._conditions)
            rows = await self._rows(
                _ROWS_OF_ONE.format(matching=matching), lo=lows[0], hi=highs[0], skip=skip, size=size
            )
        else:
            lo, hi = "coalesce(stretch.lo, '-infinity')", "coalesce(stretch.hi, 'infinity')"
            matching = _MATCHING.format(lo=lo, hi=hi, asked=self._conditions)
            rows = await self._rows(
                _ROWS_OF_SEVERAL.format(matching=matching), lows=lows, highs=highs, skip=skip, size=size
            )
        return [row[0] for row in rows]

    async def _rows(self, query: str, **params: Any) -> list[tuple[Any, ...]]:
        # Planned each time: a plan for any filter would be a bad one for most.
        cursor = await self._connection.execute(query, {**self._params, **params}, prepare=False)
        return await cursor.fetchall()


def _and(conditions: Sequence[str]) -> str:
    return "".join(f" AND {condition}" for condition in conditions)


def _holding(pieces: list[_Piece], skip: int, size: int) -> tuple[list[_Piece], int]:
    """Return the pieces, newest first, that hold `size` jobs after `skip`, and how many to skip in the first."""
    first = 0
    while first < len(pieces) and skip >= pieces[first].jobs:
        skip -= pieces[first].jobs
        first += 1
    last, remaining = first, skip + size
    while last < len(pieces) and remaining > 0:
        remaining -= pieces[last].jobs
        last += 1
    return pieces[first:last], skip


def _joined(pieces: list[_Piece]) -> tuple[list[datetime | None], list[datetime | None]]:
    """Return begins and ends of the pieces, newest first, neighbours made one."""
    lows: list[datetime | None] = []
    highs: list[datetime | None] = []
    for piece in pieces:
        if lows and lows[-1] == piece.hi:
            lows[-1] = piece.lo
        else:
            lows.append(piece.lo)
            highs.append(piece.hi)
    return lows, highs


async def list_page(database: Database, organization: str, chosen: JobFilter, *, page: int, size: int) -> JobListPage:
    """Load a page of an organization's jobs, by creation and then by id, both falling.

    Args:
        database: Where the jobs are.
        organization: Whose jobs.
        wanted: Which of them.
        page: From 1.
        size: Jobs a page.
    """
    async with database.session() as session:
        pooled = await (await session.connection()).get_raw_connection()
        connection = cast(Connection, pooled.driver_connection)
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        reader = _Reader(connection, organization, chosen)
        pieces = await reader.within(chosen.created_after, chosen.created_before)
        total = sum(piece.jobs for piece in pieces)
        before = (page - 1) * size
        if before >= total:
            return JobListPage([], total)
        blocks, skip = await reader.narrowed(pieces, before, size)
        ids = await reader.ids(blocks, skip, size)
        # The session makes objects of a hundred rows in 5 ms; validating them takes 13.
        rows = {job.id: job for job in (await session.exec(select(JobRow).where(col(JobRow.id).in_(ids)))).all()}
        return JobListPage([rows[job_id] for job_id in ids], total)


async def totals_by_status(
    database: Database, organization: str, *, user_id: UUID | None = None
) -> dict[JobStatus, int]:
    """Count the jobs of an organization that have each public status; with `user_id` those that this person sees."""
    of_nobody, own = ("", "") if user_id is None else ("AND NOT owned", _OWN_STATES)
    async with database.statement() as connection:
        cursor = await connection.execute(
            f"""
            SELECT state, retrying, sum(jobs)::bigint FROM (
                SELECT state, retrying, jobs FROM job_facets
                WHERE organization = %(organization)s AND {NO_UPKEEP} AND template_id IS NULL {of_nobody}
                UNION ALL
                SELECT state, retrying, jobs FROM job_deltas
                WHERE organization = %(organization)s AND {NO_UPKEEP} {of_nobody}
                {own}
            ) kept GROUP BY state, retrying
            """,
            {"organization": organization, "seer": user_id, "upkeep": sorted(upkeep_kinds())},
        )
        totals = dict.fromkeys(JobStatus, 0)
        for state, retrying, jobs in await cursor.fetchall():
            totals[job_status(JobState(state), retrying=retrying)] += jobs
        return totals
