"""Entity batches: index, then match, then resolve, so that the result depends on no order and no cut."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.entities import EntityActivities, ReindexActivities
from towpath.entities.types import ENTITY_BATCH, EntityRunState, Phase, ShareTask
from towpath.jobs.types import JobInput, JobOutcome, PageTask
from towpath.workflows.job import JobWorkflow
from towpath.workflows.options import CHUNK, LONG_RUNNING


class EntityJob(JobWorkflow[EntityRunState]):
    """What batches and re-indexes share: chunks of staged pages, and of shares of a whole index."""

    def __init__(self) -> None:
        super().__init__(EntityRunState())

    async def run_pages(self, job: JobInput, phase: Phase) -> None:
        """Run one phase over the pages of the plan."""
        pages = self.state.pages
        method = EntityActivities.index_page if phase is Phase.INDEX else EntityActivities.match_page

        async def chunk(unit: int) -> object:
            task = PageTask(ref=job.ref, page=pages[unit], pages=len(pages))
            return await workflow.execute_activity_method(method, task, **CHUNK, summary=f"{phase} page {pages[unit]}")

        await self.run_chunks(job, chunk, len(pages))

    async def run_shares(self, job: JobInput, phase: Phase) -> None:
        """Run one phase over equal shares of a whole index."""
        shares = self.state.shares
        method = ReindexActivities.copy_share if phase is Phase.COPY else ReindexActivities.match_share

        async def chunk(unit: int) -> object:
            task = ShareTask(ref=job.ref, share=unit, shares=shares)
            return await workflow.execute_activity_method(
                method, task, **CHUNK, summary=f"{phase} share {unit + 1} of {shares}"
            )

        await self.run_chunks(job, chunk, shares)


@workflow.defn(name=ENTITY_BATCH)
class EntityBatchWorkflow(EntityJob):
    """Stores a batch of entities and finds the duplicates among them and in the index."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt of a batch."""
        return await self.run_job(job, self._phases)

    async def _phases(self, job: JobInput) -> dict[str, Any] | None:
        state = self.state
        if state.phase is Phase.PLAN:
            plan = await workflow.execute_activity_method(
                EntityActivities.plan_batch, job.ref, **LONG_RUNNING, summary="plan"
            )
            state.pages = plan.pages
            if not state.pages:
                return None
            await self.enter_phase(job, Phase.INDEX, len(state.pages))
        if state.phase is Phase.INDEX:
            await self.run_pages(job, Phase.INDEX)
            await self.enter_phase(job, Phase.TRAIN)
        if state.phase is Phase.TRAIN:
            report = await workflow.execute_activity_method(
                EntityActivities.train_index, job.ref, **LONG_RUNNING, summary="train"
            )
            state.shares = report.shares
            following = Phase.REMATCH if state.shares else Phase.MATCH
            await self.enter_phase(job, following, state.shares or len(state.pages))
        if state.phase is Phase.REMATCH:
            await self.run_shares(job, Phase.REMATCH)
            await self.enter_phase(job, Phase.MATCH, len(state.pages))
        if state.phase is Phase.MATCH:
            await self.run_pages(job, Phase.MATCH)
            await self.enter_phase(job, Phase.RESOLVE)
        resolved = await workflow.execute_activity_method(
            EntityActivities.resolve_batch, job.ref, **LONG_RUNNING, summary="resolve"
        )
        return resolved if isinstance(resolved, dict) else None
