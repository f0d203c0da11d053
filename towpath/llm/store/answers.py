"""Paid answers: stored the moment they come, so that neither a crash nor a repeat pays twice."""

from __future__ import annotations

import hashlib
from uuid import UUID

import orjson
from psycopg.types.json import Json

from towpath.core.usage import Usage
from towpath.db.engine import Connection, Database
from towpath.llm.types import Answer, Prompt


def answer_digest(model: str, prompt: Prompt, *, own: UUID | None = None) -> bytes:
    """Return the key of an answer.

    Args:
        model: The model key.
        prompt: What is asked, the form included.
        own: A job that wants no answer of another job, but is not to pay twice itself.
    """
    serialized = orjson.dumps(
        [model, prompt.model_dump(mode="json"), None if own is None else str(own)], option=orjson.OPT_SORT_KEYS
    )
    return hashlib.sha256(serialized).digest()


async def find_answer(
    database: Database, organization: str, digest: bytes, job_id: UUID, attempt: int
) -> Answer | None:
    """Load a stored answer; one that another job or an earlier attempt has paid for is marked as cached and is free.

    Args:
        database: Where the answers are.
        organization: Whose.
        digest: As `answer_digest` makes it.
        job_id: The job that asks.
        attempt: Its attempt.
    """
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT job_id, attempt, answer FROM llm_answers WHERE organization = %s AND digest = %s",
            (organization, digest),
        )
        row = await cursor.fetchone()
    if row is None:
        return None
    answer = Answer.model_validate(row[2])
    if (row[0], row[1]) != (job_id, attempt):
        answer.cached, answer.usage = True, Usage()
    return answer


async def keep_answer(
    database: Database, organization: str, digest: bytes, job_id: UUID, attempt: int, answer: Answer
) -> None:
    """Store an answer; the first one stays."""
    async with database.statement() as connection:
        await connection.execute(
            """
            INSERT INTO llm_answers (organization, digest, job_id, attempt, answer) VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT DO NOTHING
            """,
            (organization, digest, job_id, attempt, Json(answer.model_dump(mode="json"))),
        )


async def sweep_answers(connection: Connection, *, days: int, limit: int) -> int:
    """Delete answers that are older than so many days.

    Returns:
        How many went; fewer than `limit` means that none is left.
    """
    gone = await connection.execute(
        """
        DELETE FROM llm_answers WHERE (organization, digest) IN (
            SELECT organization, digest FROM llm_answers WHERE created_at < now() - make_interval(days => %s) LIMIT %s
        )
        """,
        (days, limit),
    )
    return gone.rowcount
