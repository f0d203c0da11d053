"""A batch: its file is checked, its lines are asked page by page, its files are written, also after a cancel."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, is_cancelled_exception

from towpath.activities.serving import ServingActivities
from towpath.core.errors import ErrorCode
from towpath.jobs.types import JobInput, JobOutcome, PageTask
from towpath.serving.types import REQUEST_BATCH, BatchResult, BatchRunState, BatchStatus, CloseTask, Ending
from towpath.workflows.job import JobWorkflow, complete
from towpath.workflows.options import CHUNK, PAID_PAGE

VALIDATE, REQUESTS, WRITE = "validate", "requests", "write"


@workflow.defn(name=REQUEST_BATCH)
class RequestBatchWorkflow(JobWorkflow[BatchRunState]):
    """Asks the requests of a batch; what was answered is written, however it ends."""

    def __init__(self) -> None:
        super().__init__(BatchRunState())
        self._running: set[asyncio.Task[None]] = set()

    @workflow.run
    async def run(self, job: JobInput) -> JobOutcome:
        """Run one attempt."""
        return await self.run_job(job, self._phases)

    async def _phases(self, job: JobInput) -> dict[str, Any]:
        try:
            await self._ask(job)
            result = await self._write(job, Ending.THROUGH)
        except workflow.ContinueAsNewError:
            raise
        except BaseException as error:
            if is_cancelled_exception(error):
                await complete(self._end(job, Ending.CANCELLED))
            elif self.state.phase == REQUESTS:
                await complete(self._end(job, Ending.FAILED))
            raise
        if result.status is BatchStatus.EXPIRED:
            message = "the completion window has passed before all requests were answered"
            raise ApplicationError(message, type=ErrorCode.DEADLINE_EXCEEDED, non_retryable=True)
        return result.model_dump(mode="json")

    async def _ask(self, job: JobInput) -> None:
        state = self.state
        if state.phase == VALIDATE:
            plan = await workflow.execute_activity_method(
                ServingActivities.validate_batch, job.ref, **CHUNK, summary="check the file"
            )
            state.pages = plan.pages
            await self.enter_phase(job, REQUESTS, len(state.pages))
        pages = state.pages

        async def ask(unit: int) -> None:
            task = PageTask(ref=job.ref, page=pages[unit], pages=len(pages))
            running = workflow.start_activity_method(
                ServingActivities.ask_batch_page, task, **PAID_PAGE, summary=f"page {pages[unit]}"
            )
            self._running.add(running)
            running.add_done_callback(self._running.discard)
            await running

        await self.run_chunks(job, ask, len(pages))

    async def _end(self, job: JobInput, ending: Ending) -> None:
        """Write the files of a batch that ends early, once the pages on their way have brought what is paid."""
        if self._running:
            await workflow.wait(set(self._running))
        await self._write(job, ending)

    async def _write(self, job: JobInput, ending: Ending) -> BatchResult:
        if ending is Ending.THROUGH:
            await self.enter_phase(job, WRITE)
        task = CloseTask(ref=job.ref, ending=ending)
        return await workflow.execute_activity_method(
            ServingActivities.write_batch_files, task, **CHUNK, summary="write the files"
        )


SERVING_WORKFLOWS: list[type] = [RequestBatchWorkflow]
