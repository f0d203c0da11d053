"""What every job workflow does to its row, and the housekeeping of all jobs."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from temporalio import activity

from towpath.jobs.service.housekeeping import Housekeeping
from towpath.jobs.service.runs import JobRuns
from towpath.jobs.types import Finish, Hold, JobOutcome, JobRef, PhaseChange, ReconcilePage, Started

RPC_TIMEOUT = timedelta(seconds=5)


class JobActivities:
    """Small projections of a job, and housekeeping.

    Args:
        runs: Writes what a run does into its job's row.
        housekeeping: Looks after all jobs.
    """

    def __init__(self, runs: JobRuns, housekeeping: Housekeeping) -> None:
        self._runs = runs
        self._housekeeping = housekeeping

    @activity.defn(name="begin_job")
    async def begin_job(self, ref: JobRef) -> Started:
        """Move the job to RUNNING and read how it is to begin."""
        return await self._runs.begin(ref)

    @activity.defn(name="enter_phase")
    async def enter_phase(self, change: PhaseChange) -> None:
        """Show what the job does now."""
        await self._runs.enter_phase(change)

    @activity.defn(name="hold_job")
    async def hold_job(self, hold: Hold) -> bool:
        """Show the job as waiting for a person; false: it was continued already."""
        return await self._runs.hold(hold)

    @activity.defn(name="finish_job")
    async def finish_job(self, finish: Finish) -> JobOutcome:
        """End the run in the row and in the stream."""
        return await self._runs.finish(finish)

    @activity.defn(name="cancel_workflow")
    async def cancel_workflow(self, ref: JobRef) -> None:
        """Ask Temporal to cancel a job's workflow, for an end that nobody has asked Temporal for."""
        await activity.client().get_workflow_handle(ref.workflow_id).cancel(rpc_timeout=RPC_TIMEOUT)

    @activity.defn(name="find_unstarted")
    async def find_unstarted(self, after: UUID | None) -> ReconcilePage:
        """Compare a page of quiet, unfinished jobs with Temporal, and return those that are to be started.

        Args:
            after: The last job that an earlier page has looked at; None: from the beginning.
        """
        return await self._housekeeping.reconcile(activity.client().get_workflow_handle, after)

    @activity.defn(name="sweep")
    async def sweep(self) -> int:
        """Delete what is past its retention, a piece at a time.

        Returns:
            How many rows went; call again while it is not 0.
        """
        return await self._housekeeping.sweep()
