"""Records and saved schemas as the enrichment API shows them, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from towpath.enrichment.domain.content import Content, input_contract
from towpath.enrichment.records import show_call
from towpath.enrichment.store.tables import RecordRow, SchemaRow, SchemaVersionRow

EXPERTISE_MEMBERS = ("key", "name", "success", "cost_usd", "input_tokens", "output_tokens", "processing_time_ms")
RULES = "rule_based"


def record_row_view(row: RecordRow, newest: Mapping[UUID, int]) -> dict[str, Any]:
    """Return a record as lists show it.

    Args:
        row: The record.
        newest: The version that each saved schema is at now.
    """
    fusion = row.fusion or {}
    schema_name = str(row.schema_content.get("root", {}).get("name", ""))
    return {
        "id": str(row.id),
        "type": row.type,
        "success": row.success,
        "partial_success": row.partial_success,
        "entity_id": str(row.entity_id),
        "entity_name": row.entity_name,
        "model_composite_key": row.model_composite_key,
        "model_name": _model_name(row.model_composite_key or fusion.get("arbitration_model") or RULES),
        "schema_id": row.schema_id and str(row.schema_id),
        "saved_schema_id": row.schema_id and str(row.schema_id),
        "schema_entity_name": schema_name,
        "schema_changed": row.schema_id is not None and newest.get(row.schema_id) != row.schema_version,
        "job_id": row.job_id and str(row.job_id),
        "job_label": f"{schema_name}: {row.entity_name}",
        "entity_index": row.entity_index,
        "strategy": row.strategy,
        "origin": row.origin,
        "cost_usd": row.cost_usd,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "processing_time_ms": row.processing_time_ms,
        "prompt_count": len(row.expertises),
        "cancelled": False,
        "structured_output": row.structured_output,
        "validation_errors": row.validation_errors,
        "validation_warnings": row.validation_warnings,
        "fusion_sources": None if row.fusion_sources is None else [str(source) for source in row.fusion_sources],
        "fusion_method": fusion.get("method"),
        "error_code": row.error_code,
        "error_message": row.error_message,
        "created_at": row.created_at,
        "is_deleted": row.deleted_at is not None,
    }


def _model_name(model: str) -> str:
    return model.partition("::")[2] or model


def record_view(row: RecordRow, newest: Mapping[UUID, int]) -> dict[str, Any]:
    """Return a record with the entity it was made of, its calls, and the origin of each fused field."""
    fusion = row.fusion or {}
    calls = [show_call(expertise) for expertise in row.expertises]
    return {
        **record_row_view(row, newest),
        "entity_input_data": row.entity_input_data,
        "schema_version": row.schema_version,
        "prompt_version": row.prompt_version,
        "attachment_ids": [str(attachment) for attachment in row.attachment_ids],
        "languages": row.languages,
        "prompts": [{member: call.get(member) for member in EXPERTISE_MEMBERS} for call in calls],
        "metrics": {
            "prompt_count": len(calls),
            "cost_usd": row.cost_usd,
            "input_tokens": row.input_tokens,
            "output_tokens": row.output_tokens,
            "processing_time_ms": row.processing_time_ms,
        },
        "expertise_breakdown": calls,
        "conflict_report": fusion.get("report"),
        "provenance": fusion.get("provenance"),
    }


def schema_row_view(row: SchemaRow) -> dict[str, Any]:
    """Return a saved schema as lists show it."""
    return {
        "id": str(row.id),
        "name": row.name,
        "tags": row.tags,
        "is_pinned": row.is_pinned,
        "property_count": row.property_count,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def schema_view(row: SchemaRow, content: Content) -> dict[str, Any]:
    """Return a saved schema with its content and what an entity must bring."""
    return {**schema_row_view(row), "schema_content": content, "input_contract": input_contract(content)}


def schema_version_view(row: SchemaVersionRow) -> dict[str, Any]:
    """Return what a schema was at one time."""
    return {"version": row.version, "schema_content": row.content, "created_at": row.created_at}
