"""Conversations: lists of them, and one with all its turns."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg.rows import class_row, kwargs_row

from towpath.accounts.types import organization_uuid
from towpath.ai.store.jobs import read_actions, read_details
from towpath.ai.store.tables import AiJobRow
from towpath.ai.types import AI_JOB, AiParams, Conversation, StoredAction, Thread, Turn, to_ai_state
from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.jobs.params import params_of
from towpath.jobs.store.jobs import Cursor, get_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState

COLUMNS = "id, organization, user_id, model_id, branch_id, name, last_prompt, created_at, updated_at"
MAX_TURNS = 200
CANCELLED = "The question was cancelled."


async def get_conversation(
    database: Database, organization: str, conversation_id: UUID, user_id: UUID | None
) -> Conversation:
    """Load a conversation without its turns.

    Args:
        database: Where it is.
        organization: Whose.
        conversation_id: The conversation.
        user_id: The person it must belong to; None: anybody of the organization.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    async with database.transaction() as connection:
        return await _read_conversation(connection, organization, conversation_id, user_id)


async def _read_conversation(
    connection: Connection, organization: str, conversation_id: UUID, user_id: UUID | None
) -> Conversation:
    async with connection.cursor(row_factory=class_row(Conversation)) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM conversations WHERE id = %s AND organization = %s"
            " AND (%s::uuid IS NULL OR user_id = %s)",
            (conversation_id, organization, user_id, user_id),
        )
        conversation = await cursor.fetchone()
    if conversation is None:
        raise NotFoundError(f"no conversation {conversation_id}")
    return conversation


async def list_conversations(
    database: Database, organization: str, user_id: UUID | None, *, before: Cursor | None, limit: int
) -> tuple[list[Conversation], int]:
    """List conversations with the latest activity first.

    Args:
        database: Where they are.
        organization: Whose.
        user_id: The person they belong to; the organization's own id: those that belong to nobody; None: all.
        before: Where the page before ended.
        limit: How many, at most.

    Returns:
        The page, and how many there are in all.
    """
    where = "organization = %(organization)s AND (%(user)s::uuid IS NULL OR coalesce(user_id, %(self)s) = %(user)s)"
    values: dict[str, object] = {
        "organization": organization,
        "user": user_id,
        "self": organization_uuid(organization),
        "limit": limit,
    }
    async with database.transaction() as connection:
        total = await connection.execute(f"SELECT count(*) FROM conversations WHERE {where}", values)
        count = int((await total.fetchone() or (0,))[0])
        if before is not None:
            where += " AND (updated_at, id) < (%(at)s, %(id)s)"
            values |= {"at": before[0], "id": before[1]}
        async with connection.cursor(row_factory=class_row(Conversation)) as cursor:
            await cursor.execute(
                f"SELECT {COLUMNS} FROM conversations WHERE {where} ORDER BY updated_at DESC, id DESC LIMIT %(limit)s",
                values,
            )
            return await cursor.fetchall(), count


async def read_thread(database: Database, organization: str, conversation_id: UUID, user_id: UUID | None) -> Thread:
    """Load a conversation with its turns, the newest 200 of them, oldest first.

    Args:
        database: Where it is.
        organization: Whose.
        conversation_id: The conversation.
        user_id: The person it must belong to; None: anybody of the organization.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    async with database.transaction() as connection:
        conversation = await _read_conversation(connection, organization, conversation_id, user_id)
        names = await connection.execute(
            "SELECT name FROM semantic_models WHERE id = %s AND organization = %s",
            (conversation.model_id, organization),
        )
        model = await names.fetchone()
        turns = await read_turns(connection, conversation_id)
        counted = await connection.execute("SELECT count(*) FROM jobs WHERE conversation_id = %s", (conversation_id,))
        return Thread(
            conversation=conversation,
            model_name=(model[0] if model else None) or "model",
            turns=turns,
            earlier=max(int((await counted.fetchone() or (0,))[0]) - len(turns), 0),
        )


async def read_turn(
    database: Database, organization: str, job_id: UUID, user_id: UUID | None, *, conversation_id: UUID | None = None
) -> Turn:
    """Load one question with all that came of it.

    Args:
        database: Where it is.
        organization: Whose.
        job_id: Its job.
        user_id: The person who must have asked it; None: anybody of the organization.
        conversation_id: The conversation that it must belong to; None: any.

    Raises:
        NotFoundError: It is not there, not to be seen, or of another conversation.
    """
    async with database.transaction() as connection:
        jobs = await _read_jobs(
            connection, "id = %(id)s AND organization = %(organization)s", {"id": job_id, "organization": organization}
        )
        if jobs and conversation_id is not None:
            _assert_of_conversation(jobs[0], conversation_id)
        if not jobs or jobs[0].kind != AI_JOB or user_id not in {None, jobs[0].user_id}:
            raise NotFoundError(f"no job {job_id}")
        return (await _read_turns_of(connection, jobs))[0]


async def get_thread_job(database: Database, organization: str, conversation_id: UUID, job_id: UUID) -> JobRow:
    """Load a job of a conversation.

    Raises:
        NotFoundError: It is not there, or of another conversation.
    """
    job = await get_job(database, organization, job_id)
    _assert_of_conversation(job, conversation_id)
    return job


def _assert_of_conversation(job: JobRow, conversation_id: UUID) -> None:
    if job.conversation_id != conversation_id:
        raise NotFoundError(f"no job {job.id} in this conversation")


async def read_turns(
    connection: Connection, conversation_id: UUID, *, limit: int = MAX_TURNS, except_job: UUID | None = None
) -> list[Turn]:
    """Load the newest turns of a conversation, oldest first.

    Args:
        connection: The transaction.
        conversation_id: The conversation.
        limit: How many are looked at.
        except_job: One that is left out of them, since its caller has it already.
    """
    jobs = await _read_jobs(connection, "conversation_id = %(id)s", {"id": conversation_id}, limit=limit)
    return await _read_turns_of(connection, [job for job in jobs if job.id != except_job])


async def sweep_conversations(connection: Connection, *, days: int, limit: int) -> int:
    """Delete conversations whose questions are all deleted, and that nobody has continued for so many days.

    Returns:
        How many were deleted.
    """
    deleted = await connection.execute(
        """
        DELETE FROM conversations WHERE id IN (
            SELECT id FROM conversations c WHERE updated_at < now() - make_interval(days => %s)
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE conversation_id = c.id) LIMIT %s
        )
        """,
        (days, limit),
    )
    return deleted.rowcount


async def _read_jobs(connection: Connection, where: str, values: dict[str, object], *, limit: int = 1) -> list[JobRow]:
    async with connection.cursor(row_factory=kwargs_row(lambda **row: JobRow.model_validate(row))) as cursor:
        await cursor.execute(
            f"SELECT * FROM jobs WHERE {where} ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
            {**values, "limit": limit},
        )
        return list(reversed(await cursor.fetchall()))


async def _read_turns_of(connection: Connection, jobs: Sequence[JobRow]) -> list[Turn]:
    ids = [job.id for job in jobs]
    details, actions = await read_details(connection, ids), await read_actions(connection, ids)
    return [_make_turn(job, details[job.id], actions[job.id]) for job in jobs if job.id in details]


def _make_turn(job: JobRow, details: AiJobRow, actions: list[StoredAction]) -> Turn:
    error = None
    if job.state is JobState.FAILED:
        error = job.error_message or "The question failed."
    elif job.state is JobState.CANCELLED:
        error = CANCELLED
    return Turn(
        job_id=job.id,
        conversation_id=job.conversation_id,
        prompt=params_of(job, AiParams).prompt,
        state=to_ai_state(job.state, job.phase),
        paused=job.state is JobState.PAUSED,
        topic=details.topic,
        actions=actions,
        answer=details.summary if job.state is JobState.COMPLETED else None,
        error=error,
        usd=job.cost_usd,
        input_tokens=job.input_tokens,
        output_tokens=job.output_tokens,
        last_event=job.last_seq,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.completed_at,
    )
