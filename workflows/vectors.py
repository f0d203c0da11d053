"""Upsertion and deletion tasks: chunks over staged pages, in any order, because the stores keep the order."""

from __future__ import annotations

from temporalio import workflow

from towpath.activities.vectors import VectorActivities
from towpath.jobs.types import JobInput, JobOutcome, PageTask, RunState
from towpath.vectors.types import VECTOR_DELETION, VECTOR_UPSERTION, Phase
from towpath.workflows.job import JobWorkflow
from towpath.workflows.options import CHUNK


class VectorTaskWorkflow(JobWorkflow[RunState]):
    """What both kinds of task share."""

    phase: Phase

    def __init__(self) -> None:
        super().__init__(RunState())

    async def _phases(self, job: JobInput) -> None:
        state = self.state
        if state.phase == Phase.PLAN:
            plan = await workflow.execute_activity_method(VectorActivities.plan_task, job.ref, **CHUNK, summary="plan")
            state.pages = plan.pages
            if not state.pages:
                return
            await self.enter_phase(job, self.phase, len(state.pages))
        method = VectorActivities.upsert_page if self.phase is Phase.EMBED else VectorActivities.delete_page
        pages = state.pages

        async def chunk(unit: int) -> object:
            task = PageTask(ref=job.ref, page=pages[unit], pages=len(pages))
            summary = f"{self.phase} page {pages[unit]}"
            return await workflow.execute_activity_method(method, task, **CHUNK, summary=summary)

        await self.run_chunks(job, chunk, len(pages))


@workflow.defn(name=VECTOR_UPSERTION)
class VectorUpsertionWorkflow(VectorTaskWorkflow):
    """Embeds items and stores them in a collection."""

    phase = Phase.EMBED

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt of an upsertion task."""
        return await self.run_job(job, self._phases)


@workflow.defn(name=VECTOR_DELETION)
class VectorDeletionWorkflow(VectorTaskWorkflow):
    """Deletes objects from a collection."""

    phase = Phase.DELETE

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt of a deletion task."""
        return await self.run_job(job, self._phases)


VECTOR_WORKFLOWS: list[type] = [VectorUpsertionWorkflow, VectorDeletionWorkflow]
