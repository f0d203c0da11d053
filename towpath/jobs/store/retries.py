"""Steps of a job that have failed and are tried again: in its row while they do, in its stream for good."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from towpath.db.engine import Connection, Database
from towpath.jobs.store.jobs import append_event
from towpath.jobs.types import EventType, JobRef, Retrying

FIRST_EVENTS = 20
"""So many failed attempts of a step have an event each; of those that follow, one in so many has."""


async def note_retry(database: Database, ref: JobRef, key: str, retry: Retrying) -> bool:
    """Show that a step has failed and is tried again.

    Args:
        database: Where the job is.
        ref: The run that the step belongs to.
        key: Tells the step from others of the run.
        retry: What is shown.

    Returns:
        Whether it is shown; not: the run has ended, or is being cancelled.
    """
    async with database.transaction() as connection:
        return await _note(connection, ref, key, retry)


async def note_lost(database: Database, ref: JobRef, key: str, retry: Retrying) -> bool:
    """Show the same for an attempt that could not report its end, because its worker died or its time was over."""
    async with database.transaction() as connection:
        known = await connection.execute(
            "SELECT (retries -> %s ->> 'attempt')::int FROM jobs WHERE id = %s FOR UPDATE", (key, ref.job_id)
        )
        row = await known.fetchone()
        if row is None or (row[0] or 0) >= retry.attempt:
            return False
        return await _note(connection, ref, key, retry)


async def _note(connection: Connection, ref: JobRef, key: str, retry: Retrying) -> bool:
    data = retry.model_dump(mode="json", by_alias=True)
    updated = await connection.execute(
        """
        UPDATE jobs SET retries = retries || %s, retrying = true
        WHERE id = %s AND attempt = %s AND NOT cancelling AND state IN ('PENDING', 'RUNNING', 'PAUSED')
        """,
        (Jsonb({key: data}), ref.job_id, ref.attempt),
    )
    if not updated.rowcount:
        return False
    if retry.attempt <= FIRST_EVENTS or retry.attempt % FIRST_EVENTS == 0:
        event_key = f"{ref.attempt}:retry:{key}:{retry.attempt}"
        await append_event(connection, ref.job_id, EventType.RETRYING, data, key=event_key)
    return True


async def clear_retry(database: Database, ref: JobRef, key: str) -> None:
    """Take a step back that has got over it."""
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE jobs SET retries = retries - %(key)s, retrying = (retries - %(key)s) <> '{}'::jsonb"
            " WHERE id = %(id)s AND attempt = %(attempt)s AND retries ? %(key)s",
            {"key": key, "id": ref.job_id, "attempt": ref.attempt},
        )
