"""What every job workflow does to its row, and the reconciler's look at all of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from towpath.accounts.store.rates import sweep_counters
from towpath.core.errors import ErrorCode
from towpath.db.engine import Database
from towpath.jobs.faults import judge, report
from towpath.jobs.registry import job_types
from towpath.jobs.rows import ref_of
from towpath.jobs.store import jobs as store
from towpath.jobs.store.events import hold_job
from towpath.jobs.store.housekeeping import open_jobs, sweep_jobs
from towpath.jobs.store.listing import compact_counters
from towpath.jobs.store.starts import start_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import (
    Finish,
    Hold,
    JobError,
    JobOutcome,
    JobRef,
    JobStart,
    JobState,
    PhaseChange,
    ReconcilePage,
    Started,
)
from towpath.llm.store.answers import sweep_answers

SWEEP_ROWS = 5_000
QUIET_SECONDS = 20.0
RECONCILE_LIMIT = 500
MAX_PROBLEMS = 50
MANY_AWAY = 3
MAX_PROBLEM = 500
RPC_TIMEOUT = timedelta(seconds=5)


class JobActivities:
    """Small projections of a job, and housekeeping.

    Args:
        database: Where the jobs are.
        retention_days: How long a finished job stays readable.
        answer_days: How long a language model's answers are kept.
        full_details: Whether the Temporal UI shows questions and file names too.
    """

    def __init__(
        self, database: Database, *, retention_days: int, answer_days: int, full_details: bool = False
    ) -> None:
        self._database = database
        self._full = full_details
        self._answer_days = answer_days
        self._retention_days = retention_days

    @activity.defn(name="begin_job")
    async def begin_job(self, ref: JobRef) -> Started:
        """Move the job to RUNNING and read how it wants to begin."""
        return await store.begin_job(self._database, ref)

    @activity.defn(name="enter_phase")
    async def enter_phase(self, change: PhaseChange) -> None:
        """Show what the job does now."""
        await store.enter_phase(self._database, change)

    @activity.defn(name="hold_job")
    async def hold_job(self, hold: Hold) -> bool:
        """Show the job as waiting for a person; false: it was let go on already."""
        return await hold_job(self._database, hold)

    @activity.defn(name="finish_job")
    async def finish_job(self, finish: Finish) -> JobOutcome:
        """End the run in the row and in the stream."""
        return await store.finish_job(self._database, finish, full=self._full)

    @activity.defn(name="cancel_workflow")
    async def cancel_workflow(self, ref: JobRef) -> None:
        """Ask Temporal to cancel a job's workflow, for an end that nobody has asked Temporal for."""
        await activity.client().get_workflow_handle(ref.workflow_id).cancel(rpc_timeout=RPC_TIMEOUT)

    @activity.defn(name="find_unstarted")
    async def find_unstarted(self, after: UUID | None) -> ReconcilePage:
        """Compare quiet, unfinished jobs with Temporal, each by itself: one that cannot be read hides no other.

        A job without a workflow is returned, to be started. A job whose workflow has ended without
        finishing it (terminated by an operator, timed out, failed by a defect) is ended here. One whose
        cancel never reached its workflow is cancelled again.

        Args:
            after: The last job that an earlier page has looked at; None: from the beginning.
        """
        jobs = await open_jobs(self._database, quiet_seconds=QUIET_SECONDS, after=after, limit=RECONCILE_LIMIT)
        page = ReconcilePage(next=jobs[-1][0] if len(jobs) == RECONCILE_LIMIT else None)
        away = 0
        for job_id, organization in jobs:
            try:
                unstarted = await self._reconcile(await store.get_job(self._database, organization, job_id))
                away = 0
            except Exception as error:
                away = away + 1 if judge(error).retryable else 0
                if away >= MANY_AWAY:
                    # It is not the rows: a part is away, and the whole look is for later.
                    raise
                where = f"the reconciler's look at job {job_id} of {organization}"
                page.problems.append(f"{where}: {judge(error).message}; {report(error, where)}"[:MAX_PROBLEM])
                continue
            if unstarted is not None:
                page.unstarted.append(unstarted)
        page.problems = page.problems[:MAX_PROBLEMS]
        return page

    async def _reconcile(self, job: JobRow) -> JobStart | None:
        if job.state.final:
            return None
        ref = ref_of(job)
        handle = activity.client().get_workflow_handle(ref.workflow_id)
        try:
            described = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return start_of(job, full=self._full)
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
        await store.finish_job(self._database, lost)
        return None

    @activity.defn(name="sweep")
    async def sweep(self) -> int:
        """Delete what is past its retention and the rows of dropped indexes, a piece at a time.

        Returns:
            How many rows went; call again while it is not 0.
        """
        # To the end, not a piece a round: after an upgrade there is a delta for each job that was there before.
        while await compact_counters(self._database, limit=SWEEP_ROWS) >= SWEEP_ROWS:
            pass
        await sweep_counters(self._database)
        jobs = await sweep_jobs(self._database, retention_days=self._retention_days, limit=SWEEP_ROWS)
        async with self._database.transaction() as connection:
            rows = jobs + await sweep_answers(connection, days=self._answer_days, limit=SWEEP_ROWS)
            for described in job_types():
                if described.sweep is not None:
                    rows += await described.sweep(connection, self._retention_days, SWEEP_ROWS)
            return rows


async def _cause_of(handle: WorkflowHandle[Any, Any]) -> str:
    """Why a workflow has failed, as an addition to a sentence."""
    try:
        await handle.result(follow_runs=False, rpc_timeout=RPC_TIMEOUT)
    except WorkflowFailureError as error:
        cause = error.cause
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return f": {judge(cause).message}" if isinstance(cause, ApplicationError) else ""
    return ""
