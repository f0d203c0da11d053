"""Runs jobs again as the API of documents allows it: only those that have failed or were cancelled."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.core.errors import ConflictError
from towpath.extraction.service.parts import ExtractionParts
from towpath.jobs.idempotency import Slot
from towpath.jobs.policy import JobAction
from towpath.jobs.service import JobService
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState

RETRIABLE = frozenset({JobState.FAILED, JobState.CANCELLED})


async def retry_job(
    parts: ExtractionParts, jobs: JobService, caller: Principal, job_id: UUID, *, slot: Slot, deadline: datetime | None
) -> JobRow:
    """Run a job again that failed or was cancelled; what it has finished stays.

    Args:
        parts: The façade's parts.
        jobs: Restarts it.
        caller: Who asks.
        job_id: The job.
        slot: The place of the request's `Idempotency-Key`: a repeat is answered whatever the job does by now.
        deadline: The new deadline; None: the one it has, if that is still to come.

    Raises:
        NotFoundError: It is not there, or not to be seen.
        ConflictError: It runs, or is complete.
    """
    job = await jobs.find(caller, job_id, JobAction.RESTART)
    if not await slot.is_taken(parts.database) and job.state not in RETRIABLE:
        raise ConflictError(f"only a job that failed or was cancelled is run again; this one is {job.state}")
    return await jobs.restart(caller, job_id, slot=slot, deadline=deadline)
