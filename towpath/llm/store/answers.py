"""Paid answers: stored the moment they come, so that neither a crash nor a repeat pays twice."""

from __future__ import annotations

import hashlib
from uuid import UUID

import orjson

from towpath.db.engine import Connection
from towpath.llm.types import WAYS_TO_SEND, Prompt


def answer_digest(model: str, prompt: Prompt, *, own: UUID | None = None) -> bytes:
    """Return the key of an answer.

    Args:
        model: The model key.
        prompt: What is asked, the form included.
        own: A job that wants no answer of another job, but is not to pay twice itself.
    """
    question = prompt.model_dump(mode="json", exclude=set(WAYS_TO_SEND))
    serialized = orjson.dumps([model, question, None if own is None else str(own)], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(serialized).digest()


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
