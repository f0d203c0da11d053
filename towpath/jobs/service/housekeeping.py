"""Looks after all jobs: the reconciler compares them with Temporal, the sweep deletes what is past its time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from towpath.accounts.store.rates import sweep_counters
from towpath.core.errors import ErrorCode
from towpath.db.engine import Connection, Database
from towpath.jobs.faults import judge, log_unforeseen
from towpath.jobs.registry import job_types
from towpath.jobs.rows import ref_of
from towpath.jobs.store import jobs as store
from towpath.jobs.store.counters import compact_counters
from towpath.jobs.store.ends import finish_job
from towpath.jobs.store.housekeeping import list_open_jobs, sweep_jobs
from towpath.jobs.store.starts import start_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import Finish, JobError, JobStart, JobState, ReconcilePage

SWEEP_ROWS = 5_000
QUIET_SECONDS = 20.0
RECONCILE_LIMIT = 500
MAX_PROBLEMS = 50
MAX_PROBLEM = 500
MAX_FAILURES_IN_A_ROW = 3
RPC_TIMEOUT = timedelta(seconds=5)
Handle = WorkflowHandle[Any, Any]
HandleOf = Callable[[str], Handle]
SweepMore = Callable[[Connection, int], Awaitable[int]]
"""Delete what is past its time, so many rows at most, and return how many rows went."""


class Housekeeping:
    """What the reconciler's schedule does.

    Args:
        database: Where the jobs are.
        retention_days: How long a finished job stays readable.
        sweeps: Of what is no kind's own, and not the kernel's.
        full_details: Whether the Temporal UI shows questions and file names too.
    """

    def __init__(
        self, database: Database, *, retention_days: int, sweeps: Sequence[SweepMore] = (), full_details: bool = False
    ) -> None:
        self._database = database
        self._retention_days = retention_days
        self._sweeps = tuple(sweeps)
        self._full_details = full_details

    async def reconcile(self, handle_of: HandleOf, after: UUID | None) -> ReconcilePage:
        """Compare quiet, unfinished jobs with Temporal, each by itself: one that cannot be read hides no other.

        A job without a workflow is returned, to be started. A job whose workflow has ended without finishing it
        (terminated by an operator, timed out, failed by a defect) is ended here. One whose cancel never reached its
        workflow is cancelled again.

        Args:
            handle_of: Returns the handle of a workflow.
            after: The last job that an earlier page has looked at; None: from the beginning.
        """
        jobs = await list_open_jobs(self._database, quiet_seconds=QUIET_SECONDS, after=after, limit=RECONCILE_LIMIT)
        page = ReconcilePage(next=jobs[-1][0] if len(jobs) == RECONCILE_LIMIT else None)
        failures_in_a_row = 0
        for job_id, organization in jobs:
            try:
                job = await store.get_job(self._database, organization, job_id)
                start = await self._reconcile_job(handle_of(ref_of(job).workflow_id), job)
                failures_in_a_row = 0
            except Exception as error:
                failures_in_a_row = failures_in_a_row + 1 if judge(error).retryable else 0
                if failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                    # It is not the rows: a part is away, and the whole look is for later.
                    raise
                where = f"the reconciler's look at job {job_id} of {organization}"
                page.problems.append(f"{where}: {judge(error).message}; {log_unforeseen(error, where)}"[:MAX_PROBLEM])
                continue
            if start is not None:
                page.unstarted.append(start)
        page.problems = page.problems[:MAX_PROBLEMS]
        return page

    async def _reconcile_job(self, handle: Handle, job: JobRow) -> JobStart | None:
        if job.state.final:
            return None
        ref = ref_of(job)
        try:
            described = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return start_of(job, full=self._full_details)
        if described.status in {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}:
            if job.cancelling:
                await handle.cancel(rpc_timeout=RPC_TIMEOUT)
            return None
        status = described.status.name if described.status else "gone"
        lost = Finish(
            ref=ref,
            state=JobState.FAILED,
            error=JobError(
                code=ErrorCode.WORKFLOW_LOST, message=f"its workflow ended as {status}{await _cause_of(handle)}"
            ),
        )
        if described.status in {WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TERMINATED}:
            lost.state = JobState.CANCELLED
        await finish_job(self._database, lost)
        return None

    async def sweep(self) -> int:
        """Delete what is past its retention and what kinds of jobs have left behind, a piece at a time.

        Returns:
            How many rows went; call again while it is not 0.
        """
        # To the end, not a piece a round: after an upgrade there is a delta for each job that was there before.
        while await compact_counters(self._database, limit=SWEEP_ROWS) >= SWEEP_ROWS:
            pass
        await sweep_counters(self._database)
        rows = await sweep_jobs(self._database, retention_days=self._retention_days, limit=SWEEP_ROWS)
        async with self._database.transaction() as connection:
            for sweep in self._sweeps:
                rows += await sweep(connection, SWEEP_ROWS)
            for kind in job_types():
                if kind.sweep is not None:
                    rows += await kind.sweep(connection, self._retention_days, SWEEP_ROWS)
        return rows


async def _cause_of(handle: Handle) -> str:
    """Return why a workflow has failed, as an addition to a sentence."""
    try:
        await handle.result(follow_runs=False, rpc_timeout=RPC_TIMEOUT)
    except WorkflowFailureError as error:
        cause = error.cause
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return f": {judge(cause).message}" if isinstance(cause, ApplicationError) else ""
    return ""
