"""Enrichment as activities: plan, check before spending, pages of entities."""

from __future__ import annotations

from temporalio import activity

from towpath.db.engine import Database
from towpath.enrichment.service.runs import EnrichmentRuns
from towpath.enrichment.types import HoldCheck
from towpath.jobs.types import JobRef, PagePlan, PageTask
from towpath.llm.gateway import LlmGateway


class EnrichmentActivities:
    """The steps of enrichments.

    Args:
        database: Jobs, pages, records, paid answers.
        llm_gateway: The language models.
    """

    def __init__(self, database: Database, llm_gateway: LlmGateway) -> None:
        self._runs = EnrichmentRuns(database, llm_gateway)

    @activity.defn(name="plan_enrichment")
    async def plan_enrichment(self, ref: JobRef) -> PagePlan:
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
