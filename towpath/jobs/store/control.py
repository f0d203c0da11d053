"""Pause, cancel and restart in a job's row, which the caller has locked."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import psycopg

from towpath.core.errors import ConflictError
from towpath.db.engine import Connection
from towpath.jobs.registry import job_type
from towpath.jobs.store.jobs import append_event
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import (
    EventType,
    JobState,
)


async def set_next_attempt(connection: Connection, job: JobRow, *, deadline: datetime | None = None) -> None:
    """Set a job back for its next attempt; a deadline that has passed would end it at once, and holds no longer."""
    try:
        await connection.execute(
            """
            UPDATE jobs SET state = 'PENDING', attempt = attempt + 1, restart_requested = false, cancelling = false,
                   error_code = NULL, error_message = NULL, result = NULL, completed_at = NULL, phase = NULL,
                   retries = '{}', retrying = false, warnings = '[]',
                   deadline = coalesce(%s, CASE WHEN deadline > now() THEN deadline END)
            WHERE id = %s
            """,
            (deadline, job.id),
        )
    except psycopg.errors.UniqueViolation as error:
        raise ConflictError(job_type(job.kind).conflict) from error
    await append_event(connection, job.id, EventType.RESTARTED, {})


async def mark_paused(connection: Connection, job: JobRow, *, paused: bool) -> JobRow:
    """Show a job as PAUSED, or as running; the caller signals the workflow in the same transaction.

    Raises:
        ConflictError: The job has ended or is being cancelled.
    """
    if job.state.final or job.cancelling:
        raise ConflictError(f"the job is {'being cancelled' if job.cancelling else job.state}")
    if (job.state is JobState.PAUSED) == paused:
        return job
    target = JobState.PAUSED if paused else (JobState.RUNNING if job.started_at else JobState.PENDING)
    await connection.execute("UPDATE jobs SET state = %s WHERE id = %s", (target, job.id))
    event = EventType.PAUSED if paused else EventType.CONTINUED
    await append_event(connection, job.id, event, {})
    job.state = target
    return job


async def mark_cancelling(connection: Connection, job: JobRow) -> JobRow:
    """Ask an active job to stop; a finished one stays as it is."""
    if not job.state.final and not job.cancelling:
        await connection.execute("UPDATE jobs SET cancelling = true WHERE id = %s", (job.id,))
        await append_event(connection, job.id, EventType.CANCELLING, {})
        job.cancelling = True
    elif job.cancelling and job.restart_requested:
        # The last word holds: what was to run again after the cancel does not.
        await connection.execute("UPDATE jobs SET restart_requested = false WHERE id = %s", (job.id,))
        await append_event(connection, job.id, EventType.CANCELLING, {})
        job.restart_requested = False
    return job


async def mark_restart(
    connection: Connection, job: JobRow, *, deadline: datetime | None = None
) -> Literal["now", "after cancel"]:
    """Set a finished job back for its next attempt, or note that for when its cancel has ended.

    Args:
        connection: In a transaction that has locked the job.
        job: The job.
        deadline: Its new deadline; None: the one that it has, if that is still to come.

    Raises:
        ConflictError: The job runs and is not being cancelled.
    """
    if job.cancelling and not job.state.final:
        await connection.execute(
            "UPDATE jobs SET restart_requested = true, deadline = coalesce(%s, deadline) WHERE id = %s",
            (deadline, job.id),
        )
        return "after cancel"
    if not job.state.final:
        raise ConflictError(f"the job is {job.state}; cancel it first, or let it end")
    await set_next_attempt(connection, job, deadline=deadline)
    return "now"
