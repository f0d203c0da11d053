"""Re-index and tuning: builds the next generation of an index beside the live one, then swaps."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.entities import ReindexActivities
from towpath.entities.types import ENTITY_REINDEX, ENTITY_SETTLE, Phase
from towpath.jobs.types import JobInput, JobOutcome
from towpath.workflows.entities import EntityBatchWorkflow, EntityJob
from towpath.workflows.options import LONG_RUNNING


@workflow.defn(name=ENTITY_REINDEX)
class EntityReindexWorkflow(EntityJob):
    """Rebuilds an index under a new configuration, or with a model tuned by labels."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt of a re-index."""
        return await self.run_job(job, self._phases)

    async def _phases(self, job: JobInput) -> dict[str, Any] | None:
        state = self.state
        if state.phase is Phase.PLAN:
            plan = await workflow.execute_activity_method(
                ReindexActivities.plan_reindex, job.ref, **LONG_RUNNING, summary="plan"
            )
            state.shares = plan.shares
            await self.enter_phase(job, Phase.COPY, state.shares)
        if state.phase is Phase.COPY:
            await self.run_shares(job, Phase.COPY)
            await self.enter_phase(job, Phase.TRAIN)
        if state.phase is Phase.TRAIN:
            await workflow.execute_activity_method(
                ReindexActivities.train_building, job.ref, **LONG_RUNNING, summary="train"
            )
            await self.enter_phase(job, Phase.MATCH, state.shares)
        if state.phase is Phase.MATCH:
            await self.run_shares(job, Phase.MATCH)
            await self.enter_phase(job, Phase.RESOLVE)
        if state.phase is Phase.RESOLVE:
            await workflow.execute_activity_method(
                ReindexActivities.resolve_building, job.ref, **LONG_RUNNING, summary="resolve"
            )
            await self.enter_phase(job, Phase.SWAP)
        return await workflow.execute_activity_method(
            ReindexActivities.swap_index, job.ref, **LONG_RUNNING, summary="swap"
        )


@workflow.defn(name=ENTITY_SETTLE)
class EntitySettleWorkflow(EntityReindexWorkflow):
    """Trains and matches an index anew that has changed and been left alone: nobody has asked for it."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.run_job(job, self._phases)


ENTITY_WORKFLOWS: list[type] = [EntityBatchWorkflow, EntityReindexWorkflow, EntitySettleWorkflow]
