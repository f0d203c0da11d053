"""How a plan becomes calls, and calls become a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from towpath.core.json_schema import UncheckableError, errors_of
from towpath.enrichment.domain.content import (
    GENERAL,
    Content,
    domain_name,
    group_by_domain,
    resolve_properties,
    restore_preserved,
)
from towpath.enrichment.domain.forms import answer_form
from towpath.enrichment.types import ExpertiseResult, ModelResult, Plan, Strategy

AUTO_FIELDS = 8
MAX_ERRORS = 20


def choose_strategy(content: Content, requested: Strategy) -> tuple[Strategy, str]:
    """Return the strategy that a request means, and why."""
    if requested is not Strategy.AUTO:
        return requested, "as requested"
    by_domain, fields = group_by_domain(content), len(resolve_properties(content))
    if len(by_domain) >= 2 and fields > AUTO_FIELDS:
        return Strategy.MULTI_EXPERTISE, f"{fields} fields in {len(by_domain)} domains"
    return (
        Strategy.SINGLE_PASS,
        f"{fields} fields in {len(by_domain)} domain{'s' if len(by_domain) > 1 else ''}",
    )


def calls_of(plan: Plan) -> list[tuple[str | None, list[str] | None]]:
    """Return the calls for one entity and model: domain and properties; None stands for the whole schema."""
    if plan.strategy is Strategy.SINGLE_PASS:
        return [(None, None)]
    return list(group_by_domain(plan.content).items())


def call_key(domain: str | None) -> str:
    """Return the key under which a call's outcome is told."""
    return domain or "all"


def call_name(content: Content, domain: str | None) -> str:
    """Return the call's name for people."""
    if domain is None:
        return str(content["root"].get("name", "all fields"))
    return "General" if domain == GENERAL else domain_name(content, domain)


def record_id(job_id: UUID, index: int, what: str) -> UUID:
    """Return the id of the record that a job makes of an entity: the same however often it is made."""
    return uuid5(job_id, f"{index}:{what}")


def assemble_result(
    plan: Plan,
    entity: Mapping[str, Any],
    model: str,
    expertises: Sequence[ExpertiseResult],
    *,
    record: UUID,
    milliseconds: int,
) -> ModelResult:
    """Assemble an entity's result with one model from its calls; what some domains gave is kept when others failed."""
    successful = [expertise for expertise in expertises if expertise.success]
    merged = merge_parts(plan.content, expertises)
    result = restore_preserved(plan.content, entity, merged) if successful else None
    failed = [expertise for expertise in expertises if not expertise.success]
    # Where everything is asked at once, the name tells nothing.
    errors = [
        str(expertise.error_message) if len(expertises) == 1 else f"{expertise.name}: {expertise.error_message}"
        for expertise in failed
    ]
    return ModelResult(
        model=model,
        success=bool(successful),
        partial_success=bool(successful) and bool(failed),
        result=result,
        record_id=record,
        expertises=list(expertises),
        error_message="; ".join(errors)[:2000] or None,
        code=failed[0].code if failed else None,
        validation_errors=[] if result is None else find_form_errors(plan, result, expertises),
        processing_time_ms=milliseconds,
    )


def merge_parts(content: Content, expertises: Sequence[ExpertiseResult]) -> dict[str, Any]:
    """Return the parts of several domains as one object, in the order of the schema."""
    values: dict[str, Any] = {}
    for expertise in expertises:
        values.update(expertise.result or {})
    return {name: values[name] for name in resolve_properties(content) if name in values}


def find_form_errors(plan: Plan, result: Mapping[str, Any], expertises: Sequence[ExpertiseResult]) -> list[str]:
    """Return what a result breaks of its schema, once values to preserve are in it."""
    present = set(result)
    keys = [name for name in resolve_properties(plan.content) if name in present]
    form = answer_form(plan.content, keys=keys, languages=plan.languages)
    try:
        errors = errors_of(dict(result), form, most=MAX_ERRORS)
    except UncheckableError as error:
        return [_format_error("$.", error.detail)]
    return [_format_error(error.json_path, error.message) for error in errors]


def _format_error(path: str, message: str) -> str:
    return f"{path.removeprefix('$.') or 'result'}: {message}"[:300]
