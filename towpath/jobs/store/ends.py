"""The end of a run: its row, its stream and its deliveries; and the cause of the end, not only that it failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Json

from towpath.core.errors import ErrorCode
from towpath.db.engine import Connection, Database
from towpath.jobs.hooks import find_queued_deliveries, queue_deliveries
from towpath.jobs.rows import error_of, progress_of
from towpath.jobs.store.control import set_next_attempt
from towpath.jobs.store.event_log import find_event
from towpath.jobs.store.jobs import append_event, lock_job
from towpath.jobs.store.starts import start_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import (
    END_EVENTS,
    STOPPED,
    DeliveryRef,
    Finish,
    JobError,
    JobOutcome,
    JobRef,
    JobStart,
    JobState,
    truncate,
)

MAX_MESSAGE = 2000
End = tuple[JobState, str | None, str | None]


async def finish_job(database: Database, finish: Finish, *, full: bool = False) -> JobOutcome:
    """End a run: final state, timings, error, last event. A second call changes nothing.

    A restart that was asked for during a cancel takes effect here: the job goes back to PENDING as
    its next attempt, and the outcome has the workflow start it.

    Args:
        database: Where the jobs are.
        finish: How the run ends.
        full: What the Temporal UI shows of the next attempt: see `start_of`.
    """
    ref = finish.ref
    async with database.transaction() as connection:
        job = await lock_job(connection, ref.organization, ref.job_id)
        if job.attempt == ref.attempt and not job.state.final:
            error = await end_job(connection, job, finish)
            if job.restart_requested:
                ended = _outcome(job)
                await set_next_attempt(connection, job)
                ended.following = start_of(await lock_job(connection, ref.organization, ref.job_id), full=full)
                return ended
            return _outcome(job, deliveries=await queue_deliveries(connection, job, error))
        restarted = job.attempt == ref.attempt + 1 and job.state is JobState.PENDING
        queued = await find_queued_deliveries(connection, job, ref.attempt)
        outcome = _outcome(job, following=start_of(job, full=full) if restarted else None, deliveries=queued)
        if job.attempt != ref.attempt:
            # The row is that of the next attempt; how this one has ended stands in the stream.
            outcome.state, outcome.error = await _end_of_attempt(connection, ref)
        return outcome


async def _end_of_attempt(connection: Connection, ref: JobRef) -> tuple[JobState, JobError | None]:
    end = await find_event(connection, ref.job_id, f"{ref.attempt}:end")
    if end is None:
        return JobState.CANCELLED, JobError(code=ErrorCode.CANCELLED, message=STOPPED)
    error = end.get("error")
    return JobState(end["state"]), None if error is None else JobError.model_validate(error)


async def end_job(connection: Connection, job: JobRow, finish: Finish) -> dict[str, Any] | None:
    """Write a run's end into its row, which is locked, and into its stream.

    Returns:
        The error, if there is one.
    """
    job.state, job.error_code, job.error_message = await decide_end(connection, job, finish)
    # What the hooks of the end read, such as the fields of a webhook.
    job.result = finish.result
    # One that went through all of its items is at its end, whatever became of them.
    through = job.state is JobState.COMPLETED or 0 < job.total <= job.processed
    await connection.execute(
        """
        UPDATE jobs SET state = %s, error_code = %s, error_message = %s, cancelling = false, phase = NULL,
               retries = '{}', retrying = false, result = %s,
               completed_at = now(), fraction = CASE WHEN %s THEN 1 ELSE fraction END
        WHERE id = %s
        """,
        (
            job.state, job.error_code, job.error_message,
            None if finish.result is None else Json(finish.result), through, job.id,
        ),
    )  # fmt: skip
    data: dict[str, Any] = {**progress_of(job).model_dump(), "state": job.state}
    if job.error_code is not None:
        data["error"] = {"code": job.error_code, "message": job.error_message}
    await append_event(connection, job.id, END_EVENTS[job.state], data, key=f"{finish.ref.attempt}:end")
    error: dict[str, Any] | None = data.get("error")
    return error


async def cancel_now(connection: Connection, job: JobRow, ref: JobRef) -> JobRow:
    """End a job as cancelled at once, with its notices queued; what its worker still brings is dropped."""
    stopped = JobError(code=ErrorCode.CANCELLED, message=STOPPED)
    error = await end_job(connection, job, Finish(ref=ref, state=JobState.CANCELLED, error=stopped))
    await queue_deliveries(connection, job, error)
    return job


def _outcome(job: JobRow, *, following: JobStart | None = None, deliveries: Sequence[DeliveryRef] = ()) -> JobOutcome:
    return JobOutcome(
        state=job.state,
        progress=progress_of(job),
        error=error_of(job),
        following=following,
        deliveries=list(deliveries),
    )


async def decide_end(connection: Connection, job: JobRow, finish: Finish) -> End:
    """Return a run's state, error code and error message, of what its workflow says and of what became of its items."""
    state: JobState = finish.state
    left_out = job.failed + job.skipped
    if state is JobState.COMPLETED and left_out and left_out >= job.total and not job.succeeded:
        return await _nothing_succeeded(connection, job)
    if finish.error is None:
        return state, None, None
    if job.cancelling and finish.error.code is ErrorCode.JOB_NOT_ACTIVE:
        # A chunk read the request to cancel in the row before the cancel reached its workflow.
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
    message = truncate(first, MAX_MESSAGE)
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
