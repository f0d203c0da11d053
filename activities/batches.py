"""The activities of jobs whose calls wait for batches; what each does, `towpath.llm.batches.service` says."""

from __future__ import annotations

from temporalio import activity

from towpath.jobs.types import JobRef, PagePlan
from towpath.llm.batches.service import BatchService
from towpath.llm.batches.types import BatchProgress, BatchTask, ClosingInput


class BatchActivities:
    """The steps between two rounds of pages.

    Args:
        batches: Does the work.
    """

    def __init__(self, batches: BatchService) -> None:
        self._batches = batches

    @activity.defn(name="submit_batches")
    async def submit_batches(self, task: BatchTask) -> BatchProgress:
        """Put collected calls into batches, and send them."""
        return await self._batches.submit(task.ref, again=activity.info().attempt > 1)

    @activity.defn(name="look_at_batches")
    async def look_at_batches(self, task: BatchTask) -> BatchProgress:
        """Look how far batches are, and fetch the results of those that have ended."""
        return await self._batches.look(task.ref, closing=task.closing, ended=task.ended)

    @activity.defn(name="find_unclosed")
    async def find_unclosed(self) -> list[ClosingInput]:
        """Find jobs that have ended, and whose batches nobody closes."""
        return await self._batches.find_unclosed()

    @activity.defn(name="plan_round")
    async def plan_round(self, ref: JobRef) -> PagePlan:
        """Find the pages that have waited for answers."""
        return await self._batches.plan_round(ref)
