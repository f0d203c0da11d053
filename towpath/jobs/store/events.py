"""Events of a job's own system: appended several at once, each with a look at the job as it then is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Json

from towpath.core.errors import JobNotActiveError
from towpath.db.engine import Connection, Database
from towpath.jobs.registry import job_type
from towpath.jobs.store.event_log import find_written_keys
from towpath.jobs.store.jobs import EVENT_CHANNEL, append_event
from towpath.jobs.types import EventType, Hold, JobRef, JobState, NewEvent


async def append_events(connection: Connection, ref: JobRef, events: Sequence[NewEvent]) -> int:
    """Append events under the job's row lock, in the transaction of their effect.

    To each event's data the job's state and counts are added as they are now, so that a stream that is read
    later tells what one that was read at once has told.

    Returns:
        How many were new: one with a known key is not appended again.

    Raises:
        JobNotActiveError: The job has ended, or a newer attempt runs: the transaction must roll back.
    """
    if not events:
        return 0
    cursor = await connection.execute(
        """
        SELECT last_seq, state, total, succeeded, failed, skipped FROM jobs
        WHERE id = %s AND attempt = %s AND NOT cancelling AND state IN ('PENDING', 'RUNNING', 'PAUSED') FOR UPDATE
        """,
        (ref.job_id, ref.attempt),
    )
    job = await cursor.fetchone()
    if job is None:
        raise JobNotActiveError(f"job {ref.job_id} attempt {ref.attempt} has ended")
    last, state, total, succeeded, failed, skipped = job
    keys = [f"{ref.attempt}:{event.key}" for event in events]
    written = await find_written_keys(connection, ref.job_id, keys)
    seen = {
        "status": str(state).lower(),
        "is_paused": state == JobState.PAUSED,
        "total_entities": total,
        "completed_entities": succeeded,
        "failed_entities": failed,
        "skipped_entities": skipped,
    }
    fresh = [(key, event) for key, event in zip(keys, events, strict=True) if key not in written]
    if not fresh:
        return 0
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO job_events (job_id, seq, key, type, data) VALUES (%s, %s, %s, %s, %s)",
            [
                (ref.job_id, last + number, key, event.type, Json({**seen, **event.data}))
                for number, (key, event) in enumerate(fresh, start=1)
            ],
        )
    await connection.execute(
        "UPDATE jobs SET last_seq = last_seq + %s, updated_at = now() WHERE id = %s", (len(fresh), ref.job_id)
    )
    await connection.execute("SELECT pg_notify(%s, %s)", (EVENT_CHANNEL, str(ref.job_id)))
    return len(fresh)


async def append_run_event(
    connection: Connection, ref: JobRef, event: EventType, data: dict[str, Any], key: str
) -> None:
    """Append an event that jobs of every kind can have, with the job's counts where its kind wants them."""
    if job_type(ref.kind).has_counts_in_events:
        await append_events(connection, ref, [NewEvent(type=event, key=key, data=data)])
    else:
        await append_event(connection, ref.job_id, event, data, key=f"{ref.attempt}:{key}")


async def hold_job(database: Database, hold: Hold) -> bool:
    """Show a job as waiting for a person. One that was continued, or whose review was decided, stays as it is.

    Returns:
        Whether it waits now.
    """
    ref = hold.ref
    async with database.transaction() as connection:
        if not await find_written_keys(connection, ref.job_id, [f"{ref.attempt}:{hold.event.key}"]):
            held = await connection.execute(
                "UPDATE jobs SET state = 'PAUSED' WHERE id = %s AND attempt = %s AND NOT cancelling"
                " AND coalesce(review_status, 'PENDING') = 'PENDING'",
                (ref.job_id, ref.attempt),
            )
            if not held.rowcount:
                return False
            await append_events(connection, ref, [hold.event])
            return True
        cursor = await connection.execute("SELECT state FROM jobs WHERE id = %s", (ref.job_id,))
        row = await cursor.fetchone()
    return row is not None and row[0] == JobState.PAUSED
