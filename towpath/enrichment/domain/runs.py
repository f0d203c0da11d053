"""How a plan becomes calls, and calls become a result."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from towpath.core.json_schema import UncheckableError, errors_of
from towpath.core.texts import format_count
from towpath.enrichment.domain.content import (
    GENERAL,
    Content,
    domain_name,
    find_flagged,
    group_by_domain,
    resolve_properties,
)
from towpath.enrichment.domain.forms import answer_form, count_leaves
from towpath.enrichment.domain.known import apply_known, find_known, needs_asking
from towpath.enrichment.types import ExpertiseResult, ModelResult, Plan, Strategy

SINGLE_FIELDS = 8
TOLD_FIELDS = 24
"""Up to so many fields a schema of several domains is asked in one call; beyond them each domain is."""
MAX_ERRORS = 20


class DomainCall(NamedTuple):
    """A call for one entity and model: an expertise domain, or None for all of them, and the properties asked for."""

    domain: str | None
    keys: list[str]


def choose_strategy(content: Content, requested: Strategy) -> tuple[Strategy, str]:
    """Return the strategy that a request means, and why."""
    if requested is not Strategy.AUTO:
        return requested, "as requested"
    known = [path for flag in ("preserve", "identifying") for path in find_flagged(content, flag)]
    fields, domains = count_leaves(answer_form(content, without=known)), len(group_by_domain(content))
    size = f"{format_count(fields, 'value')} to ask for in {format_count(domains, 'domain')}"
    if domains < 2 or fields <= SINGLE_FIELDS:
        return Strategy.SINGLE_PASS, f"{size}: one call"
    if fields <= TOLD_FIELDS:
        return Strategy.EXPERT_DOMAINS, f"{size}: one call that is told the domains"
    return Strategy.MULTI_EXPERTISE, f"{size}: a call for each domain, in parallel"


def calls_of(plan: Plan, entity: Mapping[str, Any], *, only: Collection[str] | None = None) -> list[DomainCall]:
    """Return the calls for one entity and model. What is given with the entity is in none of them.

    Args:
        plan: What the job was asked to do.
        entity: The known facts.
        only: The properties of the root to ask for, as far as they need asking; None: all.
    """
    known = find_known(plan.content, entity, plan.languages)
    names = [
        name
        for name in resolve_properties(plan.content)
        if (only is None or name in only) and needs_asking(plan.content, known, name)
    ]
    if not names:
        return []
    if plan.strategy is not Strategy.MULTI_EXPERTISE:
        return [DomainCall(None, names)]
    groups = group_by_domain(plan.content).items()
    calls = [DomainCall(domain, [name for name in of_domain if name in names]) for domain, of_domain in groups]
    return [call for call in calls if call.keys]


def calls_to_repeat(plan: Plan, entity: Mapping[str, Any], parts: Sequence[ExpertiseResult]) -> list[DomainCall]:
    """Return the calls for what failed calls were to bring; of older ones it is not kept what that was."""
    failed = [part for part in parts if not part.success]
    if not failed and parts:
        return []
    answered = {name for part in parts if part.success for name in part.result or {}}
    all_names = [name for call in calls_of(plan, entity) for name in call.keys]
    missing = {name for part in failed for name in part.fields or all_names} if parts else set(all_names)
    return calls_of(plan, entity, only=missing - answered)


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
    """Assemble an entity's result with one model from its calls; what some domains gave is kept when others failed.

    What is given with the entity stands in it as it was given; where everything is, no call was needed.
    """
    successful = not expertises or any(expertise.success for expertise in expertises)
    known = find_known(plan.content, entity, plan.languages)
    merged = apply_known(plan.content, known, merge_parts(plan.content, expertises))
    result = merged if successful else None
    failed = [expertise for expertise in expertises if not expertise.success]
    # Where everything is asked at once, the name tells nothing.
    errors = [
        str(expertise.error_message) if len(expertises) == 1 else f"{expertise.name}: {expertise.error_message}"
        for expertise in failed
    ]
    return ModelResult(
        model=model,
        success=successful,
        partial_success=successful and bool(failed),
        result=result,
        record_id=record,
        expertises=list(expertises),
        error_message="; ".join(errors)[:2000] or None,
        code=failed[0].code if failed else None,
        validation_errors=[] if result is None else find_form_errors(plan, result),
        processing_time_ms=milliseconds,
    )


def merge_parts(content: Content, expertises: Sequence[ExpertiseResult]) -> dict[str, Any]:
    """Return the parts of several domains as one object, in the order of the schema."""
    values: dict[str, Any] = {}
    for expertise in expertises:
        values.update(expertise.result or {})
    return {name: values[name] for name in resolve_properties(content) if name in values}


def find_form_errors(plan: Plan, result: Mapping[str, Any]) -> list[str]:
    """Return what a result breaks of its schema, once what was given is in it."""
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
