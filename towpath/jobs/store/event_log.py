"""Reading the events of jobs; `events` and `jobs` append them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from towpath.db.engine import Connection, Database
from towpath.jobs.store.jobs import EVENT_CHANNEL
from towpath.jobs.types import JobEvent, JobState


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far the events of a job go.

    Attributes:
        job_id: The job.
        state: Its state.
        last_seq: The number of its newest event.
    """

    job_id: UUID
    state: JobState
    last_seq: int


async def read_events(database: Database, job_id: UUID, *, after: int, limit: int = 500) -> list[JobEvent]:
    """Read events of a job with a number above `after`, rising. The caller has checked whose job it is."""
    async with database.transaction() as connection:
        return await read_events_in(connection, job_id, after=after, limit=limit)


async def read_events_in(connection: Connection, job_id: UUID, *, after: int, limit: int) -> list[JobEvent]:
    """Do the same within a transaction."""
    async with connection.cursor(row_factory=class_row(JobEvent)) as cursor:
        await cursor.execute(
            "SELECT seq, at, type, data FROM job_events WHERE job_id = %s AND seq > %s ORDER BY seq LIMIT %s",
            (job_id, after, limit),
        )
        return await cursor.fetchall()


async def read_last_value(database: Database, job_id: UUID, name: str) -> str | None:
    """Read the newest value that a job's events have under a name."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT data ->> %(name)s FROM job_events WHERE job_id = %(job)s AND data ->> %(name)s IS NOT NULL"
            " ORDER BY seq DESC LIMIT 1",
            {"job": job_id, "name": name},
        )
        row = await cursor.fetchone()
    return row[0] if row else None


async def find_event(connection: Connection, job_id: UUID, key: str) -> dict[str, Any] | None:
    """Return what an event says; None: no event with that key was written."""
    cursor = await connection.execute("SELECT data FROM job_events WHERE job_id = %s AND key = %s", (job_id, key))
    row = await cursor.fetchone()
    return row[0] if row else None


async def find_written_keys(connection: Connection, job_id: UUID, keys: Sequence[str]) -> set[str]:
    """Find those of some keys under which a job has an event already."""
    cursor = await connection.execute(
        "SELECT key FROM job_events WHERE job_id = %s AND key = ANY(%s)", (job_id, list(keys))
    )
    return {row[0] async for row in cursor}


async def read_positions(connection: Connection, job_ids: Iterable[UUID]) -> list[LogPosition]:
    """Read how far the events of some jobs go, in one statement; a job that is gone is left out."""
    cursor = await connection.execute("SELECT id, state, last_seq FROM jobs WHERE id = ANY(%s)", (list(job_ids),))
    return [LogPosition(job_id, JobState(state), last_seq) async for job_id, state, last_seq in cursor]


async def listen_for_events(connection: Connection) -> None:
    """Have Postgres notify a connection of every event that is appended; the payload is the job's id."""
    await connection.execute(f"LISTEN {EVENT_CHANNEL}")
