"""Jobs whose calls of language models wait for batches: pages run to collect calls, then the job waits, then they run
again, until none waits any more.

While a job waits, a timer of the server does; no worker is held.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from towpath.activities.batches import BatchActivities
from towpath.core.queues import Queue
from towpath.jobs import search_attributes as attributes
from towpath.jobs.types import CollectingRef, Finish, JobInput, JobOutcome, PageTask
from towpath.llm.batches.types import BATCH_CLOSING, BatchProgress, BatchRunState, BatchTask, ClosingInput
from towpath.workflows.job import JobWorkflow
from towpath.workflows.options import LLM_CALL

AWAIT = "await_answers"
GROWTH = 1.5
State = TypeVar("State", bound=BatchRunState)
Result = TypeVar("Result")
RunPage = Callable[[PageTask], Awaitable[object]]


class BatchingWorkflow(JobWorkflow[State]):
    """A job over pages whose calls may wait for batches."""

    async def run_pages(self, job: JobInput, phase: str, run: RunPage) -> None:
        """Run the pages of the state until none of them waits for an answer.

        Args:
            job: The workflow's input.
            phase: The phase in which pages run; it has been entered.
            run: Runs a page.
        """
        state = self.state
        if state.phase == phase and not state.next and not state.collects:
            state.collects = self._may_wait(job)
        while True:
            if state.phase == phase:
                await self.run_chunks(job, self._chunk(job, run), len(state.pages))
                if not state.collects or state.batch is None:
                    return
                state.wait = state.batch.first_wait
                await self.enter_phase(job, AWAIT)
            if not await self._await_answers(job):
                return
            plan = await workflow.execute_activity_method(
                BatchActivities.plan_round, job.ref, **LLM_CALL, summary="pages that wait"
            )
            state.pages = plan.pages
            if not state.pages:
                return
            state.collects = self._may_wait(job)
            await self.enter_phase(job, phase, len(state.pages))

    async def run_step(
        self,
        job: JobInput,
        phase: str,
        run: Callable[[CollectingRef], Awaitable[Result]],
        awaits: Callable[[Result], bool],
    ) -> Result:
        """Run a step of a job without pages until it does not wait for an answer.

        Args:
            job: The workflow's input.
            phase: The phase of the step; it has been entered.
            run: Runs the step.
            awaits: Whether what it has returned says that it waits.
        """
        state = self.state
        while True:
            if state.phase == phase:
                collects = self._may_wait(job)
                result = await run(CollectingRef(**job.ref.model_dump(), collects=collects))
                if state.batch is None or not awaits(result):
                    return result
                state.wait = state.batch.first_wait
                await self.enter_phase(job, AWAIT)
            await self._await_answers(job)
            await self.enter_phase(job, phase)

    def _chunk(self, job: JobInput, run: RunPage) -> Callable[[int], Awaitable[object]]:
        state = self.state

        async def chunk(unit: int) -> object:
            pages = state.pages
            return await run(PageTask(ref=job.ref, page=pages[unit], pages=len(pages), collects=state.collects))

        return chunk

    def _may_wait(self, job: JobInput) -> bool:
        """Return whether the deadline leaves time to wait for batches."""
        batch = self.state.batch
        return batch is not None and (job.deadline is None or self._left(job) > 0)

    def _left(self, job: JobInput) -> float:
        """Return how many seconds there are before what is missing must be asked live."""
        batch = self.state.batch
        if batch is None or job.deadline is None:
            return float("inf")
        return (job.deadline - workflow.now()).total_seconds() - batch.live_seconds

    async def _await_answers(self, job: JobInput) -> bool:
        """Submit what was collected, and wait until every batch has ended, or until the deadline is near.

        Returns:
            Whether there was anything to wait for since the last round: else the pages have run to their end.
        """
        batch = self.state.batch
        if batch is None:
            return False
        progress = await self._submit(job)
        if not progress.waits and progress.submitted == self.state.submitted:
            return False
        while progress.waits:
            wait = min(self.state.wait, max(self._left(job), 1.0))
            await workflow.sleep(wait, summary="before the next look at the batches")
            await workflow.wait_condition(lambda: not self.paused)
            closing = not self._may_wait(job)
            if closing and self._left(job) < -batch.live_seconds / 2:
                # Whatever comes later is booked when it comes; what is missing is asked now.
                break
            task = BatchTask(ref=job.ref, closing=closing)
            progress = await workflow.execute_activity_method(
                BatchActivities.look_at_batches, task, **LLM_CALL, summary="look at the batches"
            )
            self._show_progress(progress)
            if closing and not progress.open:
                break
            if progress.unsent and not closing:
                progress = await self._submit(job)
            self.state.wait = min(self.state.wait * GROWTH, batch.longest_wait)
            if workflow.info().is_continue_as_new_suggested():
                self.continue_as_new(job)
        self.state.submitted = progress.submitted
        return True

    async def _submit(self, job: JobInput) -> BatchProgress:
        await workflow.wait_condition(lambda: not self.paused)
        progress = await workflow.execute_activity_method(
            BatchActivities.submit_batches, BatchTask(ref=job.ref), **LLM_CALL, summary="submit batches"
        )
        self._show_progress(progress)
        return progress

    def _show_progress(self, progress: BatchProgress) -> None:
        self.show_phase(
            f"waits for batches: {progress.answered} of {progress.submitted} answered, {progress.failed} not, "
            f"{progress.open} batches open"
        )

    async def _finish(self, job: JobInput, finish: Finish) -> JobOutcome:
        outcome = await super()._finish(job, finish)
        if self.state.batch is not None:
            await start_closing(ClosingInput(ref=job.ref, plan=self.state.batch))
        return outcome


@workflow.defn(name=BATCH_CLOSING)
class BatchClosingWorkflow:
    """Cancels what a job that has ended still has with providers, and keeps and books what was answered."""

    @workflow.run
    async def run(self, closing: ClosingInput) -> BatchProgress:
        """Look until every batch is closed."""
        wait = closing.wait or closing.plan.first_wait
        while True:
            task = BatchTask(ref=closing.ref, closing=True, ended=True)
            progress = await workflow.execute_activity_method(
                BatchActivities.look_at_batches, task, **LLM_CALL, summary="close the batches"
            )
            if not progress.open:
                return progress
            workflow.set_current_details(f"{progress.open} batches are being cancelled")
            await workflow.sleep(wait, summary="before the next look at the batches")
            wait = min(wait * GROWTH, closing.plan.longest_wait)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(closing.model_copy(update={"wait": wait}))


async def start_closing(closing: ClosingInput) -> bool:
    """Start the closing of a job's batches from within a workflow; one that runs is left alone.

    Returns:
        Whether it was started.
    """
    ref = closing.ref
    try:
        await workflow.start_child_workflow(
            BatchClosingWorkflow.run,
            closing,
            id=f"{ref.organization}/{BATCH_CLOSING}/{ref.job_id}.{ref.attempt}",
            task_queue=Queue.ENGINE,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(attributes.ORGANIZATION, ref.organization),
                    SearchAttributePair(attributes.KIND, BATCH_CLOSING),
                ]
            ),
            static_summary="closes the batches of a job that has ended",
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


BATCH_WORKFLOWS: list[type] = [BatchClosingWorkflow]
