"""What the housekeeping asks of all jobs: which may have lost their way, and which are past their time."""

from __future__ import annotations

from uuid import UUID

from towpath.accounts.store.sessions import sweep_sign_ins
from towpath.db.engine import Database
from towpath.jobs.store.idempotency import delete_expired_responses


async def list_open_jobs(
    database: Database, *, quiet_seconds: float, after: UUID | None, limit: int
) -> list[tuple[UUID, str]]:
    """List jobs of every organization that should have a live workflow and have been quiet for a while.

    Only what names them, for a row of which something cannot be read must not hide the others.

    Args:
        database: Where the jobs are.
        quiet_seconds: For how long nothing has happened.
        after: The job before the first; None: from the beginning.
        limit: How many at the most.

    Returns:
        Ids, rising, with the organization of each.
    """
    async with database.statement() as connection:
        cursor = await connection.execute(
            """
            SELECT id, organization FROM jobs WHERE state IN ('PENDING', 'RUNNING', 'PAUSED')
            AND updated_at < now() - make_interval(secs => %(quiet)s)
            AND (%(after)s::uuid IS NULL OR id > %(after)s) ORDER BY id LIMIT %(limit)s
            """,
            {"quiet": quiet_seconds, "after": after, "limit": limit},
        )
        return await cursor.fetchall()


async def sweep_jobs(database: Database, *, retention_days: int, limit: int) -> int:
    """Delete jobs past their retention, with events, pages and failures; old Idempotency-Keys, and ended sign-ins.

    Returns:
        How many jobs were deleted; fewer than `limit` means that none is left.
    """
    async with database.transaction() as connection:
        await delete_expired_responses(connection)
        await sweep_sign_ins(connection)
        gone = await connection.execute(
            """
            DELETE FROM jobs WHERE id IN (
                SELECT id FROM jobs WHERE completed_at < now() - make_interval(days => %s) LIMIT %s
            )
            """,
            (retention_days, limit),
        )
        return gone.rowcount
