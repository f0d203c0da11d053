"""The judge of an index: picks doubtful pairs, asks a language model about them page by page, decides anew."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from towpath.activities.entities import JudgeActivities
from towpath.entities.judge_types import JudgeRunState
from towpath.entities.types import ENTITY_JUDGE, Phase
from towpath.jobs.types import JobInput, JobOutcome, PageTask
from towpath.workflows.batches import AWAIT, BatchingWorkflow
from towpath.workflows.options import LLM_CALL, LONG_RUNNING


@workflow.defn(name=ENTITY_JUDGE)
class EntityJudgeWorkflow(BatchingWorkflow[JudgeRunState]):
    """Has a language model judge the doubtful pairs of an index."""

    def __init__(self) -> None:
        super().__init__(JudgeRunState())

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt of a judge."""
        return await self.run_job(job, self._phases)

    async def _phases(self, job: JobInput) -> dict[str, Any] | None:
        state = self.state
        if state.phase is Phase.PLAN:
            plan = await workflow.execute_activity_method(
                JudgeActivities.plan_judging, job.ref, **LONG_RUNNING, summary="plan"
            )
            state.pages, state.batch = plan.pages, plan.batch
            await self.enter_phase(job, Phase.JUDGE, len(state.pages))
        if state.phase in {Phase.JUDGE, AWAIT}:
            await self._judge_pages(job)
            await self.enter_phase(job, Phase.RESOLVE)
        return await workflow.execute_activity_method(
            JudgeActivities.settle_judging, job.ref, **LONG_RUNNING, summary="resolve"
        )

    async def _judge_pages(self, job: JobInput) -> None:
        async def run(task: PageTask) -> object:
            return await workflow.execute_activity_method(
                JudgeActivities.judge_page, task, **LLM_CALL, summary=f"judge page {task.page}"
            )

        await self.run_pages(job, Phase.JUDGE, run)


JUDGE_WORKFLOWS: list[type] = [EntityJudgeWorkflow]
