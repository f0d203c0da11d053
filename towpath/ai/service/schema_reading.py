"""Reads the schema of a database into a semantic model."""

from __future__ import annotations

from typing import Any

from towpath.ai.service.agent_context import AgentContext
from towpath.ai.store.connections import get_connection
from towpath.ai.store.models import add_model, change_model
from towpath.ai.store.tables import ModelRow
from towpath.ai.types import ModelKind, SchemaReadingParams
from towpath.jobs.store.runs import lock_run
from towpath.jobs.store.warnings import add_warnings
from towpath.jobs.types import JobRef


class SchemaReader:
    """Makes schema models of databases.

    Args:
        context: The stores and the databases.
    """

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._database = context.database

    async def read_schema(self, ref: JobRef) -> dict[str, Any]:
        """Make a schema model of what a database says of itself, or bring one up to date.

        Returns:
            The result of the job.
        """
        async with self._database.transaction() as connection:
            job = await lock_run(connection, ref)
        params = SchemaReadingParams.model_validate(job.params)
        row = await get_connection(self._database, ref.organization, params.connection_id)
        draft, warnings = await self._context.draft_content(ref, row)
        content = draft.model_dump(mode="json", by_alias=True, exclude_none=True)
        if params.refresh:
            await change_model(self._database, ref.organization, params.model_id, {"content": content})
        else:
            model = ModelRow(
                id=params.model_id,
                organization=ref.organization,
                connection_id=row.id,
                name=params.name or row.name,
                kind=ModelKind.SCHEMA,
                content=content,
            )
            await add_model(self._database, model)
        async with self._database.transaction() as connection:
            await add_warnings(connection, ref, warnings)
        return {"model_id": str(params.model_id), "views": len(content["views"])}
