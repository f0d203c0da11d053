"""Turns a job's row into what the API shows."""

from __future__ import annotations

from datetime import UTC, datetime

from towpath.jobs.registry import job_type
from towpath.jobs.rows import awaited_of, error_of, progress_of, ref_of, retrying_of, waiting_of, warnings_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import Cost, JobLinks, JobView
from towpath.runtime.settings import Settings
from towpath.runtime.temporal import temporal_ui_url


def job_view(job: JobRow, settings: Settings) -> JobView:
    """Return the common view of a job of any kind."""
    base = f"/v1/jobs/{job.id}"
    return JobView(
        id=job.id,
        external_id=job.external_id,
        kind=job.kind,
        state=job.state,
        attempt=job.attempt,
        phase=job.phase,
        progress=progress_of(job),
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        deadline=job.deadline,
        cancelling=job.cancelling,
        error=error_of(job),
        warnings=warnings_of(job),
        retrying=retrying_of(job),
        waiting=waiting_of(job, datetime.now(UTC)),
        cost=Cost(usd=job.cost_usd, input_tokens=job.input_tokens, output_tokens=job.output_tokens),
        awaited=awaited_of(job),
        result=job.result,
        links=JobLinks(
            self_=base,
            events=f"{base}/events",
            failures=f"{base}/failures",
            system=job_type(job.kind).path_of(job),
            temporal=temporal_ui_url(settings, ref_of(job).workflow_id),
        ),
    )
