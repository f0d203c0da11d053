"""Cancels and resumes a job in the words of the enrichment API, which takes a job of any kind."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.core.errors import ConflictError
from towpath.db.engine import Connection
from towpath.enrichment.bodies import ContinueBody
from towpath.enrichment.types import STATUS_OF, PublicStatus
from towpath.jobs.rows import ref_of
from towpath.jobs.service import JobService
from towpath.jobs.store.jobs import merge_params
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState


async def cancel(jobs: JobService, caller: Principal, job_id: UUID) -> dict[str, Any]:
    """Cancel a job and wait for its end; return its id, status and what was done."""
    job = await jobs.cancel(caller, job_id, wait=True)
    is_cancelled = job.state is JobState.CANCELLED or job.cancelling
    message = "Job cancelled" if is_cancelled else f"Job is {STATUS_OF[job.state]}"
    is_ending = job.cancelling and not job.state.final
    status = PublicStatus.CANCELLED if is_ending else STATUS_OF[job.state]
    return {"job_id": str(job.id), "status": status, "message": message}


async def resume(jobs: JobService, caller: Principal, job_id: UUID, body: ContinueBody) -> dict[str, Any]:
    """Resume a paused job with a person's answers; return its id, status and what was done.

    Raises:
        ConflictError: It is not paused, or is held for its review.
    """
    answers = {name: answer.model_dump(mode="json") for name, answer in body.answers.items()}

    async def keep_answers(connection: Connection, job: JobRow) -> None:
        if job.state is not JobState.PAUSED:
            raise ConflictError(f"the job is {STATUS_OF[job.state]}, not paused")
        await merge_params(connection, ref_of(job), {"answers": answers})

    job = await jobs.resume(caller, job_id, prepare=keep_answers)
    return {"job_id": str(job.id), "status": STATUS_OF[job.state], "message": "Job resumed"}
