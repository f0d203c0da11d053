"""Re-index and tuning: builds the next generation of an index beside the live one, then swaps."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.entity_reindex import ReindexActivities
from towpath.entities.params import Phase
from towpath.jobs.types import JobInput, JobKind, JobOutcome
from towpath.workflows.entities import EntityJob
from towpath.workflows.options import WHOLE


@workflow.defn(name=JobKind.ENTITY_REINDEX)
class EntityReindexWorkflow(EntityJob):
    """Rebuilds an index under a new configuration, or with a model tuned by labels."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt of a re-index."""
        return await self.conduct(job, self._phases)

    async def _phases(self, job: JobInput) -> dict[str, Any] | None:
        state = self.state
        if state.phase is Phase.PLAN:
            plan = await workflow.execute_activity_method(
                ReindexActivities.plan_reindex, job.ref, **WHOLE, summary="plan"
            )
            state.shares = plan.shares
            await self.go_to(job, Phase.COPY, state.shares)
        if state.phase is Phase.COPY:
            await self.through_shares(job, Phase.COPY)
            await self.go_to(job, Phase.TRAIN)
        if state.phase is Phase.TRAIN:
            await workflow.execute_activity_method(ReindexActivities.train_building, job.ref, **WHOLE, summary="train")
            await self.go_to(job, Phase.MATCH, state.shares)
        if state.phase is Phase.MATCH:
            await self.through_shares(job, Phase.MATCH)
            await self.go_to(job, Phase.RESOLVE)
        if state.phase is Phase.RESOLVE:
            await workflow.execute_activity_method(
                ReindexActivities.resolve_building, job.ref, **WHOLE, summary="resolve"
            )
            await self.go_to(job, Phase.SWAP)
        return await workflow.execute_activity_method(ReindexActivities.swap_index, job.ref, **WHOLE, summary="swap")
