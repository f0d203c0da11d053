"""How a run of a job is started, made of its row: the same whoever starts it."""

from __future__ import annotations

from contracts.jobs import JobInput, JobRef, JobStart
from domain.jobs import SUBJECTS
from stores.tables import JobRow

MOST_SUMMARY = 200
MOST_PARAMETER = 200


def ref_of(job: JobRow) -> JobRef:
    """The present run of a job."""
    return JobRef(organization=job.organization, kind=job.kind, job_id=job.id, attempt=job.attempt)


def start_of(job: JobRow) -> JobStart:
    """The start of a job's present run."""
    return JobStart(
        input=JobInput(ref=ref_of(job), deadline=job.deadline, window=job.window_size),
        state=job.state,
        summary=_summary(job),
        details=_details(job),
    )


def _summary(job: JobRow) -> str:
    subject = job.params.get(SUBJECTS[job.kind], "")
    if isinstance(subject, dict):
        subject = subject.get("file_name", "")
    items = f": {job.total:,} items" if job.total else ""
    return f"{job.kind.replace('_', ' ')} {subject or ''}{items}"[:MOST_SUMMARY]


def _details(job: JobRow) -> str:
    return "\n".join(
        [
            f"- organization: `{job.organization}`",
            f"- job: `{job.id}`, attempt {job.attempt}",
            f"- items: {job.total:,}",
            *(
                f"- {name}: `{str(value)[:MOST_PARAMETER]}`"
                for name, value in job.params.items()
                if isinstance(value, str | int | bool)
            ),
        ]
    )
