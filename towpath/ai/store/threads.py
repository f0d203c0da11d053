"""Conversations: lists of them, and one with all its turns."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg.rows import class_row, kwargs_row

from towpath.accounts.types import organization_uuid
from towpath.ai.store.jobs import AiRow, read_actions, read_ai, state_of
from towpath.ai.types import Conversation, StoredAction, Thread, Turn
from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.db.tables import JobRow
from towpath.jobs.store.jobs import Cursor
from towpath.jobs.types import JobKind, JobState

COLUMNS = "id, organization, user_id, model_id, branch_id, name, last_prompt, created_at, updated_at"
MAX_TURNS = 200
CANCELLED = "The question was cancelled."


async def get_conversation(
    database: Database, organization: str, conversation_id: UUID, user_id: UUID | None
) -> Conversation:
    """One conversation.

    Args:
        user_id: Whose it must be; None: anybody's of the organization.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    async with database.transaction() as connection:
        return await read_conversation(connection, organization, conversation_id, user_id)


async def read_conversation(
    connection: Connection, organization: str, conversation_id: UUID, user_id: UUID | None
) -> Conversation:
    """The same, within a transaction."""
    async with connection.cursor(row_factory=class_row(Conversation)) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM conversations WHERE id = %s AND organization = %s"
            " AND (%s::uuid IS NULL OR user_id = %s)",
            (conversation_id, organization, user_id, user_id),
        )
        found = await cursor.fetchone()
    if found is None:
        raise NotFoundError(f"no conversation {conversation_id}")
    return found


async def list_conversations(
    database: Database, organization: str, user_id: UUID | None, *, before: Cursor | None, limit: int
) -> tuple[list[Conversation], int]:
    """Conversations with the latest activity first, and how many there are in all.

    Args:
        user_id: Whose; the organization's own id: those that belong to no user; None: all.
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
    """A conversation with its turns, the newest 200 of them, oldest first.

    Args:
        user_id: Whose it must be; None: anybody's of the organization.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    async with database.transaction() as connection:
        conversation = await read_conversation(connection, organization, conversation_id, user_id)
        found = await connection.execute(
            "SELECT name FROM semantic_models WHERE id = %s AND organization = %s",
            (conversation.model_id, organization),
        )
        model = await found.fetchone()
        turns = await turns_of(connection, conversation_id)
        counted = await connection.execute("SELECT count(*) FROM jobs WHERE conversation_id = %s", (conversation_id,))
        return Thread(
            conversation=conversation,
            model_name=(model[0] if model else None) or "model",
            turns=turns,
            earlier=max(int((await counted.fetchone() or (0,))[0]) - len(turns), 0),
        )


async def read_turn(database: Database, organization: str, job_id: UUID, user_id: UUID | None) -> Turn:
    """One question with all that came of it.

    Raises:
        NotFoundError: It is not there, or not to be seen.
    """
    async with database.transaction() as connection:
        return await read_turn_in(connection, organization, job_id, user_id)


async def read_turn_in(connection: Connection, organization: str, job_id: UUID, user_id: UUID | None) -> Turn:
    """The same, within a transaction."""
    jobs = await _jobs(
        connection,
        "id = %(id)s AND organization = %(organization)s AND kind = %(kind)s"
        " AND (%(user)s::uuid IS NULL OR user_id = %(user)s)",
        {"id": job_id, "organization": organization, "kind": JobKind.AI_JOB, "user": user_id},
    )
    if not jobs:
        raise NotFoundError(f"no job {job_id}")
    return (await _turns(connection, jobs))[0]


async def turns_of(connection: Connection, conversation_id: UUID, *, limit: int = MAX_TURNS) -> list[Turn]:
    """The newest turns of a conversation, oldest first."""
    return await _turns(
        connection, await _jobs(connection, "conversation_id = %(id)s", {"id": conversation_id}, limit=limit)
    )


async def sweep_conversations(connection: Connection, *, days: int, limit: int) -> int:
    """Delete threads whose questions have all gone, and that nobody has gone on with for so many days.

    Returns:
        How many went.
    """
    gone = await connection.execute(
        """
        DELETE FROM conversations WHERE id IN (
            SELECT id FROM conversations c WHERE updated_at < now() - make_interval(days => %s)
            AND NOT EXISTS (SELECT 1 FROM jobs WHERE conversation_id = c.id) LIMIT %s
        )
        """,
        (days, limit),
    )
    return gone.rowcount


async def _jobs(connection: Connection, where: str, values: dict[str, object], *, limit: int = 1) -> list[JobRow]:
    async with connection.cursor(row_factory=kwargs_row(lambda **row: JobRow.model_validate(row))) as cursor:
        await cursor.execute(
            f"SELECT * FROM jobs WHERE {where} ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
            {**values, "limit": limit},
        )
        return list(reversed(await cursor.fetchall()))


async def _turns(connection: Connection, jobs: Sequence[JobRow]) -> list[Turn]:
    ids = [job.id for job in jobs]
    more, actions = await read_ai(connection, ids), await read_actions(connection, ids)
    return [_turn(job, more[job.id], actions[job.id]) for job in jobs if job.id in more]


def _turn(job: JobRow, more: AiRow, actions: list[StoredAction]) -> Turn:
    error = None
    if job.state is JobState.FAILED:
        error = job.error_message or "The question failed."
    elif job.state is JobState.CANCELLED:
        error = CANCELLED
    return Turn(
        job_id=job.id,
        prompt=str(job.params.get("prompt", "")),
        state=state_of(job),
        paused=job.state is JobState.PAUSED,
        topic=more.topic,
        actions=actions,
        answer=more.summary if job.state is JobState.COMPLETED else None,
        error=error,
        usd=job.cost_usd,
        input_tokens=job.input_tokens,
        output_tokens=job.output_tokens,
        last_event=job.last_seq,
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.completed_at,
    )
