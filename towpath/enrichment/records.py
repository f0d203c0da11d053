"""Results as records and records as results; used by enrichments, repeats of domains and fusions alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from towpath.core.errors import ErrorCode
from towpath.enrichment.domain.content import dotted, entity_label, find_flagged, value_at
from towpath.enrichment.domain.fusion import normalise
from towpath.enrichment.domain.prompt_version import prompt_version
from towpath.enrichment.store.tables import RecordRow
from towpath.enrichment.types import ExpertiseResult, Fusion, ModelResult, Plan
from towpath.jobs.types import JobRef


def entity_id(organization: str, plan: Plan, entity: Mapping[str, Any]) -> UUID:
    """Return the id of an entity: equal for equal identifying values under one schema."""
    paths = find_flagged(plan.content, "identifying")
    facts = {dotted(path): value_at(entity, path) for path in paths} if paths else dict(entity)
    return uuid5(
        NAMESPACE_URL, f"{organization}\n{plan.schema_id or plan.content['root'].get('name')}\n{normalise(facts)}"
    )


def _base(ref: JobRef, plan: Plan, index: int, entity: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "organization": ref.organization,
        "job_id": ref.job_id,
        "entity_index": index,
        "entity_id": entity_id(ref.organization, plan, entity),
        "entity_name": entity_label(plan.content, entity),
        "schema_id": plan.schema_id,
        "schema_version": plan.schema_version,
        "schema_content": plan.content,
        "languages": plan.languages,
        "origin": plan.origin,
        "entity_input_data": dict(entity),
        "attachment_ids": list(plan.attachment_ids),
    }


def enrichment_record(ref: JobRef, plan: Plan, index: int, entity: Mapping[str, Any], result: ModelResult) -> RecordRow:
    """Return the record of one entity with one model."""
    return RecordRow(
        **_base(ref, plan, index, entity),
        **_result_columns(result),
        id=result.record_id,
        type="enrichment",
        model_composite_key=result.model,
        strategy=plan.strategy,
        prompt_version=prompt_version(),
    )


def complete_record(row: RecordRow, result: ModelResult) -> None:
    """Give a record a result that some of its domains were asked anew for."""
    for name, value in _result_columns(result).items():
        setattr(row, name, value)


def _result_columns(result: ModelResult) -> dict[str, Any]:
    return {
        "success": result.success,
        "partial_success": result.partial_success,
        "structured_output": result.result,
        "expertises": [expertise.model_dump(mode="json") for expertise in result.expertises],
        "validation_errors": result.validation_errors,
        "validation_warnings": result.validation_warnings,
        "error_code": result.code,
        "error_message": result.error_message,
        "cost_usd": result.cost_usd,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "processing_time_ms": result.processing_time_ms,
    }


def fusion_record(
    ref: JobRef,
    plan: Plan,
    index: int,
    entity: Mapping[str, Any],
    fused: Fusion,
    *,
    record: UUID,
    sources: Sequence[UUID],
    milliseconds: int,
) -> RecordRow:
    """Return the record of a fusion; `structured_output` is the merged result."""
    return RecordRow(
        **_base(ref, plan, index, entity),
        id=record,
        type="fusion",
        success=True,
        structured_output=fused.merged,
        validation_errors=fused.warnings,
        validation_warnings=fused.warnings,
        fusion=fused.model_dump(mode="json", exclude={"merged"}),
        fusion_sources=list(sources),
        cost_usd=fused.cost_usd or 0.0,
        input_tokens=fused.input_tokens,
        output_tokens=fused.output_tokens,
        processing_time_ms=milliseconds,
    )


def fusion_view(fused: Fusion, record: UUID, milliseconds: int) -> dict[str, Any]:
    """Return a fusion as the event of its end and answers show it, with how its conflicts were decided.

    Args:
        fused: The fusion.
        record: The id of its record.
        milliseconds: How long it took.
    """
    metadata = {"method": fused.method, "arbitration_model": fused.arbitration_model}
    return {
        "success": True,
        "record_id": str(record),
        "merged_result": {**fused.merged, "_arbitration_metadata": metadata},
        "conflict_report": fused.report.model_dump(mode="json"),
        "validation_warnings": fused.warnings,
        "cost_usd": fused.cost_usd,
        "input_tokens": fused.input_tokens,
        "output_tokens": fused.output_tokens,
        "processing_time_ms": milliseconds,
        "error_message": None,
    }


def result_of(row: RecordRow) -> ModelResult:
    """Return a record as the result that it was made of."""
    return ModelResult(
        model=row.model_composite_key or "",
        success=row.success,
        partial_success=row.partial_success,
        result=row.structured_output,
        record_id=row.id,
        expertises=[ExpertiseResult.model_validate(expertise) for expertise in row.expertises],
        error_message=row.error_message,
        code=None if row.error_code is None else ErrorCode(row.error_code),
        validation_errors=row.validation_errors,
        validation_warnings=row.validation_warnings,
        processing_time_ms=row.processing_time_ms,
    )


def result_view(result: ModelResult) -> dict[str, Any]:
    """Return a model's result as events and answers show it."""
    return {
        "model": result.model,
        "success": result.success,
        "partial_success": result.partial_success,
        "cancelled": result.cancelled,
        "result": result.result,
        "record_id": str(result.record_id),
        "cost_usd": result.cost_usd,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "processing_time_ms": result.processing_time_ms,
        "validation_warnings": result.validation_warnings,
        "error_message": result.error_message,
        "error_code": result.code,
    }


def show_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return what became of one call, as it is stored, in the words of all other results."""
    milliseconds = round(1000 * (call.get("seconds") or 0.0))
    return {**call, "error_code": call.get("code"), "processing_time_ms": milliseconds}


def call_usage(part: ExpertiseResult) -> dict[str, Any]:
    """Return what one call took, and why it has failed, as the event of its end shows it."""
    return {
        "error_message": part.error_message,
        "error_code": part.code,
        "cost_usd": part.cost_usd,
        "input_tokens": part.input_tokens,
        "output_tokens": part.output_tokens,
        "processing_time_ms": round(1000 * part.seconds),
    }
