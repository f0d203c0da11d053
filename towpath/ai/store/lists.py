"""Lists of AI jobs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row

from towpath.ai.store.jobs import AiRow, read_ai
from towpath.ai.types import DELIVER, AiState
from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.db.tables import JobRow
from towpath.jobs.store.jobs import Cursor
from towpath.jobs.types import JobKind

CONDITIONS: dict[AiState, str] = {
    AiState.QUEUED: "state = 'PENDING'",
    AiState.EXECUTING: f"state IN ('RUNNING', 'PAUSED') AND phase IS DISTINCT FROM '{DELIVER}'",
    AiState.DELIVERING: f"state IN ('RUNNING', 'PAUSED') AND phase = '{DELIVER}'",
    AiState.COMPLETE: "state = 'COMPLETED'",
    AiState.FAILED: "state = 'FAILED'",
    AiState.CANCELLED: "state = 'CANCELLED'",
}


def _job_row(**columns: Any) -> JobRow:
    return JobRow.model_validate(columns)


async def get_ai_job(
    database: Database, organization: str, job_id: UUID, user_id: UUID | None
) -> tuple[JobRow, AiRow, int | None]:
    """One job, with its place in the queue while it waits, from 1.

    Args:
        user_id: Whose it must be; None: anybody's of the organization.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    async with database.transaction() as connection:
        async with connection.cursor(row_factory=kwargs_row(_job_row)) as cursor:
            await cursor.execute(
                "SELECT * FROM jobs WHERE id = %s AND organization = %s AND kind = %s"
                " AND (%s::uuid IS NULL OR user_id = %s)",
                (job_id, organization, JobKind.AI_JOB, user_id, user_id),
            )
            job = await cursor.fetchone()
        if job is None:
            raise NotFoundError(f"no job {job_id}")
        return job, (await read_ai(connection, [job_id]))[job_id], await _place(connection, job)


async def _place(connection: Connection, job: JobRow) -> int | None:
    if job.state.final or job.started_at is not None:
        return None
    found = await connection.execute(
        "SELECT count(*) FROM jobs WHERE organization = %s AND kind = %s AND state = 'PENDING' AND created_at <= %s",
        (job.organization, job.kind, job.created_at),
    )
    return int((await found.fetchone() or (0,))[0])


async def list_ai_jobs(
    database: Database,
    organization: str,
    user_id: UUID | None,
    *,
    state: AiState | None,
    conversation_id: UUID | None,
    model_id: UUID | None,
    before: Cursor | None,
    limit: int,
) -> tuple[list[tuple[JobRow, AiRow]], int]:
    """Jobs, newest first, and how many there are in all."""
    conditions = ["organization = %(organization)s", "kind = %(kind)s"]
    values: dict[str, Any] = {"organization": organization, "kind": JobKind.AI_JOB, "limit": limit}
    if state is not None:
        conditions.append(CONDITIONS[state])
    for name, column, value in (
        ("user", "user_id", user_id),
        ("conversation", "conversation_id", conversation_id),
        ("model", "(params ->> 'model_id')::uuid", model_id),
    ):
        if value is not None:
            conditions.append(f"{column} = %({name})s")
            values[name] = value
    async with database.transaction() as connection:
        counted = await connection.execute(f"SELECT count(*) FROM jobs WHERE {' AND '.join(conditions)}", values)
        total = int((await counted.fetchone() or (0,))[0])
        if before is not None:
            conditions.append("(created_at, id) < (%(at)s, %(id)s)")
            values |= {"at": before[0], "id": before[1]}
        async with connection.cursor(row_factory=kwargs_row(_job_row)) as cursor:
            await cursor.execute(
                f"SELECT * FROM jobs WHERE {' AND '.join(conditions)}"
                " ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
                values,
            )
            jobs = await cursor.fetchall()
        more = await read_ai(connection, [job.id for job in jobs])
        return [(job, more[job.id]) for job in jobs], total
