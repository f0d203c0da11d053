"""How a run of a job is started, made of its row: the same whoever starts it."""

from __future__ import annotations

from towpath.db.tables import JobRow
from towpath.jobs.domain import SUBJECTS
from towpath.jobs.types import JobInput, JobRef, JobStart

MAX_SUMMARY = 200
MAX_PARAMETER = 200
NAMES = frozenset(
    {
        "attempt", "branch_id", "collection", "connection_id", "conversation_id", "index", "llm", "model", "model_id",
        "name", "order", "record_id", "refresh", "run", "schema", "schema_id", "schema_name", "topic_name", "version",
    }
)  # fmt: skip
"""Parameters that name something the organization keeps, or count; any other may hold what a user has typed."""


def ref_of(job: JobRow) -> JobRef:
    """The present run of a job."""
    return JobRef(organization=job.organization, kind=job.kind, job_id=job.id, attempt=job.attempt)


def start_of(job: JobRow, *, full: bool = False) -> JobStart:
    """The start of a job's present run.

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
    name = SUBJECTS[job.kind]
    subject = job.params.get(name, "") if full or name in NAMES else ""
    if isinstance(subject, dict):
        subject = subject.get("file_name", "")
    items = f": {job.total:,} items" if job.total else ""
    return f"{job.kind.replace('_', ' ')} {subject or ''}{items}".strip()[:MAX_SUMMARY]


def _details(job: JobRow, *, full: bool) -> str:
    return "\n".join(
        [
            f"- organization: `{job.organization}`",
            f"- job: `{job.id}`, attempt {job.attempt}",
            f"- items: {job.total:,}",
            *(
                f"- {name}: `{str(value)[:MAX_PARAMETER]}`"
                for name, value in job.params.items()
                if isinstance(value, str | int | bool) and (full or name in NAMES)
            ),
        ]
    )
