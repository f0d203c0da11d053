"""Saved schemas: checked before one is saved, changed or deleted; shown ready for JSON."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from towpath.core.errors import ConflictError
from towpath.enrichment.bodies import SchemaCreate, SchemaPatch
from towpath.enrichment.domain.content import Content
from towpath.enrichment.domain.schema import read_content
from towpath.enrichment.service.starts import EnrichmentParts
from towpath.enrichment.store import schemas as store
from towpath.enrichment.views import schema_row_view, schema_version_view, schema_view
from towpath.jobs.store.jobs import is_schema_in_use


async def list_schemas(parts: EnrichmentParts, organization: str) -> dict[str, Any]:
    """Return all schemas, pinned first, then by name."""
    rows = await store.list_schemas(parts.database, organization)
    return {"schemas": [schema_row_view(row) for row in rows], "total": len(rows)}


async def read_schema(parts: EnrichmentParts, organization: str, schema_id: UUID) -> dict[str, Any]:
    """Return a schema with its content and its samples.

    Raises:
        NotFoundError: No such schema.
    """
    row, version = await store.get_schema(parts.database, organization, schema_id)
    return {**schema_view(row, version.content), "entity_samples": version.entity_samples}


async def list_versions(parts: EnrichmentParts, organization: str, schema_id: UUID) -> dict[str, Any]:
    """Return every version of a schema, newest first.

    Raises:
        NotFoundError: No such schema.
    """
    rows = await store.list_versions(parts.database, organization, schema_id)
    return {"versions": [schema_version_view(row) for row in rows], "total": len(rows)}


async def check_content(parts: EnrichmentParts, organization: str, body: SchemaCreate) -> Content:
    """Return the content of a new schema as it is saved: that of this API, also where a plain JSON Schema came.

    Raises:
        BadInputError: It is not valid.
    """
    return await parts.checks.run(organization, read_content, body.schema_content)


async def create_schema(
    parts: EnrichmentParts, organization: str, body: SchemaCreate, content: Content
) -> dict[str, Any]:
    """Save a schema whose content was checked; a taken name gets a number."""
    row = await store.create_schema(
        parts.database,
        organization,
        name=body.name,
        content=content,
        tags=body.tags,
        is_pinned=body.is_pinned,
        samples=body.entity_samples,
    )
    return schema_view(row, content)


async def change_schema(
    parts: EnrichmentParts, organization: str, schema_id: UUID, body: SchemaPatch
) -> dict[str, Any]:
    """Change a schema; content that differs is its next version.

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
    return schema_view(row, version.content)


async def delete_schema(parts: EnrichmentParts, organization: str, schema_id: UUID) -> dict[str, Any]:
    """Delete a schema; it can be restored.

    Raises:
        NotFoundError: No such schema.
        ConflictError: A running job uses it.
    """
    await store.get_schema(parts.database, organization, schema_id)
    if await is_schema_in_use(parts.database, organization, schema_id):
        raise ConflictError("the schema is in use by a running job")
    row = await store.set_deleted(parts.database, organization, schema_id, deleted=True)
    return {"id": str(row.id), "deleted": True}


async def restore_schema(parts: EnrichmentParts, organization: str, schema_id: UUID) -> dict[str, Any]:
    """Restore a deleted schema with all of its versions; a name that is taken by now gets a number.

    Raises:
        NotFoundError: No such schema.
    """
    return schema_row_view(await store.set_deleted(parts.database, organization, schema_id, deleted=False))
