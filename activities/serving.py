"""Binds the steps of batches to Temporal."""

from __future__ import annotations

from temporalio import activity

from towpath.jobs.types import JobRef, PagePlan, PageTask
from towpath.serving.service.runs import BatchRuns
from towpath.serving.types import BatchResult, CloseTask


class ServingActivities:
    """Serves what batches do.

    Args:
        runs: Carries it out.
    """

    def __init__(self, runs: BatchRuns) -> None:
        self._runs = runs

    @activity.defn(name="validate_batch")
    async def validate_batch(self, ref: JobRef) -> PagePlan:
        """Check the input file, and find the pages with lines left to ask."""
        return await self._runs.validate(ref)

    @activity.defn(name="ask_batch_page")
    async def ask_batch_page(self, task: PageTask) -> None:
        """Ask the lines of a page."""
        await self._runs.ask_page(task)

    @activity.defn(name="write_batch_files")
    async def write_batch_files(self, task: CloseTask) -> BatchResult:
        """Write the output and error files, and end the batch."""
        return await self._runs.write_files(task.ref, task.ending)
