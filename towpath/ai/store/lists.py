"""Questions, one or a list of them, for who may see them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row

from towpath.ai.store.jobs import read_details
from towpath.ai.store.tables import AiJobRow
from towpath.ai.types import AI_JOB, AiState
from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.jobs.store.jobs import Cursor
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import DELIVER

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
) -> tuple[JobRow, AiJobRow, int | None]:
    """Load one job, with its place in the queue while it waits, from 1.

    Args:
        database: Where it is.
        organization: Whose.
        job_id: The job.
        user_id: The person who must have asked; None: anybody of the organization.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    async with database.transaction() as connection:
        async with connection.cursor(row_factory=kwargs_row(_job_row)) as cursor:
            await cursor.execute(
                "SELECT * FROM jobs WHERE id = %s AND organization = %s AND kind = %s"
                " AND (%s::uuid IS NULL OR user_id = %s)",
                (job_id, organization, AI_JOB, user_id, user_id),
            )
            job = await cursor.fetchone()
        if job is None:
            raise NotFoundError(f"no job {job_id}")
        return job, (await read_details(connection, [job_id]))[job_id], await _queue_position(connection, job)


async def _queue_position(connection: Connection, job: JobRow) -> int | None:
    if job.state.final or job.started_at is not None:
        return None
    counted = await connection.execute(
        "SELECT count(*) FROM jobs WHERE organization = %s AND kind = %s AND state = 'PENDING' AND created_at <= %s",
        (job.organization, job.kind, job.created_at),
    )
    return int((await counted.fetchone() or (0,))[0])


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
) -> tuple[list[tuple[JobRow, AiJobRow]], int]:
    """List jobs, newest first.

    Args:
        database: Where they are.
        organization: Whose.
        user_id: The person who must have asked; None: anybody of the organization.
        state: Only those that stand here.
        conversation_id: Only those of this conversation.
        model_id: Only those asked of this model.
        before: Where the page before ended.
        limit: How many, at most.

    Returns:
        The page, and how many there are in all.
    """
    conditions = ["organization = %(organization)s", "kind = %(kind)s"]
    values: dict[str, Any] = {"organization": organization, "kind": AI_JOB, "limit": limit}
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
        details = await read_details(connection, [job.id for job in jobs])
        return [(job, details[job.id]) for job in jobs], total
