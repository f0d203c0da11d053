"""Requests of jobs that wait in the queue of a provider: in the job's row while they do, in its stream for good."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from towpath.db.engine import Database
from towpath.jobs.store.events import append_run_event
from towpath.jobs.types import EventType, JobRef, Waiting


async def note_wait(database: Database, ref: JobRef, waiting: Waiting, key: str) -> None:
    """Show that requests of a job wait.

    Args:
        database: Where the job is.
        ref: The run.
        waiting: What is shown.
        key: Names the event: of several workers that tell the same, one writes it.

    Raises:
        JobNotActiveError: The run has ended.
    """
    data = waiting.model_dump(mode="json", by_alias=True)
    async with database.transaction() as connection:
        shown = await connection.execute(
            """
            UPDATE jobs SET waiting = %s
            WHERE id = %s AND attempt = %s AND NOT cancelling AND state IN ('PENDING', 'RUNNING', 'PAUSED')
            """,
            (Jsonb(data), ref.job_id, ref.attempt),
        )
        if shown.rowcount:
            await append_run_event(connection, ref, EventType.WAITING, data, key)
