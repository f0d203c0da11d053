"""Fusion with or without an arbiter; a failed arbitration keeps what the rules say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from towpath.core.errors import ModelError
from towpath.enrichment.domain.content import Content
from towpath.enrichment.domain.fusion import arbitrate, fuse
from towpath.enrichment.domain.known import find_known
from towpath.enrichment.domain.prompts import arbitration_prompt, letter_of, list_choices
from towpath.enrichment.domain.waterfall import settle_by_last
from towpath.enrichment.expertise_calls import cost_members
from towpath.enrichment.types import Fusion, LlmEvent
from towpath.jobs.types import JobRef, JobWarning
from towpath.llm.gateway import LlmGateway
from towpath.llm.types import Purpose, Site

Emit = Callable[[LlmEvent, dict[str, Any]], Awaitable[None]]


async def fuse_results(
    llm_gateway: LlmGateway,
    ref: JobRef,
    content: Content,
    entity: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    emit: Emit,
    *,
    arbiter: str | None,
    item: int = 0,
    bypass: bool = False,
    in_order_of_price: bool = False,
) -> tuple[Fusion, list[JobWarning]]:
    """Fuse results of several models.

    Args:
        llm_gateway: Asks the arbiter.
        ref: The job.
        content: The schema.
        entity: The known facts.
        results: By model.
        emit: Appends an event.
        arbiter: The model that decides conflicts; None: the rules do.
        item: The entity's place in the request.
        bypass: Take no other job's answer.
        in_order_of_price: The dearer models were asked for what the cheaper ones left open: where no majority
            decides and no arbiter does, the dearest that was asked does.

    Returns:
        What came of it, and what to warn of.

    Raises:
        ModelError: The arbiter cannot answer now, and the call will be repeated.
    """
    prices = {model: llm_gateway.catalog.rank(model) for model in results}
    fused = fuse(content, results, prices, known=find_known(content, entity))
    if in_order_of_price:
        fused = settle_by_last(fused, sorted(results, key=lambda model: prices[model]))
    report = fused.report
    counts = report.model_dump(include={"total_fields", "agreed_fields", "conflicted_fields"})
    await emit(LlmEvent.CONFLICTS_DETECTED, counts)
    disputed = [conflict for conflict in report.conflicts if conflict.needs_arbitration]
    if arbiter is None or not disputed:
        return fused, []
    await emit(LlmEvent.ARBITRATION_STARTED, {"arbitration_model": arbiter, "conflict_count": len(disputed)})
    site = Site(Purpose.ARBITRATION, item)
    prompt = arbitration_prompt(content, entity, disputed)
    try:
        answer = await llm_gateway.ask(ref, arbiter, prompt, site=site, bypass=bypass)
    except ModelError as error:
        if error.retryable:
            raise
        cost = cost_members(error.usage)
        failed: dict[str, Any] = {"success": False, "decisions": {}, "fallback_to_rule_based": True, **cost}
        await emit(LlmEvent.ARBITRATION_COMPLETED, {**failed, "error_message": error.detail})
        problem = f"arbitration failed: {error.detail}"
        warning = JobWarning(code=error.code, message=f"the rules decided {len(disputed)} conflicts; {problem}")
        return fused.model_copy(update={"warnings": [*fused.warnings, problem], **cost}), [warning]
    decisions: dict[str, str] = {}
    for number, conflict in enumerate(disputed, start=1):
        letters = {letter_of(place): model for place, model in enumerate(list_choices(conflict))}
        winner = letters.get(str(answer.data.get(f"field_{number}")))
        if winner is not None:
            decisions[conflict.path] = winner
    cost = cost_members(answer.usage)
    arbitrated = arbitrate(fused, decisions, model=arbiter).model_copy(update=cost)
    outcome = {"success": True, "decisions": decisions, "fallback_to_rule_based": False, **cost}
    await emit(LlmEvent.ARBITRATION_COMPLETED, {**outcome, "error_message": None})
    return arbitrated, []
