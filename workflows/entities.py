"""Entity batches: index, then match, then resolve, so that the result depends on no order and no cut."""

from __future__ import annotations

from temporalio import workflow

from activities.entities import EntityActivities
from activities.entity_reindex import ReindexActivities
from contracts.entity_jobs import EntityJobState, PageTask, Phase, ShareTask
from contracts.jobs import JobInput, JobKind, JobOutcome
from workflows._job import JobWorkflow
from workflows._options import CHUNK, WHOLE


class EntityJob(JobWorkflow):
    """What batches and re-indexes share: the state, and how a phase survives continue-as-new."""

    def __init__(self) -> None:
        super().__init__()
        self.state = EntityJobState()

    def take_up(self, job: JobInput) -> None:
        """Go on from the state that the run before handed over."""
        if job.state is not None:
            self.state = EntityJobState.model_validate(job.state)
            self.paused = self.paused or self.state.paused
            self.window = self.state.window

    async def go_to(self, job: JobInput, phase: Phase, units: int = 0) -> None:
        """Begin a phase."""
        self.state.phase, self.state.next = phase, 0
        await self.enter(job, phase, units)

    def hand_over(self, job: JobInput, following: int) -> None:
        """Continue as new from the unit `following`."""
        self.state.next, self.state.paused, self.state.window = following, self.paused, self.window
        workflow.continue_as_new(job.model_copy(update={"state": self.state.model_dump(mode="json")}))

    async def through_pages(self, job: JobInput, phase: Phase) -> None:
        """Run one phase over the pages of the plan."""
        pages = self.state.pages
        method = EntityActivities.index_page if phase is Phase.INDEX else EntityActivities.match_page

        async def chunk(unit: int) -> object:
            task = PageTask(ref=job.ref, page=pages[unit], pages=len(pages))
            return await workflow.execute_activity_method(method, task, **CHUNK, summary=f"{phase} page {pages[unit]}")

        following = await self.slide(chunk, len(pages), self.state.next)
        if following < len(pages):
            self.hand_over(job, following)

    async def through_shares(self, job: JobInput, phase: Phase) -> None:
        """Run one phase over equal shares of a whole index."""
        shares = self.state.shares
        method = ReindexActivities.copy_share if phase is Phase.COPY else ReindexActivities.match_share

        async def chunk(unit: int) -> object:
            task = ShareTask(ref=job.ref, share=unit, shares=shares)
            return await workflow.execute_activity_method(
                method, task, **CHUNK, summary=f"{phase} share {unit + 1} of {shares}"
            )

        following = await self.slide(chunk, shares, self.state.next)
        if following < shares:
            self.hand_over(job, following)


@workflow.defn(name=JobKind.ENTITY_BATCH)
class EntityBatchWorkflow(EntityJob):
    """Stores a batch of entities and finds the duplicates among them and in the index."""

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt of a batch."""
        return await self.conduct(job, self._phases)

    async def _phases(self, job: JobInput) -> None:
        self.take_up(job)
        state = self.state
        if state.phase is Phase.PLAN:
            plan = await workflow.execute_activity_method(EntityActivities.plan_batch, job.ref, **WHOLE, summary="plan")
            state.pages = plan.pages
            if not state.pages:
                return
            await self.go_to(job, Phase.INDEX, len(state.pages))
        if state.phase is Phase.INDEX:
            await self.through_pages(job, Phase.INDEX)
            await self.go_to(job, Phase.TRAIN)
        if state.phase is Phase.TRAIN:
            report = await workflow.execute_activity_method(
                EntityActivities.train_index, job.ref, **WHOLE, summary="train"
            )
            state.shares = report.shares
            following = Phase.REMATCH if state.shares else Phase.MATCH
            await self.go_to(job, following, state.shares or len(state.pages))
        if state.phase is Phase.REMATCH:
            await self.through_shares(job, Phase.REMATCH)
            await self.go_to(job, Phase.MATCH, len(state.pages))
        if state.phase is Phase.MATCH:
            await self.through_pages(job, Phase.MATCH)
            await self.go_to(job, Phase.RESOLVE)
        await workflow.execute_activity_method(EntityActivities.resolve_batch, job.ref, **WHOLE, summary="resolve")
