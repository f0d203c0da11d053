"""How a run of a job is started, made of its row: the same whoever starts it."""

from __future__ import annotations

from towpath.jobs.registry import job_type
from towpath.jobs.rows import read_subject, ref_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobInput, JobStart

MAX_SUMMARY = 200
MAX_PARAMETER = 200


def start_of(job: JobRow, *, full: bool = False) -> JobStart:
    """Return the start of a job's present run.

    Args:
        job: Its row.
        full: Whether the Temporal UI shows questions and file names too, not names and counts alone.
    """
    return JobStart(
        input=JobInput(ref=ref_of(job), deadline=job.deadline, window=job.window_size),
        state=job.state,
        summary=_summary(job, full=full),
        details=_details(job, full=full),
    )


def _summary(job: JobRow, *, full: bool) -> str:
    described = job_type(job.kind)
    is_shown = full or described.subject in described.shown_params
    subject = read_subject(job, described.subject) if is_shown else ""
    items = f": {job.total:,} items" if job.total else ""
    return f"{job.kind.replace('_', ' ')} {subject or ''}{items}".strip()[:MAX_SUMMARY]


def _details(job: JobRow, *, full: bool) -> str:
    shown = job_type(job.kind).shown_params
    return "\n".join(
        [
            f"- organization: `{job.organization}`",
            f"- job: `{job.id}`, attempt {job.attempt}",
            f"- items: {job.total:,}",
            *(
                f"- {name}: `{str(value)[:MAX_PARAMETER]}`"
                for name, value in job.params.items()
                if isinstance(value, str | int | bool) and (full or name in shown)
            ),
        ]
    )
