"""What a job's row says, as values: its run, counts, error, warnings, the step that is tried again, its subject."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from towpath.core.errors import ErrorCode
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import (
    AWAITED,
    Awaited,
    JobError,
    JobRef,
    JobState,
    JobWarning,
    Progress,
    Retrying,
    ReviewStatus,
    Waiting,
)

WAITING_SHOWN = timedelta(seconds=70)
"""Somewhat longer than the longest time between two reports of a wait that lasts."""


def ref_of(job: JobRow) -> JobRef:
    """Return the present run of a job."""
    return JobRef(organization=job.organization, kind=job.kind, job_id=job.id, attempt=job.attempt)


def progress_of(job: JobRow) -> Progress:
    """Return the counts of a job."""
    return Progress(
        total=job.total, processed=job.processed, succeeded=job.succeeded, failed=job.failed, skipped=job.skipped
    )


def error_of(job: JobRow) -> JobError | None:
    """Return the error of a job."""
    if job.error_code is None:
        return None
    return JobError(code=ErrorCode(job.error_code), message=job.error_message or "")


def warnings_of(job: JobRow) -> list[JobWarning]:
    """Return the warnings of a job."""
    return [JobWarning.model_validate(warning) for warning in job.warnings]


def plain_warnings(job: JobRow) -> list[dict[str, Any]]:
    """Return the warnings of a job as JSON."""
    return [warning.model_dump(mode="json") for warning in warnings_of(job)]


def retrying_of(job: JobRow) -> Retrying | None:
    """Return the step of a job that has failed most often and is tried again."""
    steps = [Retrying.model_validate(step) for step in job.retries.values()]
    return max(steps, key=lambda step: step.attempt, default=None)


def waiting_of(job: JobRow, now: datetime) -> Waiting | None:
    """Return what requests of a job wait for in the queue of a provider, if that was told lately."""
    if job.waiting is None or job.state is not JobState.RUNNING:
        return None
    waiting = Waiting.model_validate(job.waiting)
    return waiting if max(waiting.until, waiting.told_at + WAITING_SHOWN) >= now else None


def is_current_run(job: JobRow, ref: JobRef) -> bool:
    """Return whether a run is current: it has not ended, is not being cancelled, and no newer attempt runs."""
    return job.attempt == ref.attempt and not job.state.final and not job.cancelling


def is_held_for_review(job: JobRow) -> bool:
    """Return whether a job continues by the decision of its review alone."""
    return job.state is JobState.PAUSED and job.review_status == ReviewStatus.PENDING


def read_subject(job: JobRow, path: str | None) -> Any:
    """Read the parameter that a descriptor names as a job's subject or headline.

    Lists show many jobs, so the parameters are not parsed for it; a test holds every name to the kind's model.

    Args:
        job: The job.
        path: The stored name; with a dot that of a member of a parameter.

    Returns:
        The value; None: there is none.
    """
    value: Any = job.params
    for name in (path or "").split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def awaited_of(job: JobRow) -> Awaited | None:
    """Return how far the batches of a job's calls are; None: it has none."""
    counts = job.params.get(AWAITED)
    return None if counts is None else Awaited.model_validate(counts)
