"""Templates and classifications: settings that a start names instead of spelling them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from psycopg.rows import class_row
from psycopg.types.json import Json

from towpath.core.errors import NotFoundError
from towpath.db.engine import Database
from towpath.extraction.types import Classification, Template

TEMPLATE = "id, name, schema, options, created_at, updated_at"


async def put_template(
    database: Database,
    organization: str,
    *,
    name: str,
    schema: dict[str, Any] | None,
    options: dict[str, Any],
    template_id: UUID | None = None,
) -> Template:
    """Store a template, or replace all that one says.

    Raises:
        NotFoundError: The template to change is not there.
    """
    shape = None if schema is None else Json(schema)
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(Template)) as cursor:
        if template_id is None:
            await cursor.execute(
                f"INSERT INTO templates (id, organization, name, schema, options) VALUES (%s, %s, %s, %s, %s)"
                f" RETURNING {TEMPLATE}",
                (uuid4(), organization, name, shape, Json(options)),
            )
        else:
            await cursor.execute(
                f"UPDATE templates SET name = %s, schema = %s, options = %s, updated_at = now()"
                f" WHERE id = %s AND organization = %s AND deleted_at IS NULL RETURNING {TEMPLATE}",
                (name, shape, Json(options), template_id, organization),
            )
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no template {template_id}")
    return row


async def list_templates(database: Database, organization: str) -> Sequence[Template]:
    """List all templates, the oldest first."""
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(Template)) as cursor:
        await cursor.execute(
            f"SELECT {TEMPLATE} FROM templates WHERE organization = %s AND deleted_at IS NULL ORDER BY created_at, id",
            (organization,),
        )
        return await cursor.fetchall()


async def get_template(database: Database, organization: str, template_id: UUID) -> Template:
    """Load one template.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    for template in await list_templates(database, organization):
        if template.id == template_id:
            return template
    raise NotFoundError(f"no template {template_id}")


async def delete_template(database: Database, organization: str, template_id: UUID) -> None:
    """Delete a template; jobs that used it keep what they took from it.

    Raises:
        NotFoundError: It is not there.
    """
    async with database.transaction() as connection:
        updated = await connection.execute(
            "UPDATE templates SET deleted_at = now() WHERE id = %s AND organization = %s AND deleted_at IS NULL",
            (template_id, organization),
        )
        if not updated.rowcount:
            raise NotFoundError(f"no template {template_id}")


async def add_classification(
    database: Database, organization: str, name: str, options: Sequence[dict[str, Any]]
) -> Classification:
    """Store classes of documents."""
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(Classification)) as cursor:
        await cursor.execute(
            "INSERT INTO classifications (id, organization, name, options) VALUES (%s, %s, %s, %s)"
            " RETURNING id, name, options, created_at",
            (uuid4(), organization, name, Json(list(options))),
        )
        row = await cursor.fetchone()
    assert row is not None
    return row


async def get_classification(database: Database, organization: str, classification_id: UUID) -> Classification:
    """Load one set of classes.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    async with database.transaction() as connection, connection.cursor(row_factory=class_row(Classification)) as cursor:
        await cursor.execute(
            "SELECT id, name, options, created_at FROM classifications WHERE id = %s AND organization = %s",
            (classification_id, organization),
        )
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no classification {classification_id}")
    return row
