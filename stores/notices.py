"""What a notice of an AI job's end tells beside that of any job."""

from __future__ import annotations

from typing import Any

from contracts.ai import WORDS
from contracts.jobs import JobKind, JobState
from stores.db import Connection
from stores.tables import JobRow


async def ai_members(connection: Connection, job: JobRow) -> dict[str, Any]:
    """Members of the notice's body in the words of this API; none for a job of another kind."""
    if job.kind is not JobKind.AI_JOB:
        return {}
    found = await connection.execute("SELECT summary FROM ai_jobs WHERE job_id = %s", (job.id,))
    row = await found.fetchone()
    return {
        "status": WORDS[job.state],
        "conversationId": str(job.conversation_id),
        "result_summary": row[0] if row is not None and job.state is JobState.COMPLETED else None,
    }
