"""AI jobs: accepted with their thread, moved on by one transaction an iteration."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Json

from towpath.ai.store.tables import AiJobRow
from towpath.ai.types import ConversationBase, StoredAction
from towpath.core.errors import ConflictError
from towpath.db.engine import Connection
from towpath.jobs.store.jobs import add_progress, append_event, create_job, lock_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import DELIVER, DeliveryRef, EventType, JobRef, Progress
from towpath.webhooks.store.deliveries import queue_progress

ACTIVE_ALREADY = "the conversation has an active job; wait for it, or cancel it"


async def create_ai_job(connection: Connection, job: JobRow, thread: ConversationBase, *, most: int = 0) -> None:
    """Accept a job with its thread, new or not, in the caller's transaction; `most` as for `create_job`.

    Raises:
        LimitReachedError: The organization has as many jobs as it may.
        ConflictError: The thread has an active job; the transaction must roll back.
    """
    await connection.execute(
        """
        INSERT INTO conversations (id, organization, user_id, model_id, branch_id, name, last_prompt)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO UPDATE SET last_prompt = excluded.last_prompt, updated_at = now(),
               model_id = excluded.model_id, branch_id = excluded.branch_id
        """,
        (
            thread.id, thread.organization, thread.user_id, thread.model_id, thread.branch_id, thread.name,
            thread.last_prompt,
        ),
    )  # fmt: skip
    try:
        await create_call(connection, job, most=most)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name != "jobs_one_active":
            raise
        raise ConflictError(ACTIVE_ALREADY) from error


async def prepare_restart(connection: Connection, job: JobRow) -> None:
    """Forget the answer, and keep what was found: a restart goes on from there."""
    await connection.execute("DELETE FROM ai_actions WHERE job_id = %s AND body ->> 'type' = 'summarize'", (job.id,))
    await connection.execute(
        "UPDATE ai_jobs SET summary = NULL, message = NULL, progress_at = NULL, cancelled_by = NULL WHERE job_id = %s",
        (job.id,),
    )


async def create_call(connection: Connection, job: JobRow, *, most: int = 0) -> None:
    """Accept a single question that belongs to no thread; `most` as for `create_job`."""
    await create_job(connection, job, most=most)
    await connection.execute("INSERT INTO ai_jobs (job_id) VALUES (%s)", (job.id,))


async def read_details(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, AiJobRow]:
    """Load what some jobs have beside their rows; jobs of other kinds have none."""
    async with connection.cursor(row_factory=class_row(AiJobRow)) as cursor:
        await cursor.execute("SELECT * FROM ai_jobs WHERE job_id = ANY(%s)", (list(job_ids),))
        return {row.job_id: row for row in await cursor.fetchall()}


async def read_actions(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, list[StoredAction]]:
    """Load the finished iterations of some jobs, in order."""
    actions: dict[UUID, list[StoredAction]] = {job_id: [] for job_id in job_ids}
    rows = await connection.execute(
        "SELECT job_id, body FROM ai_actions WHERE job_id = ANY(%s) ORDER BY job_id, number", (list(job_ids),)
    )
    for job_id, body in await rows.fetchall():
        actions[job_id].append(StoredAction.model_validate(body))
    return actions


async def save_action(
    connection: Connection,
    ref: JobRef,
    action: StoredAction,
    *,
    topic: str | None,
    summary: str | None,
    announce: bool = False,
) -> list[DeliveryRef]:
    """Store a finished iteration with its cost and its event.

    Args:
        connection: The transaction, in which nothing else is done.
        ref: The run.
        action: The iteration; its number is the next one.
        topic: The topic that the job has from now on.
        summary: The answer; the job is then being delivered, and too late for a cancel.
        announce: Whether its webhook hears of the progress.

    Returns:
        The delivery that was queued, if any.

    Raises:
        JobNotActiveError: The job has ended: what the iteration brought is dropped.
    """
    await add_progress(connection, ref, Progress(processed=1))
    await connection.execute(
        "INSERT INTO ai_actions (job_id, number, body) VALUES (%s, %s, %s)",
        (ref.job_id, action.number, Json(action.model_dump(mode="json"))),
    )
    await connection.execute(
        """
        UPDATE ai_jobs SET topic = coalesce(%s, topic), iteration = %s, message = %s, progress_at = %s, summary = %s
        WHERE job_id = %s
        """,
        (topic, action.number, action.message, action.at, summary, ref.job_id),
    )
    if summary is not None:
        await connection.execute("UPDATE jobs SET phase = %s WHERE id = %s", (DELIVER, ref.job_id))
        await connection.execute(
            """
            UPDATE conversations SET updated_at = now()
            WHERE id = (SELECT conversation_id FROM jobs WHERE id = %s)
            """,
            (ref.job_id,),
        )
    progress = {"iteration": action.number, "type": action.type, "message": action.message}
    key = f"{ref.attempt}:iteration:{action.number}"
    await append_event(connection, ref.job_id, EventType.PROGRESS, progress, key=key)
    if not announce:
        return []
    job = await lock_job(connection, ref.organization, ref.job_id)
    return await queue_progress(connection, job, action.number, progress)


async def note_canceller(connection: Connection, job_id: UUID, user_id: UUID | None) -> None:
    """Record who cancelled a job; None: nobody in person."""
    await connection.execute("UPDATE ai_jobs SET cancelled_by = %s WHERE job_id = %s", (user_id, job_id))
