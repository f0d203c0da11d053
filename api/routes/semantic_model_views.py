"""Connections, semantic models and their topics as the API shows them."""

from __future__ import annotations

from typing import Any

from towpath.ai.domain.semantics.content import list_views
from towpath.ai.semantic_types import Content
from towpath.ai.store.tables import ConnectionRow, ModelRow
from towpath.ai.types import ConnectionView
from towpath.api.http.responses import moment


def make_connection_view(row: ConnectionRow) -> ConnectionView:
    """Show a connection without its credentials."""
    return ConnectionView.model_validate(row, from_attributes=True)


def show_connection(row: ConnectionRow) -> dict[str, Any]:
    """Show one connection without its credentials and without what it does not have."""
    return make_connection_view(row).model_dump(mode="json", by_alias=True, exclude_none=True)


def show_model(row: ModelRow) -> dict[str, Any]:
    """Show a model without its content."""
    return {
        "id": str(row.id),
        "name": row.name,
        "modelKind": row.kind,
        "connectionId": str(row.connection_id),
        "baseModelId": None if row.base_model_id is None else str(row.base_model_id),
        "createdAt": moment(row.created_at),
        "updatedAt": moment(row.updated_at),
        "deletedAt": moment(row.deleted_at),
    }


def show_topic(content: Content, name: str, *, full: bool) -> dict[str, Any]:
    """Show a topic.

    Args:
        content: The whole model.
        name: The topic's.
        full: With the views that it reaches and how.
    """
    topic = content.topics[name]
    answer: dict[str, Any] = {"name": name, "base_view_name": topic.base_view}
    for key in ("label", "description", "group_label"):
        if (value := getattr(topic, key)) is not None:
            answer[key] = value
    if topic.hidden:
        answer["hidden"] = True
    if full:
        ways = list_views(content, topic)
        used = {id(relationship) for way in ways.values() for relationship in way}
        answer["views"] = [
            {"name": view, **content.views[view].model_dump(mode="json", exclude_none=True)} for view in ways
        ]
        answer["relationships"] = [
            relationship.model_dump(mode="json", by_alias=True)
            for relationship in content.relationships
            if id(relationship) in used or {relationship.from_, relationship.to} <= ways.keys()
        ]
    return answer
