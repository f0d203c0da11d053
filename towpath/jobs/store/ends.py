"""What a job says of itself: the cause of its end, not only that it failed; and its warnings."""

from __future__ import annotations

from towpath.core.errors import ErrorCode
from towpath.db.engine import Connection
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import STOPPED, Finish, JobState, bounded

MAX_MESSAGE = 2000
End = tuple[JobState, str | None, str | None]


async def end_of(connection: Connection, job: JobRow, finish: Finish) -> End:
    """Return a run's state, error code and error message, of what its workflow says and of what became of its items."""
    state: JobState = finish.state
    left_out = job.failed + job.skipped
    if state is JobState.COMPLETED and left_out and left_out >= job.total and not job.succeeded:
        return await _nothing_succeeded(connection, job)
    if finish.error is None:
        return state, None, None
    if job.cancelling and finish.error.code is ErrorCode.JOB_NOT_ACTIVE:
        # A chunk met the wish in the row before the cancel reached its workflow.
        return JobState.CANCELLED, ErrorCode.CANCELLED, STOPPED
    return state, finish.error.code, finish.error.message


async def _nothing_succeeded(connection: Connection, job: JobRow) -> End:
    """Return the one item's own error; of several the most frequent cause, beside how many it has."""
    cursor = await connection.execute(
        """
        SELECT code, count(*), count(DISTINCT message), (array_agg(message ORDER BY item_index))[1]
        FROM job_failures WHERE job_id = %s GROUP BY code ORDER BY count(*) DESC, min(item_index) LIMIT 1
        """,
        (job.id,),
    )
    row = await cursor.fetchone()
    if row is None:
        return JobState.FAILED, ErrorCode.ALL_ITEMS_FAILED, _counted(job)
    code, same, messages, first = row
    if job.total == 1:
        return JobState.FAILED, code, first
    message = bounded(first, MAX_MESSAGE)
    if same < job.failed or job.skipped:
        message_of_all = f"{_counted(job)}; {same:,} of them with {code}, the first so: {message}"
    elif messages > 1:
        message_of_all = f"{_counted(job)} with {code}, the first so: {message}"
    else:
        message_of_all = f"{_counted(job)}: {message} ({code})"
    return JobState.FAILED, ErrorCode.ALL_ITEMS_FAILED, message_of_all


def _counted(job: JobRow) -> str:
    if not job.skipped:
        return f"all {job.failed:,} items failed"
    parts = [f"{count:,} {word}" for count, word in ((job.failed, "failed"), (job.skipped, "skipped")) if count]
    return f"none of {job.total:,} items succeeded: {', '.join(parts)}"
