"""Jobs and their events: every write that moves a job, in the transaction of the effect it belongs to."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from psycopg.types.json import Json, Jsonb
from sqlmodel import col, select

from towpath.accounts.limits import JOBS_RETRY_SECONDS, LimitName
from towpath.accounts.store.usage import count_open_jobs
from towpath.core.errors import JobNotActiveError, LimitReachedError, NotFoundError
from towpath.db.engine import Connection, Database
from towpath.jobs.registry import upkeep_kinds
from towpath.jobs.rows import is_current_run
from towpath.jobs.store.tables import JobRow
from towpath.jobs.store.visibility import visible_to
from towpath.jobs.types import (
    Cost,
    EventType,
    JobRef,
    JobState,
    PhaseChange,
    Progress,
    Started,
)

EVENT_CHANNEL = "towpath_job_events"
ACTIVE = [JobState.PENDING, JobState.RUNNING, JobState.PAUSED]
DEFAULT_WINDOW = 6
Cursor = tuple[datetime, UUID]


def _job_row(**columns: Any) -> JobRow:
    return JobRow.model_validate(columns)


async def append_event(
    connection: Connection, job_id: UUID, event: EventType, data: dict[str, Any], *, key: str | None = None
) -> bool:
    """Append one event under the job's row lock.

    Args:
        connection: In the transaction of the event's effect.
        job_id: The job.
        event: What happened.
        data: What a reader needs to know.
        key: A second event with the same key is not written.

    Returns:
        Whether it was written.
    """
    if key is not None:
        # The lock comes first, so that two deliveries of one activity cannot both find nothing.
        await connection.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
        known = await connection.execute("SELECT 1 FROM job_events WHERE job_id = %s AND key = %s", (job_id, key))
        if await known.fetchone():
            return False
    await connection.execute(
        """
        WITH next AS (
            UPDATE jobs SET last_seq = last_seq + 1, updated_at = now() WHERE id = %(id)s RETURNING last_seq
        )
        INSERT INTO job_events (job_id, seq, key, type, data)
        SELECT %(id)s, last_seq, %(key)s, %(type)s, %(data)s FROM next
        """,
        {"id": job_id, "key": key, "type": event.value, "data": Json(data)},
    )
    await connection.execute("SELECT pg_notify(%s, %s)", (EVENT_CHANNEL, str(job_id)))
    return True


async def create_job(connection: Connection, job: JobRow, *, most: int = 0) -> None:
    """Insert a PENDING job and its first event; the caller's transaction makes both true at once.

    Args:
        connection: The transaction.
        job: The job.
        most: How many of its organization may be in flight; 0: any number. Those of transactions that run at the
            same moment are not seen, so that as many as start at once may be too many.

    Raises:
        LimitReachedError: There are as many.
    """
    if most and await count_open_jobs(connection, job.organization, upkeep_kinds(), most=most) >= most:
        raise LimitReachedError(LimitName.JOBS, most, retry_after=JOBS_RETRY_SECONDS)
    await connection.execute(
        """
        INSERT INTO jobs (id, organization, kind, external_id, state, params, digest, total, processed, failed,
                          deadline, created_by, window_size, conversation_id, user_id, max_cost_usd)
        VALUES (%s, %s, %s, %s, 'PENDING', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            job.id, job.organization, job.kind, job.external_id, Jsonb(job.params), job.digest, job.total,
            job.processed, job.failed, job.deadline, job.created_by, job.window_size, job.conversation_id, job.user_id,
            job.max_cost_usd,
        ),
    )  # fmt: skip
    await append_event(connection, job.id, EventType.CREATED, {"kind": job.kind, "total": job.total})


async def get_job(database: Database, organization: str, job_id: UUID) -> JobRow:
    """Read one job.

    Raises:
        NotFoundError: No such job, or another organization's.
    """
    async with database.session() as session:
        result = await session.exec(select(JobRow).where(JobRow.id == job_id, JobRow.organization == organization))
        row = result.one_or_none()
    if row is None:
        raise NotFoundError(f"no job {job_id}")
    return row


async def list_jobs(
    database: Database,
    organization: str,
    *,
    kind: str | None = None,
    state: JobState | None = None,
    external_id: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    user_id: UUID | None = None,
    before: Cursor | None = None,
    has_upkeep: bool = False,
    limit: int = 50,
) -> list[JobRow]:
    """List jobs of an organization, newest first, from just after the cursor `before`; with `user_id` those it sees.

    The jobs that the system starts for itself are listed with `has_upkeep`, or if their kind is asked for.
    """
    query = select(JobRow).where(JobRow.organization == organization)
    if kind is not None:
        query = query.where(JobRow.kind == kind)
    elif not has_upkeep:
        query = query.where(col(JobRow.kind).not_in(sorted(upkeep_kinds())))
    if state is not None:
        query = query.where(JobRow.state == state)
    if external_id is not None:
        query = query.where(JobRow.external_id == external_id)
    if created_after is not None:
        query = query.where(JobRow.created_at >= created_after)
    if created_before is not None:
        query = query.where(JobRow.created_at < created_before)
    if user_id is not None:
        query = query.where(visible_to(user_id))
    if before is not None:
        moment, job_id = before
        query = query.where(
            (col(JobRow.created_at) < moment) | ((col(JobRow.created_at) == moment) & (col(JobRow.id) < job_id))
        )
    async with database.session() as session:
        result = await session.exec(query.order_by(col(JobRow.created_at).desc(), col(JobRow.id).desc()).limit(limit))
        return list(result.all())


async def lock_job(connection: Connection, organization: str, job_id: UUID) -> JobRow:
    """Read one job and hold its row until the transaction ends.

    Raises:
        NotFoundError: No such job, or another organization's.
    """
    async with connection.cursor(row_factory=kwargs_row(_job_row)) as cursor:
        await cursor.execute(
            "SELECT * FROM jobs WHERE id = %s AND organization = %s FOR UPDATE", (job_id, organization)
        )
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no job {job_id}")
    return row


async def begin_job(database: Database, ref: JobRef) -> Started:
    """Move a job to RUNNING, unless it was paused or cancelled before it began."""
    async with database.transaction() as connection:
        job = await lock_job(connection, ref.organization, ref.job_id)
        window = job.window_size or DEFAULT_WINDOW
        if not is_current_run(job, ref):
            return Started(cancelled=True, window=window)
        if job.state is JobState.PAUSED:
            return Started(paused=True, window=window)
        await connection.execute(
            "UPDATE jobs SET state = 'RUNNING', started_at = coalesce(started_at, now()) WHERE id = %s", (ref.job_id,)
        )
        await append_event(
            connection, ref.job_id, EventType.STARTED, {"attempt": ref.attempt}, key=f"{ref.attempt}:started"
        )
        return Started(window=window)


async def enter_phase(database: Database, change: PhaseChange) -> None:
    """Show what the job does now."""
    ref = change.ref
    async with database.transaction() as connection:
        key = f"{ref.attempt}:phase:{change.phase}"
        if await append_event(connection, ref.job_id, EventType.PHASE, {"phase": change.phase}, key=key):
            await connection.execute("UPDATE jobs SET phase = %s WHERE id = %s", (change.phase, ref.job_id))


async def record_chunk(
    connection: Connection,
    ref: JobRef,
    key: str,
    change: Progress,
    *,
    fraction: float,
    phase: str,
    cost: Cost | None = None,
) -> None:
    """Add a chunk's counts to its job and append its event, as the last statements of the chunk's transaction.

    Args:
        connection: In the transaction of the chunk's effect.
        ref: The run that the chunk belongs to.
        key: Names the chunk, so that it is counted once.
        change: What to add to each count.
        fraction: What to add to the job's fraction done, 0 to 1.
        phase: The phase, for the event.
        cost: What the chunk has spent on models.

    Raises:
        JobNotActiveError: The job has ended, or a newer attempt runs: the transaction must roll back.
    """
    share = await add_progress(connection, ref, change, fraction=fraction, cost=cost)
    data = {"phase": phase, **share}
    await append_event(connection, ref.job_id, EventType.PROGRESS, data, key=f"{ref.attempt}:{key}")


async def add_progress(
    connection: Connection, ref: JobRef, change: Progress, *, fraction: float = 0.0, cost: Cost | None = None
) -> dict[str, Any]:
    """Add counts and cost to a job, without an event.

    Returns:
        The job's counts and its fraction done (`progress`), after the change.

    Raises:
        JobNotActiveError: The job has ended, or a newer attempt runs: the transaction must roll back.
    """
    updated = await connection.execute(
        """
        UPDATE jobs SET total = total + %(total)s, processed = processed + %(processed)s,
               succeeded = succeeded + %(succeeded)s, failed = failed + %(failed)s, skipped = skipped + %(skipped)s,
               fraction = least(fraction + %(fraction)s, 0.999), cost_usd = cost_usd + %(usd)s,
               input_tokens = input_tokens + %(input_tokens)s, output_tokens = output_tokens + %(output_tokens)s
        WHERE id = %(id)s AND attempt = %(attempt)s AND state IN ('PENDING', 'RUNNING', 'PAUSED')
        RETURNING total, processed, succeeded, failed, skipped, fraction
        """,
        {
            **change.model_dump(),
            **(cost or Cost()).model_dump(),
            "fraction": fraction,
            "id": ref.job_id,
            "attempt": ref.attempt,
        },
    )
    row = await updated.fetchone()
    if row is None:
        raise JobNotActiveError(f"job {ref.job_id} attempt {ref.attempt} has ended")
    names = ("total", "processed", "succeeded", "failed", "skipped")
    return {**dict(zip(names, row[:5], strict=True)), "progress": round(row[5], 4)}


async def assert_active(connection: Connection, ref: JobRef) -> None:
    """Refuse an effect of a run that has ended.

    Raises:
        JobNotActiveError: The job has ended, is being cancelled, or a newer attempt runs.
    """
    cursor = await connection.execute(
        "SELECT 1 FROM jobs WHERE id = %s AND attempt = %s AND NOT cancelling AND state = ANY(%s)",
        (ref.job_id, ref.attempt, ACTIVE),
    )
    if await cursor.fetchone() is None:
        raise JobNotActiveError(f"job {ref.job_id} attempt {ref.attempt} has ended")


async def is_open(connection: Connection, job_id: UUID) -> bool:
    """Return whether a job has not ended."""
    cursor = await connection.execute("SELECT 1 FROM jobs WHERE id = %s AND state = ANY(%s)", (job_id, ACTIVE))
    return await cursor.fetchone() is not None


async def reset_counts(connection: Connection, ref: JobRef, *, total: int, params: dict[str, Any]) -> None:
    """Let a job count from nothing.

    Args:
        connection: The transaction.
        ref: The run.
        total: How many items there are.
        params: What to add to what the job knows of itself.
    """
    await connection.execute(
        """
        UPDATE jobs SET total = %s, processed = 0, succeeded = 0, failed = 0, skipped = 0, fraction = 0,
               params = params || %s
        WHERE id = %s
        """,
        (total, Jsonb(params), ref.job_id),
    )


async def load_params(connection: Connection, ref: JobRef) -> dict[str, Any]:
    """Load the stored parameters of a job."""
    cursor = await connection.execute("SELECT params FROM jobs WHERE id = %s", (ref.job_id,))
    row = await cursor.fetchone()
    if row is None:
        raise JobNotActiveError(f"job {ref.job_id} is gone")
    params: dict[str, Any] = row[0]
    return params


async def merge_params(connection: Connection, ref: JobRef, members: dict[str, Any]) -> None:
    """Add to what a job knows of itself."""
    await connection.execute("UPDATE jobs SET params = params || %s WHERE id = %s", (Jsonb(members), ref.job_id))


async def load_cost(connection: Connection, ref: JobRef) -> float:
    """Load what a job has spent so far, in US dollars."""
    cursor = await connection.execute("SELECT cost_usd FROM jobs WHERE id = %s", (ref.job_id,))
    return float((await cursor.fetchone() or (0.0,))[0])


async def load_total(connection: Connection, ref: JobRef) -> int:
    """Load how many items a job has."""
    cursor = await connection.execute("SELECT total FROM jobs WHERE id = %s", (ref.job_id,))
    return int((await cursor.fetchone() or (0,))[0])


async def is_schema_in_use(database: Database, organization: str, schema_id: UUID) -> bool:
    """Return whether a job that has not ended works with a saved schema."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            """
            SELECT 1 FROM jobs WHERE organization = %(org)s AND state IN ('PENDING', 'RUNNING', 'PAUSED')
            AND (params ->> 'schema' = %(schema)s OR params ->> 'schema_id' = %(schema)s) LIMIT 1
            """,
            {"org": organization, "schema": str(schema_id)},
        )
        return await cursor.fetchone() is not None


async def find_last_restart(database: Database, job_id: UUID) -> int:
    """Find the number of a job's last restart among its events; 0: there was none."""
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT coalesce(max(seq), 0) FROM job_events WHERE job_id = %s AND type = %s",
            (job_id, EventType.RESTARTED.value),
        )
        return int((await cursor.fetchone() or (0,))[0])
