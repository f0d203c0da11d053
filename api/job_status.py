"""A job as the enrichment API's status shows it."""

from __future__ import annotations

from typing import Any

from towpath.api.http.state import AppState
from towpath.db.tables import JobRow
from towpath.enrichment.types import LLM_KINDS, STATUS_OF
from towpath.jobs.event_hub import last_of
from towpath.jobs.store.ends import plain_warnings
from towpath.jobs.store.staging import read_failures
from towpath.jobs.types import JobState

MAX_ERRORS = 50
LISTED_KINDS = sorted(LLM_KINDS)


async def job_status(state: AppState, job: JobRow) -> dict[str, Any]:
    """The status with the first errors."""
    failures, _ = await read_failures(state.db, job.id, limit=MAX_ERRORS, offset=0)
    errors = [f"{one.id or one.index}: {one.message}" for one in failures]
    if job.error_message and not errors:
        errors = [job.error_message]
    current = None if job.state.final else await last_of(state.db, job.id, "current_model")
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
