"""Templates and classifications: settings that a start names instead of spelling them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError
from towpath.db.engine import Database
from towpath.extraction.domain.shapes import check_schema
from towpath.extraction.service.parts import ExtractionParts
from towpath.extraction.store import catalog
from towpath.extraction.types import Classification, ClassificationBody, Template


async def assert_schema(parts: ExtractionParts, organization: str, schema: dict[str, Any]) -> None:
    """Refuse a JSON Schema that nothing can be extracted by.

    Raises:
        BadInputError: With the place in the schema.
    """
    await parts.checks.run(organization, check_schema, schema)


async def add_template(
    database: Database, organization: str, *, name: str, schema: dict[str, Any] | None, options: dict[str, Any]
) -> Template:
    """Store a checked template."""
    return await catalog.put_template(database, organization, name=name, schema=schema, options=options)


async def change_template(
    parts: ExtractionParts,
    caller: Principal,
    template_id: UUID,
    *,
    name: str,
    schema: dict[str, Any] | None,
    options: dict[str, Any],
) -> Template:
    """Replace all that a template says; jobs that were started with it keep what they took from it.

    Raises:
        NotFoundError: No such template.
    """
    return await catalog.put_template(
        parts.database, caller.organization, name=name, schema=schema, options=options, template_id=template_id
    )


async def list_templates(parts: ExtractionParts, caller: Principal) -> Sequence[Template]:
    """List an organization's templates, the oldest first."""
    return await catalog.list_templates(parts.database, caller.organization)


async def get_template(parts: ExtractionParts, caller: Principal, template_id: UUID) -> Template:
    """Load one template.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    return await catalog.get_template(parts.database, caller.organization, template_id)


async def delete_template(parts: ExtractionParts, caller: Principal, template_id: UUID) -> None:
    """Delete a template; jobs that were started with it keep what they took from it.

    Raises:
        NotFoundError: It is not there.
    """
    await catalog.delete_template(parts.database, caller.organization, template_id)


def assert_class_names(body: ClassificationBody) -> None:
    """Refuse classes that cannot be told apart by their names.

    Raises:
        BadInputError: A name stands twice.
    """
    names = [option.name for option in body.options]
    if len(set(names)) < len(names):
        raise BadInputError("options: a name stands twice", field="options")


async def add_classification(database: Database, organization: str, body: ClassificationBody) -> Classification:
    """Store classes of documents that were checked."""
    options = [option.model_dump(mode="json") for option in body.options]
    return await catalog.add_classification(database, organization, body.name, options)


async def get_classification(parts: ExtractionParts, caller: Principal, classification_id: UUID) -> Classification:
    """Load one set of classes.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    return await catalog.get_classification(parts.database, caller.organization, classification_id)
