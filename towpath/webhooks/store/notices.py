"""What a notice tells in the words of the API that the job belongs to."""

from __future__ import annotations

from typing import Any

from towpath.ai.types import WORDS
from towpath.db.engine import Connection
from towpath.db.tables import JobRow
from towpath.extraction.types import STATUS_OF
from towpath.jobs.types import JobKind, JobState


async def own_members(connection: Connection, job: JobRow) -> dict[str, Any]:
    """Members of a notice's body that a job's own API promises, over those of every job."""
    if job.kind is JobKind.AI_JOB:
        return await _of_answer(connection, job)
    if job.kind in {JobKind.EXTRACTION, JobKind.CLASSIFICATION}:
        return await _of_extraction(connection, job)
    return {}


async def _of_answer(connection: Connection, job: JobRow) -> dict[str, Any]:
    found = await connection.execute("SELECT summary FROM ai_jobs WHERE job_id = %s", (job.id,))
    row = await found.fetchone()
    return {
        "status": WORDS[job.state],
        "conversationId": str(job.conversation_id),
        "result_summary": row[0] if row is not None and job.state is JobState.COMPLETED else None,
    }


async def _of_extraction(connection: Connection, job: JobRow) -> dict[str, Any]:
    found = await connection.execute(
        "SELECT e.metadata, j.review_status FROM extractions e JOIN jobs j ON j.id = e.job_id WHERE e.job_id = %s",
        (job.id,),
    )
    row = await found.fetchone() or (None, None)
    told: dict[str, Any] = {"status": STATUS_OF[job.state], "reviewStatus": row[1]}
    return told if row[0] is None else {**told, "metadata": row[0]}
