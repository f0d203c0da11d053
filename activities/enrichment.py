"""The activities of enrichments and of the small jobs around them.

What each does, `towpath.enrichment.service.runs` and `towpath.enrichment.service.tasks` say.
"""

from __future__ import annotations

from typing import Any

from temporalio import activity

from towpath.enrichment.service.runs import EnrichmentRuns
from towpath.enrichment.service.tasks import LlmTasks
from towpath.enrichment.types import EnrichmentPlan, HoldCheck
from towpath.jobs.types import JobRef, PageTask


class EnrichmentActivities:
    """The steps of enrichments.

    Args:
        runs: Does the work.
    """

    def __init__(self, runs: EnrichmentRuns) -> None:
        self._runs = runs

    @activity.defn(name="plan_enrichment")
    async def plan_enrichment(self, ref: JobRef) -> EnrichmentPlan:
        """Find the pages with work left."""
        return await self._runs.plan(ref)

    @activity.defn(name="check_type")
    async def check_type(self, ref: JobRef) -> HoldCheck:
        """Check whether the one entity is what the schema is for."""
        return await self._runs.check_type(ref, attempt=activity.info().attempt)

    @activity.defn(name="enrich_page")
    async def enrich_page(self, task: PageTask) -> None:
        """Enrich a page's entities."""
        await self._runs.enrich_page(task, attempt=activity.info().attempt)


class LlmTaskActivities:
    """The jobs around enrichment that are one activity each: schemas, repeats of domains, fusions.

    Args:
        tasks: Does the work.
    """

    def __init__(self, tasks: LlmTasks) -> None:
        self._tasks = tasks

    @activity.defn(name="generate_schema")
    async def generate_schema(self, ref: JobRef) -> dict[str, Any]:
        """Make a schema of samples."""
        return await self._tasks.generate_schema(ref)

    @activity.defn(name="edit_schema")
    async def edit_schema(self, ref: JobRef) -> dict[str, Any]:
        """Change a schema by an instruction."""
        return await self._tasks.edit_schema(ref)

    @activity.defn(name="retry_domains")
    async def retry_domains(self, ref: JobRef) -> dict[str, Any]:
        """Ask once more for the domains of a record that failed."""
        return await self._tasks.retry_domains(ref)

    @activity.defn(name="merge_records")
    async def merge_records(self, ref: JobRef) -> dict[str, Any]:
        """Fuse records of one schema into a new one."""
        return await self._tasks.merge_records(ref)
