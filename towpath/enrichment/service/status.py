"""A job as the enrichment API's status shows it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from towpath.db.engine import Database
from towpath.enrichment.types import LLM_KINDS, STATUS_OF
from towpath.jobs.rows import plain_warnings
from towpath.jobs.store.event_log import read_last_value
from towpath.jobs.store.jobs import list_jobs
from towpath.jobs.store.staging import read_failures
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState

MAX_ERRORS = 50
LISTED_KINDS = sorted(LLM_KINDS)


async def job_status(database: Database, job: JobRow) -> dict[str, Any]:
    """Return the status, with the first errors."""
    failures, _ = await read_failures(database, job.id, limit=MAX_ERRORS, offset=0)
    errors = [f"{failure.id or failure.index}: {failure.message}" for failure in failures]
    if job.error_message and not errors:
        errors = [job.error_message]
    current = None if job.state.final else await read_last_value(database, job.id, "current_model")
    return {
        "job_id": str(job.id),
        "job_type": job.kind,
        "status": STATUS_OF[job.state],
        "is_paused": job.state is JobState.PAUSED,
        "total": job.total,
        "current": job.processed,
        "completed_enrichments": job.succeeded,
        "failed": job.failed,
        "skipped": job.skipped,
        "current_model": current,
        "message": job.error_message,
        "errors": errors,
        "warnings": plain_warnings(job),
        "cost_usd": job.cost_usd,
        "created_at": job.created_at,
        "completed_at": job.completed_at,
    }


async def list_statuses(
    database: Database, organization: str, *, state: JobState | None, user_id: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Return the statuses of the newest jobs of every kind that asks language models.

    Args:
        database: Where the jobs are.
        organization: Whose jobs.
        state: Only jobs in this state.
        user_id: Who looks, for jobs that belong to a person.
        limit: At most so many.
    """
    jobs: list[JobRow] = []
    for kind in LISTED_KINDS:
        jobs += await list_jobs(database, organization, kind=kind, state=state, user_id=user_id, limit=limit)
    jobs.sort(key=lambda job: (job.created_at, str(job.id)), reverse=True)
    return [await job_status(database, job) for job in jobs[:limit]]
