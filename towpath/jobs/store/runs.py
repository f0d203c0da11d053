"""The current run of a job: an attempt that has neither ended nor been superseded."""

from __future__ import annotations

from towpath.core.errors import JobNotActiveError
from towpath.db.engine import Connection
from towpath.jobs.rows import is_current_run
from towpath.jobs.store.jobs import lock_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef


async def lock_run(connection: Connection, ref: JobRef) -> JobRow:
    """Load the job of a current run, and lock its row.

    Raises:
        JobNotActiveError: It has ended, is being cancelled, or a newer attempt runs.
    """
    job = await lock_job(connection, ref.organization, ref.job_id)
    if not is_current_run(job, ref):
        raise JobNotActiveError(f"job {ref.job_id} attempt {ref.attempt} has ended")
    return job
