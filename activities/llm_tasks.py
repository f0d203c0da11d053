"""The small jobs around enrichment as activities: schemas made and changed, domains asked again, records fused."""

from __future__ import annotations

from typing import Any

from temporalio import activity

from towpath.db.engine import Database
from towpath.enrichment.service.tasks import LlmTasks
from towpath.jobs.types import JobRef
from towpath.llm.gateway import LlmGateway


class LlmTaskActivities:
    """Jobs that are one activity each.

    Args:
        database: Jobs, schemas, records.
        llm_gateway: The language models.
    """

    def __init__(self, database: Database, llm_gateway: LlmGateway) -> None:
        self._tasks = LlmTasks(database, llm_gateway)

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
