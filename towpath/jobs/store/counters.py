"""The kept counts of jobs that the job list is answered from: how changes are folded in, and blocks are cut.

A tree of two levels over `created_at`: blocks of some hundred jobs, and spans of some hundred blocks. `job_blocks`
holds where each begins; it ends where the next of its level begins. `job_facets` are the jobs that are alike in all
that the list filters by, and `job_counts` holds how many of a facet a block or span has. The triggers on `jobs` write
none of these, so that no job waits for another: they append what changed to `job_deltas`, and `compact_counters` folds
that in later. At every moment, in one snapshot,

    jobs of a stretch = its counts + the open deltas of jobs created in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from towpath.db.engine import Connection, Database

BLOCK_JOBS = 500
"""Jobs of a block after a cut; beyond twice as many it is cut again."""
SPAN_BLOCKS = 64
"""Blocks of a span after a cut; beyond twice as many it is cut again."""
MAX_PIECES = 128
"""Blocks that one cut makes at most: the bound of its transaction."""
# Any constant will do that no other advisory lock of Towpath has.
COUNTERS_LOCK = 0x746F77706A6F62
BLOCK, SPAN = 0, 1

# A job with a template counts twice: among those of any, and among those of its own.
_BOTH_WAYS = """
    SELECT {source}.*, wanted.template AS template_id FROM {source} CROSS JOIN LATERAL (
        SELECT NULL::uuid AS template UNION ALL SELECT own_template WHERE own_template IS NOT NULL
    ) wanted
"""

_SAME_FACET = """
    (f.organization, f.kind, f.state, f.retrying, f.owned, coalesce(f.review_status, ''),
     coalesce(f.template_id::text, '')) =
    (s.organization, s.kind, s.state, s.retrying, s.owned, coalesce(s.review_status, ''),
     coalesce(s.template_id::text, ''))
"""

_FOLD = f"""
WITH taken AS (
    DELETE FROM job_deltas WHERE seq = ANY (ARRAY(SELECT seq FROM job_deltas ORDER BY seq LIMIT %(limit)s)) RETURNING *
), tree AS (
    SELECT organization, level, array_agg(from_at ORDER BY from_at) AS starts FROM job_blocks
    WHERE organization IN (SELECT organization FROM taken) GROUP BY organization, level
), landed AS (
    SELECT taken.*, level, coalesce(starts[width_bucket(created_at, starts)], '-infinity') AS from_at
    FROM taken CROSS JOIN (VALUES ({BLOCK}), ({SPAN})) levels (level) LEFT JOIN tree USING (organization, level)
), summed AS (
    SELECT organization, level, from_at, kind, state, retrying, review_status, owned, template_id AS own_template,
        sum(jobs) AS jobs
    FROM landed GROUP BY organization, level, from_at, kind, state, retrying, review_status, owned, template_id
    HAVING sum(jobs) <> 0
), spread AS MATERIALIZED (
    {_BOTH_WAYS.format(source="summed")}
), blocks AS (
    INSERT INTO job_blocks AS b (organization, level, from_at, jobs)
    SELECT organization, level, from_at, sum(jobs) FROM summed GROUP BY organization, level, from_at
    ON CONFLICT (organization, level, from_at) DO UPDATE SET jobs = b.jobs + excluded.jobs
), facets AS (
    INSERT INTO job_facets AS f (organization, template_id, kind, state, retrying, review_status, owned, jobs)
    SELECT organization, template_id, kind, state, retrying, review_status, owned, sum(jobs) FROM spread
    WHERE level = {BLOCK} GROUP BY organization, template_id, kind, state, retrying, review_status, owned
    ON CONFLICT (organization, template_id, kind, state, retrying, review_status, owned)
    DO UPDATE SET jobs = f.jobs + excluded.jobs RETURNING *
), counts AS (
    INSERT INTO job_counts AS c (facet, level, from_at, jobs)
    SELECT f.facet, s.level, s.from_at, sum(s.jobs) FROM spread s JOIN facets f ON {_SAME_FACET}
    GROUP BY f.facet, s.level, s.from_at HAVING sum(s.jobs) <> 0
    ON CONFLICT (facet, level, from_at) DO UPDATE SET jobs = c.jobs + excluded.jobs
)
SELECT count(*) FROM taken
"""

_FULL = f"""
SELECT organization, from_at::text, coalesce((
    SELECT min(n.from_at) FROM job_blocks n
    WHERE n.organization = b.organization AND n.level = {BLOCK} AND n.from_at > b.from_at
), 'infinity')::text, jobs
FROM job_blocks b WHERE level = {BLOCK} AND jobs > greatest(split_at, %s) ORDER BY jobs DESC LIMIT 1
"""

# Each piece begins with a job; those of one moment stay together.
_PLACES = """
SELECT DISTINCT created_at::text FROM (
    SELECT created_at, row_number() OVER (ORDER BY created_at) AS place, min(created_at) OVER () AS first FROM (
        SELECT created_at FROM jobs
        WHERE organization = %(organization)s AND created_at >= %(from)s AND created_at < %(to)s
        ORDER BY created_at LIMIT %(rows)s
    ) oldest
) numbered WHERE place %% %(block)s = 1 AND created_at > first
ORDER BY created_at
"""

# Takes counts from the stretch that is cut and gives them to its pieces.
_GIVE = """
, counts AS (
    INSERT INTO job_counts AS c (facet, level, from_at, jobs)
    SELECT facet, %(level)s, at, sum(jobs) FROM (
        SELECT facet, from_at AS at, jobs FROM moved
        UNION ALL SELECT facet, %(from)s::timestamptz, -jobs FROM moved
    ) both_ends GROUP BY facet, at HAVING sum(jobs) <> 0
    ON CONFLICT (facet, level, from_at) DO UPDATE SET jobs = c.jobs + excluded.jobs
)
INSERT INTO job_blocks AS b (organization, level, from_at, jobs)
SELECT %(organization)s, %(level)s, at, sum(jobs) FROM (
    SELECT from_at AS at, jobs, facet FROM moved UNION ALL SELECT %(from)s::timestamptz, -jobs, facet FROM moved
) both_ends WHERE facet IN (SELECT facet FROM job_facets WHERE template_id IS NULL)
GROUP BY at HAVING sum(jobs) <> 0
ON CONFLICT (organization, level, from_at) DO UPDATE SET jobs = b.jobs + excluded.jobs
"""

# What the table has less what is open is what was folded. Only the pieces up to the last are counted so, in one
# statement and so in one snapshot; the last one has what remains of the old counts, however many jobs that are.
_CUT_BLOCK = f"""
WITH counted AS (
    SELECT %(organization)s::text AS organization, kind, state, retrying, review_status, owned, own_template,
        starts[width_bucket(created_at, starts)] AS from_at, sum(jobs) AS jobs
    FROM (
        SELECT created_at, kind, state, retrying, review_status, job_owned(user_id, kind) AS owned,
            template_id AS own_template, 1 AS jobs
        FROM jobs WHERE organization = %(organization)s AND created_at >= %(from)s AND created_at < %(last)s
        UNION ALL
        SELECT created_at, kind, state, retrying, review_status, owned, template_id, -jobs
        FROM job_deltas WHERE organization = %(organization)s AND created_at >= %(from)s AND created_at < %(last)s
    ) rows CROSS JOIN (SELECT %(starts)s::timestamptz[] AS starts) pieces
    GROUP BY kind, state, retrying, review_status, owned, own_template, 8 HAVING sum(jobs) <> 0
), spread AS (
    {_BOTH_WAYS.format(source="counted")}
), found AS MATERIALIZED (
    SELECT f.facet, s.from_at, s.jobs FROM spread s JOIN job_facets f ON {_SAME_FACET}
), remaining AS (
    SELECT facet, sum(jobs) AS jobs FROM (
        SELECT facet, c.jobs FROM job_counts c JOIN job_facets f USING (facet)
        WHERE organization = %(organization)s AND level = {BLOCK} AND from_at = %(from)s
        UNION ALL SELECT facet, -jobs FROM found
    ) less GROUP BY facet HAVING sum(jobs) <> 0
), moved AS MATERIALIZED (
    SELECT facet, from_at, jobs FROM found UNION ALL SELECT facet, %(last)s::timestamptz, jobs FROM remaining
)
{_GIVE}
"""

_SPAN_OF = f"""
SELECT from_at::text, (
    SELECT array_agg(b.from_at::text ORDER BY b.from_at) FROM job_blocks b
    WHERE b.organization = s.organization AND b.level = {BLOCK} AND b.from_at >= s.from_at AND b.from_at < coalesce((
        SELECT min(n.from_at) FROM job_blocks n
        WHERE n.organization = s.organization AND n.level = {SPAN} AND n.from_at > s.from_at
    ), 'infinity')
)
FROM job_blocks s WHERE organization = %(organization)s AND level = {SPAN} AND from_at <= %(from)s
ORDER BY s.from_at DESC LIMIT 1
"""

_CUT_SPAN = f"""
WITH moved AS MATERIALIZED (
    SELECT facet, starts[width_bucket(from_at, starts)] AS from_at, sum(c.jobs) AS jobs
    FROM job_counts c JOIN job_facets f USING (facet) CROSS JOIN (SELECT %(starts)s::timestamptz[] AS starts) pieces
    WHERE organization = %(organization)s AND level = {BLOCK} AND from_at >= starts[1] AND from_at <= %(newest)s
    GROUP BY facet, 2
)
{_GIVE}
"""

# A stretch without jobs goes up into the one before it; a span always begins where a block begins.
_TIDY = (
    "DELETE FROM job_counts WHERE jobs = 0",
    f"DELETE FROM job_blocks WHERE level = {SPAN} AND jobs = 0 AND from_at > '-infinity'",
    f"""
    DELETE FROM job_blocks b WHERE level = {BLOCK} AND jobs = 0 AND NOT EXISTS (
        SELECT 1 FROM job_blocks s WHERE s.organization = b.organization AND s.level = {SPAN} AND s.from_at = b.from_at
    )
    """,
    "DELETE FROM job_facets f WHERE jobs = 0 AND NOT EXISTS (SELECT 1 FROM job_counts c WHERE c.facet = f.facet)",
)


@dataclass(frozen=True)
class _Stretch:
    """A block; its bounds as Postgres writes them, because Python has no infinite times."""

    organization: str
    from_at: str
    to_at: str
    jobs: int


async def compact_counters(database: Database, *, limit: int) -> int:
    """Fold the oldest open deltas into the counts, cut a block that has grown too large, drop what became empty.

    Writers and readers of jobs are not held up. Of several callers one works, and the others find nothing to do.

    Args:
        database: Where the jobs are.
        limit: The most deltas to take; 5,000 take some 150 ms.

    Returns:
        How many deltas were folded and blocks were made; call again while it is not 0.
    """
    async with database.transaction() as connection:
        lock = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (COUNTERS_LOCK,))
        if not (await lock.fetchone() or (False,))[0]:
            return 0
        folded = await connection.execute(_FOLD, {"limit": limit}, prepare=False)
        folded_deltas = int((await folded.fetchone() or (0,))[0])
        cut_blocks = await _cut_fullest(connection)
        if folded_deltas or cut_blocks:
            for statement in _TIDY:
                await connection.execute(statement)
        return folded_deltas + cut_blocks


async def _cut_fullest(connection: Connection) -> int:
    cursor = await connection.execute(_FULL, (BLOCK_JOBS * 2,))
    row = await cursor.fetchone()
    if row is None:
        return 0
    block = _Stretch(*row)
    bounds = {"organization": block.organization, "from": block.from_at, "to": block.to_at}
    rows = BLOCK_JOBS * min(MAX_PIECES, block.jobs // BLOCK_JOBS)
    places = await connection.execute(_PLACES, {**bounds, "rows": rows + 1, "block": BLOCK_JOBS}, prepare=False)
    cuts = [str(position) for (position,) in await places.fetchall()]
    if not cuts:
        # All of one moment, or deleted and not yet folded: to be tried again when it has doubled.
        await connection.execute(
            f"UPDATE job_blocks SET split_at = jobs * 2 WHERE organization = %s AND level = {BLOCK} AND from_at = %s",
            (block.organization, block.from_at),
        )
        return 0
    await connection.execute(
        _CUT_BLOCK,
        {**bounds, "level": BLOCK, "starts": [block.from_at, *cuts], "last": cuts[-1]},
        prepare=False,
    )
    await _cut_span(connection, block)
    return len(cuts)


async def _cut_span(connection: Connection, block: _Stretch) -> None:
    bounds = {"organization": block.organization, "from": block.from_at}
    cursor = await connection.execute(_SPAN_OF, bounds)
    from_at, blocks = await cursor.fetchone() or (block.from_at, [])
    if len(blocks) <= SPAN_BLOCKS * 2:
        return
    await connection.execute(
        _CUT_SPAN,
        {
            "organization": block.organization, "level": SPAN, "from": from_at,
            "starts": blocks[SPAN_BLOCKS::SPAN_BLOCKS], "newest": blocks[-1],
        },
        prepare=False,
    )  # fmt: skip
