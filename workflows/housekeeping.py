"""The reconciler: proves on a schedule that every unfinished job has a live workflow, and sweeps."""

from __future__ import annotations

from temporalio import workflow
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.jobs import JobActivities
from activities.vectors import VectorActivities
from activities.webhooks import WebhookActivities
from contracts.webhooks import DeliveryInput
from workflows._options import HOUSE
from workflows.webhooks import start_delivery

RECONCILE_ID = "towpath/reconcile"
SWEEPS_A_RUN = 50


@workflow.defn(name="reconcile")
class ReconcileWorkflow:
    """Starts what was accepted and never started, ends what has lost its workflow, deletes what is old."""

    @workflow.run
    async def run(self) -> int:
        """Look once.

        Returns:
            How many jobs and deliveries were started.
        """
        missing = await workflow.execute_activity_method(JobActivities.find_unstarted, **HOUSE)
        started = 0
        for job in missing:
            try:
                await workflow.start_child_workflow(
                    job.kind.value,
                    job.input,
                    id=job.input.ref.workflow_id,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                    priority=Priority(fairness_key=job.input.ref.organization[:64]),
                    static_summary=f"{job.kind.value}, started by the reconciler",
                )
                started += 1
            except WorkflowAlreadyStartedError:
                continue
        for ref in await workflow.execute_activity_method(WebhookActivities.find_overdue, **HOUSE):
            started += await start_delivery(DeliveryInput(ref=ref))
        for _ in range(SWEEPS_A_RUN):
            if not await workflow.execute_activity_method(JobActivities.sweep, **HOUSE):
                break
        for _ in range(SWEEPS_A_RUN):
            if not await workflow.execute_activity_method(VectorActivities.tend_index, **HOUSE):
                break
        return started
