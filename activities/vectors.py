"""The activities of upsertion and deletion tasks. What each does, `towpath.vectors.service.chunks` says."""

from __future__ import annotations

from temporalio import activity

from towpath.jobs.types import JobRef, PagePlan, PageTask, Progress
from towpath.vectors.service.chunks import TaskChunks


class VectorActivities:
    """The effects of tasks.

    Args:
        chunks: Does the work.
    """

    def __init__(self, chunks: TaskChunks) -> None:
        self._chunks = chunks

    @activity.defn(name="plan_task")
    async def plan_task(self, ref: JobRef) -> PagePlan:
        """Find the pages with work left."""
        return await self._chunks.plan(ref)

    @activity.defn(name="upsert_page")
    async def upsert_page(self, task: PageTask) -> Progress:
        """Embed and store a page's items."""
        return await self._chunks.upsert_page(task)

    @activity.defn(name="delete_page")
    async def delete_page(self, task: PageTask) -> Progress:
        """Delete a page's objects."""
        return await self._chunks.delete_page(task)

    @activity.defn(name="tend_index")
    async def tend_index(self) -> int:
        """Keep the index in order.

        Returns:
            How many versions went: call again while it is not 0.
        """
        return await self._chunks.tend_index()
