"""The reconciler: proves on a schedule that every unfinished job has a live workflow, and sweeps."""

from __future__ import annotations

from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError

from towpath.activities.batches import BatchActivities
from towpath.activities.entities import IndexCareActivities
from towpath.activities.jobs import JobActivities
from towpath.activities.vectors import VectorActivities
from towpath.activities.webhooks import WebhookActivities
from towpath.jobs.starting import start_options
from towpath.jobs.types import JobStart, Reconciled
from towpath.webhooks.types import DeliveryInput
from towpath.workflows.batches import start_closing
from towpath.workflows.options import MAINTENANCE
from towpath.workflows.webhooks import start_delivery

RECONCILE_ID = "towpath/reconcile"
SWEEPS_A_RUN = 50
MAX_PROBLEM = 500


@workflow.defn(name="reconcile")
class ReconcileWorkflow:
    """Starts what was accepted and never started, ends what has lost its workflow, deletes what is old."""

    @workflow.run
    async def run(self) -> Reconciled:
        """Look once at all open jobs."""
        outcome = Reconciled()
        failed: list[FailureError] = []
        for step in (self._jobs, self._deliveries, self._sweeps, self._index, self._groups, self._batches):
            try:
                await step(outcome)
            except FailureError as error:
                # What one step cannot do must not keep the others from theirs.
                failed.append(error)
        if outcome.problems:
            workflow.set_current_details(
                "Could not be put right:\n\n" + "\n".join(f"- {problem}" for problem in outcome.problems)
            )
        if failed:
            raise failed[0]
        return outcome

    async def _jobs(self, outcome: Reconciled) -> None:
        after: UUID | None = None
        while True:
            page = await workflow.execute_activity_method(JobActivities.find_unstarted, after, **MAINTENANCE)
            outcome.problems += page.problems
            for start in page.unstarted:
                await self._start(start, outcome)
            after = page.next
            if after is None:
                return

    async def _deliveries(self, outcome: Reconciled) -> None:
        for ref in await workflow.execute_activity_method(WebhookActivities.find_overdue, **MAINTENANCE):
            outcome.started += await start_delivery(DeliveryInput(ref=ref))

    async def _sweeps(self, _: Reconciled) -> None:
        for _round in range(SWEEPS_A_RUN):
            if not await workflow.execute_activity_method(JobActivities.sweep, **MAINTENANCE):
                break

    async def _index(self, _: Reconciled) -> None:
        for _round in range(SWEEPS_A_RUN):
            if not await workflow.execute_activity_method(VectorActivities.tend_index, **MAINTENANCE):
                break

    async def _batches(self, outcome: Reconciled) -> None:
        # Histories from before there were batches have no such step.
        if workflow.patched("close batches"):
            for closing in await workflow.execute_activity_method(BatchActivities.find_unclosed, **MAINTENANCE):
                outcome.started += await start_closing(closing)

    async def _groups(self, outcome: Reconciled) -> None:
        tended = await workflow.execute_activity_method(IndexCareActivities.tend_groups, **MAINTENANCE)
        for ref in tended.deliveries:
            outcome.started += await start_delivery(DeliveryInput(ref=ref))
        for start in tended.starts:
            await self._start(start, outcome)

    @staticmethod
    async def _start(start: JobStart, outcome: Reconciled) -> None:
        try:
            await workflow.start_child_workflow(
                start.input.ref.kind,
                start.input,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                **start_options(start),
            )
        except WorkflowAlreadyStartedError:
            return
        except FailureError as error:
            outcome.problems.append(f"{start.input.ref.workflow_id} cannot be started: {error}"[:MAX_PROBLEM])
            return
        outcome.started += 1
