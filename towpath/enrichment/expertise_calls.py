"""One call of a run over domains: paid once, and a result whether it was answered or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from towpath.core.errors import ModelError
from towpath.core.usage import Usage
from towpath.db.engine import Database
from towpath.enrichment.cache_lead import CacheLead
from towpath.enrichment.domain.forms import Form
from towpath.enrichment.domain.prompts import domain_form, enrichment_prompt, gains_by_shared_forms, usual_tokens
from towpath.enrichment.domain.runs import DomainCall, call_key, call_name
from towpath.enrichment.domain.sources import ShownSources, fit_sources
from towpath.enrichment.types import ExpertiseResult, Plan, Strategy
from towpath.jobs.store.writer import JobWriter
from towpath.jobs.types import JobRef
from towpath.llm.gateway import LlmGateway
from towpath.llm.messages import is_cacheable
from towpath.llm.types import MIN_CACHED_CHARACTERS, ImagePart, Prompt, Purpose, Site


@dataclass(frozen=True, slots=True)
class EnrichmentContext:
    """What all entities of a chunk share.

    Attributes:
        database: Jobs, records, paid answers.
        writer: Writes to the job.
        llm_gateway: The language models.
        ref: The job.
        plan: What it was asked to do.
        texts: The texts of its source files.
        images: The images among them.
        total: How many entities the job has.
        note: What is known of the entities' type, and what a person has said of it.
        attempt: How often the chunk's activity was tried.
        shown: The source files by model, as far as its window has room for them.
        lead: Lets the first call with long sources go ahead of the others.
    """

    database: Database
    writer: JobWriter
    llm_gateway: LlmGateway
    ref: JobRef
    plan: Plan
    texts: list[str] = field(default_factory=list)
    images: list[ImagePart] = field(default_factory=list)
    total: int = 1
    note: str | None = None
    attempt: int = 1
    shown: dict[str, ShownSources] = field(default_factory=dict)
    lead: CacheLead = field(default_factory=CacheLead)

    def sources_for(self, model: str) -> ShownSources:
        """Return what of the source files a model is shown."""
        if model not in self.shown:
            window = self.llm_gateway.catalog.context_length(model)
            self.shown[model] = fit_sources(self.texts, model, window)
        return self.shown[model]


async def ask_domain(
    context: EnrichmentContext,
    entity: Mapping[str, Any],
    model: str,
    call: DomainCall,
    *,
    beside: Sequence[DomainCall] = (),
    item: int = 0,
    note: str | None = None,
) -> ExpertiseResult:
    """Ask a model for a domain of an entity, or for all of them.

    Args:
        context: The job.
        entity: The known facts.
        model: The model key.
        call: What is asked for.
        beside: All calls of the model for the entity, in an order that is the same for each.
        item: The entity's place in the request.
        note: What is known of the entity's type.

    Raises:
        ModelError: The model cannot answer now, and the call will be repeated.
    """
    plan, llm_gateway = context.plan, context.llm_gateway
    small = llm_gateway.catalog.is_small(model)
    prompt = enrichment_prompt(
        plan.content,
        entity,
        domain=call.domain,
        keys=call.keys,
        languages=plan.languages,
        sources=context.sources_for(model).texts,
        images=context.images,
        note=note,
        small=small,
        strict=plan.strict,
        told_domains=plan.strategy is Strategy.EXPERT_DOMAINS,
    )
    prompt.shared = context.total * max(len(beside), 1) > 1
    if len(beside) > 1 and prompt.stable >= MIN_CACHED_CHARACTERS:
        forms = [_form_of(plan, entity, each, small=small) for each in beside]
        if gains_by_shared_forms(prompt.stable, forms, context.total):
            prompt.siblings = forms
    result = ExpertiseResult(
        key=call_key(call.domain), name=call_name(plan.content, call.domain), fields=call.keys, success=False
    )
    try:
        async with context.lead.turn(model) if is_cacheable(prompt) else nullcontext():
            answer = await llm_gateway.ask(
                context.ref,
                model,
                prompt,
                site=Site(Purpose.ENRICHMENT, item),
                bypass=plan.bypass_cache,
                plain_json=not plan.response_schema,
                least_tokens=least_room(prompt),
            )
    except ModelError as error:
        if error.retryable:
            raise
        result.error_message, result.code = error.detail, error.code
        return result.model_copy(update=cost_members(error.usage))
    result.success, result.result, result.cached = True, answer.data, answer.cached
    result.seconds = answer.seconds
    return result.model_copy(update=cost_members(answer.usage))


def _form_of(plan: Plan, entity: Mapping[str, Any], call: DomainCall, *, small: bool) -> Form:
    return domain_form(plan.content, entity, keys=call.keys, languages=plan.languages, small=small)


def least_room(prompt: Prompt) -> int:
    """Return how short an answer's room may be made: what answers of its form take."""
    return min(prompt.most_tokens, usual_tokens(prompt.form))


def cost_members(usage: Usage) -> dict[str, float | int]:
    """Return what was paid, in the members that results and events have for it."""
    return {
        "cost_usd": round(usage.usd, 12),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }
