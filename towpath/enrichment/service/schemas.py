"""Saved schemas: what is checked before one is saved, changed or deleted."""

from __future__ import annotations

from uuid import UUID

from towpath.core.errors import ConflictError
from towpath.enrichment.domain.content import Content
from towpath.enrichment.domain.schema import read_content
from towpath.enrichment.service.starts import EnrichmentParts
from towpath.enrichment.store import schemas as store
from towpath.enrichment.store.tables import SchemaRow
from towpath.enrichment.types import SchemaPatch
from towpath.jobs.store.jobs import is_schema_in_use


async def change_schema(
    parts: EnrichmentParts, organization: str, schema_id: UUID, body: SchemaPatch
) -> tuple[SchemaRow, Content]:
    """Change a schema; content that differs is its next version.

    Returns:
        The schema, and its newest content.

    Raises:
        BadInputError: The content is not valid.
        NotFoundError: No such schema.
    """
    content = None
    if body.schema_content is not None:
        content = await parts.checks.run(organization, read_content, body.schema_content)
    row = await store.update_schema(
        parts.database,
        organization,
        schema_id,
        content=content,
        name=body.name,
        tags=body.tags,
        is_pinned=body.is_pinned,
    )
    _, version = await store.get_schema(parts.database, organization, schema_id)
    return row, version.content


async def delete_schema(parts: EnrichmentParts, organization: str, schema_id: UUID) -> SchemaRow:
    """Delete a schema; it can be restored.

    Raises:
        NotFoundError: No such schema.
        ConflictError: A running job uses it.
    """
    await store.get_schema(parts.database, organization, schema_id)
    if await is_schema_in_use(parts.database, organization, schema_id):
        raise ConflictError("the schema is in use by a running job")
    return await store.set_deleted(parts.database, organization, schema_id, deleted=True)
