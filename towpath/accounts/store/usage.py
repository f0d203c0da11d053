"""What organizations may use and do use: their own limits, jobs in flight, stored bytes, leases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from towpath.accounts.limits import LimitName
from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database

MEASURED_SECONDS = 60
SAMPLE = 200
"""Rows of which the size of all entities of an index, objects of a collection or records is taken."""
MEASURE = f"""
SELECT coalesce(sum(bytes), 0)::bigint FROM (
    SELECT sum(size) AS bytes FROM blobs WHERE organization = %(organization)s
    UNION ALL
    SELECT sum(octet_length(content)) FROM attachments WHERE organization = %(organization)s
    UNION ALL
    SELECT sum(octet_length(p.body)) FROM jobs j JOIN job_pages p ON p.job_id = j.id
    WHERE j.organization = %(organization)s
    UNION ALL
    SELECT sum(n.entities * (
        SELECT avg(octet_length(body) + octet_length(values) + octet_length(keys))
        FROM (SELECT body, values, keys FROM entities e WHERE e.index_no = i.index_no LIMIT {SAMPLE}) sampled
    )) FROM entity_indexes i JOIN entity_index_counts n USING (index_no) WHERE i.organization = %(organization)s
    UNION ALL
    SELECT sum(c.objects * (
        SELECT avg(pg_column_size(payload) + coalesce(pg_column_size(item_info), 0) + parts * coalesce((
            SELECT octet_length(vector) FROM vector_entries v WHERE v.collection_no = c.collection_no LIMIT 1
        ), 0))
        FROM (
            SELECT payload, item_info, parts FROM vector_objects o
            WHERE o.collection_no = c.collection_no AND version IS NOT NULL LIMIT {SAMPLE}
        ) sampled
    )) FROM vector_collections c WHERE c.organization = %(organization)s
    UNION ALL
    SELECT (SELECT count(*) FROM records WHERE organization = %(organization)s) * (
        SELECT avg(pg_column_size(sampled)) FROM (
            SELECT r.* FROM records r WHERE r.organization = %(organization)s LIMIT {SAMPLE}
        ) sampled
    )
) kinds
"""


async def get_own_limits(database: Database, organization: str) -> dict[LimitName, int]:
    """Return the limits that an organization has instead of the settings'; 0: none at all."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT name, most FROM organization_limits WHERE organization = %s", (organization,)
        )
        return {LimitName(name): most for name, most in await cursor.fetchall() if name in set(LimitName)}


async def set_limits(database: Database, organization: str, changes: Mapping[LimitName, int | None]) -> None:
    """Give an organization limits of its own.

    Args:
        database: Where they are kept.
        organization: Whose.
        changes: None: that of the settings again; 0: none at all.

    Raises:
        NotFoundError: There is no such organization.
    """
    async with database.transaction() as connection:
        there = await connection.execute("SELECT 1 FROM organizations WHERE id = %s FOR KEY SHARE", (organization,))
        if await there.fetchone() is None:
            raise NotFoundError(f"there is no organization {organization}")
        for name, most in changes.items():
            if most is None:
                await connection.execute(
                    "DELETE FROM organization_limits WHERE organization = %s AND name = %s", (organization, name)
                )
                continue
            await connection.execute(
                """
                INSERT INTO organization_limits (organization, name, most) VALUES (%s, %s, %s)
                ON CONFLICT (organization, name) DO UPDATE SET most = excluded.most
                """,
                (organization, name, most),
            )


async def count_open_jobs(
    connection: Connection, organization: str, upkeep: Iterable[str], *, most: int | None = None
) -> int:
    """Return how many jobs are in flight but for kinds of `upkeep`; with `most` no more are counted than that."""
    cursor = await connection.execute(
        """
        SELECT count(*) FROM (
            SELECT 1 FROM jobs
            WHERE organization = %s AND state IN ('PENDING', 'RUNNING', 'PAUSED') AND kind <> ALL(%s) LIMIT %s
        ) open
        """,
        (organization, sorted(upkeep), most),
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def measure_stored_bytes(database: Database, organization: str) -> int:
    """Return the bytes that an organization keeps here: measured at most once a minute, by one of all façades.

    Files, attachments and staged items are counted, entities, vectors and records taken from a sample. Beside them
    counts what `add_bytes` has told since.
    """
    async with database.statement() as connection:
        claimed = await connection.execute(
            """
            INSERT INTO organization_use (organization, bytes, measured_at) VALUES (%(organization)s, 0, now())
            ON CONFLICT (organization) DO UPDATE SET measured_at = now()
            WHERE organization_use.measured_at < now() - make_interval(secs => %(seconds)s)
            RETURNING 1
            """,
            {"organization": organization, "seconds": MEASURED_SECONDS},
        )
        if await claimed.fetchone():
            measured = await connection.execute(MEASURE, {"organization": organization})
            row = await measured.fetchone()
            await connection.execute(
                "UPDATE organization_use SET bytes = %s WHERE organization = %s", (row[0] if row else 0, organization)
            )
        cursor = await connection.execute("SELECT bytes FROM organization_use WHERE organization = %s", (organization,))
        row = await cursor.fetchone()
        return int(row[0]) if row else 0


async def add_bytes(database: Database, organization: str, count: int) -> None:
    """Count what was taken in until the next measurement finds it."""
    async with database.statement() as connection:
        await connection.execute(
            "UPDATE organization_use SET bytes = bytes + %s WHERE organization = %s", (count, organization)
        )


async def hold_lease(
    database: Database, kind: str, organization: str, holder: UUID, *, held: int, most: int, seconds: float
) -> bool:
    """Hold so many of something for a while, unless all holders together would hold too many.

    Args:
        database: Where leases are kept.
        kind: Of what.
        organization: Whose limit it is.
        holder: The process.
        held: How many it holds, with the new one.
        most: How many all together may hold; 0: any number.
        seconds: For how long, if it is not renewed.
    """
    values = {
        "kind": kind, "organization": organization, "holder": holder, "held": held, "most": most, "seconds": seconds,
    }  # fmt: skip
    async with database.transaction() as connection:
        # One at a time, so that two processes cannot both take the last one.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 14))", (f"{kind}/{organization}",))
        cursor = await connection.execute(
            """
            INSERT INTO leases (kind, organization, holder, held, expires_at)
            SELECT %(kind)s, %(organization)s, %(holder)s, %(held)s, now() + make_interval(secs => %(seconds)s)
            WHERE %(most)s = 0 OR %(held)s + (
                SELECT coalesce(sum(held), 0) FROM leases
                WHERE kind = %(kind)s AND organization = %(organization)s AND holder <> %(holder)s
                AND expires_at > now()
            ) <= %(most)s
            ON CONFLICT (kind, organization, holder)
            DO UPDATE SET held = excluded.held, expires_at = excluded.expires_at
            RETURNING 1
            """,
            values,
        )
        return await cursor.fetchone() is not None


async def renew_leases(database: Database, kind: str, holder: UUID, held: Mapping[str, int], *, seconds: float) -> None:
    """Tell what a process still holds; where that is nothing, the lease goes."""
    async with database.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO leases (kind, organization, holder, held, expires_at)
            SELECT %s, organization, %s, held, now() + make_interval(secs => %s)
            FROM unnest(%s::text[], %s::int[]) AS told (organization, held) ORDER BY organization
            ON CONFLICT (kind, organization, holder)
            DO UPDATE SET held = excluded.held, expires_at = excluded.expires_at
            """,
            (kind, holder, seconds, list(held), list(held.values())),
        )
        await connection.execute("DELETE FROM leases WHERE kind = %s AND holder = %s AND held = 0", (kind, holder))


async def drop_leases(database: Database, kind: str, holder: UUID) -> None:
    """End all leases of a process."""
    async with database.statement() as connection:
        await connection.execute("DELETE FROM leases WHERE kind = %s AND holder = %s", (kind, holder))


async def count_leases(database: Database, kind: str, organization: str) -> int:
    """Return how many all processes hold for an organization."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            """
            SELECT coalesce(sum(held), 0)::bigint FROM leases
            WHERE kind = %s AND organization = %s AND expires_at > now()
            """,
            (kind, organization),
        )
        row = await cursor.fetchone()
        return int(row[0]) if row else 0
