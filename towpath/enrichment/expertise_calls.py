"""One call of a run over domains: paid once, and a result whether it was answered or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from towpath.core.errors import ModelError
from towpath.core.usage import Usage
from towpath.db.engine import Database
from towpath.enrichment.domain.prompts import enrichment_prompt
from towpath.enrichment.domain.runs import call_key, call_name
from towpath.enrichment.types import ExpertiseResult, Plan
from towpath.jobs.store.writer import JobWriter
from towpath.jobs.types import JobRef
from towpath.llm.gateway import LlmGateway
from towpath.llm.types import ImagePart, Prompt, Purpose, Site

ROOM_SHARE = 4
MIN_TOKENS = 512


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


async def ask_domain(
    context: EnrichmentContext,
    entity: Mapping[str, Any],
    model: str,
    domain: str | None,
    keys: Sequence[str] | None,
    *,
    item: int = 0,
    note: str | None = None,
) -> ExpertiseResult:
    """Ask a model for a domain of an entity, or with None for everything.

    Args:
        context: What all entities share.
        entity: The known facts.
        model: Who is asked.
        domain: The domain.
        keys: Its fields.
        item: The entity's place in the request.
        note: What is known of its type.

    Raises:
        ModelError: The model cannot answer now, and the call will be repeated.
    """
    plan, llm_gateway = context.plan, context.llm_gateway
    prompt = enrichment_prompt(
        plan.content,
        entity,
        domain=domain,
        keys=keys,
        languages=plan.languages,
        sources=context.texts,
        images=context.images,
        note=note,
        small=llm_gateway.catalog.is_small(model),
        strict=plan.strict,
    )
    result = ExpertiseResult(key=call_key(domain), name=call_name(plan.content, domain), success=False)
    try:
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


def least_room(prompt: Prompt) -> int:
    """Return how short an answer's room may be made: it is several times what answers take."""
    return max(prompt.most_tokens // ROOM_SHARE, min(prompt.most_tokens, MIN_TOKENS))


def cost_members(usage: Usage) -> dict[str, float | int]:
    """Return what was paid, in the members that results and events have for it."""
    return {
        "cost_usd": round(usage.usd, 12),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }
