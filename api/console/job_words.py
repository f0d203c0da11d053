"""Jobs in words: their kinds, states, subjects and counts, as the list and a job's own page show them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from towpath.jobs.registry import job_type
from towpath.jobs.rows import read_subject
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState, JobStatus, ReviewStatus, job_status

SUBJECT_CHARACTERS = 120
STATUS_WORDS: dict[JobStatus, str] = {
    JobStatus.PENDING: "Pending",
    JobStatus.IN_PROGRESS: "In progress",
    JobStatus.RETRY: "Retry",
    JobStatus.PAUSED: "Paused",
    JobStatus.COMPLETE: "Complete",
    JobStatus.ERROR: "Error",
    JobStatus.CANCELLED: "Cancelled",
}
"""In the order of a job's life; also that of the list's tabs."""
REVIEW_WORDS: dict[ReviewStatus, str] = {
    ReviewStatus.PENDING: "Review pending",
    ReviewStatus.APPROVED: "Approved",
    ReviewStatus.REJECTED: "Rejected",
    ReviewStatus.CANCELLED: "Review withdrawn",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """How far a job is.

    Attributes:
        share: 0..1; None: it is not known.
        words: The counts; empty: there is nothing to count.
    """

    share: float | None
    words: str


@dataclass(frozen=True, slots=True)
class JobLine:
    """One job as a list shows it."""

    job: JobRow
    kind: str
    subject: str
    status: JobStatus
    status_words: str
    review: str | None
    bar: Bar
    seconds: float | None


def job_line(job: JobRow, now: datetime | None = None) -> JobLine:
    """Return a job in words."""
    status = job_status(job.state, retrying=job.retrying)
    cancelling = job.cancelling and not job.state.final
    return JobLine(
        job=job,
        kind=job_type(job.kind).title,
        subject=subject_of(job),
        status=status,
        status_words="Cancelling" if cancelling else STATUS_WORDS[status],
        review=None if job.review_status is None else REVIEW_WORDS[ReviewStatus(job.review_status)],
        bar=bar_of(job),
        seconds=duration_of(job, now or datetime.now(UTC)),
    )


def subject_of(job: JobRow) -> str:
    """Return what a job works on: a question, a document's name, an index; its short id where nothing is known."""
    described = job_type(job.kind)
    subject = read_subject(job, described.headline) or read_subject(job, described.subject)
    words = " ".join(str(subject or f"Job {str(job.id)[:8]}").split())
    return words if len(words) <= SUBJECT_CHARACTERS else f"{words[: SUBJECT_CHARACTERS - 1].rstrip()}…"


def bar_of(job: JobRow) -> Bar:
    """Return how far a job is, by its items or by the fraction that its steps report."""
    failed = f", {job.failed:,} failed" if job.failed else ""
    left_out = f", {job.skipped:,} skipped" if job.skipped else ""
    if job.total:
        share = 1.0 if job.state is JobState.COMPLETED else max(job.fraction, 0.0)
        return Bar(share, f"{job.processed:,} of {job.total:,}{failed}{left_out}")
    words = f"{job.processed:,} done{failed}{left_out}" if job.processed else ""
    if job.state.final or not job.fraction:
        return Bar(None, words)
    return Bar(job.fraction, words or f"{job.fraction:.0%}")


def duration_of(job: JobRow, now: datetime) -> float | None:
    """Return the seconds from the start to the end, or until now; None: it has not begun."""
    if job.started_at is None:
        return None
    return max(((job.completed_at or now) - job.started_at).total_seconds(), 0.0)
