"""Since when a call fails: kept outside of the worker, so that one that is killed does not begin to wait anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from towpath.db.engine import Connection
from towpath.jobs.types import JobRef


@dataclass(frozen=True, slots=True)
class Outage:
    """How long a call has failed.

    Attributes:
        since: When it failed first.
        tries: How often it has failed.
    """

    since: datetime
    tries: int


async def note_failure(connection: Connection, ref: JobRef, call: bytes, at: datetime) -> Outage:
    """Count a failure of a call; the first one's time stays."""
    cursor = await connection.execute(
        """
        INSERT INTO outages (job_id, attempt, call, since) VALUES (%s, %s, %s, %s)
        ON CONFLICT (job_id, attempt, call) DO UPDATE SET tries = outages.tries + 1
        RETURNING since, tries
        """,
        (ref.job_id, ref.attempt, call, at),
    )
    row = await cursor.fetchone()
    assert row is not None
    return Outage(since=row[0], tries=row[1])


async def forget_failure(connection: Connection, ref: JobRef, call: bytes) -> None:
    """Note that a call was answered: its next failure is a new outage."""
    await connection.execute(
        "DELETE FROM outages WHERE job_id = %s AND attempt = %s AND call = %s", (ref.job_id, ref.attempt, call)
    )
