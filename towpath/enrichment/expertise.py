"""One call of a run over domains: asked, paid once, and told as a result whether it was answered or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from towpath.core.errors import ModelError, OutputInvalidError
from towpath.db.engine import Database
from towpath.enrichment.domain.prompts import enrichment_prompt
from towpath.enrichment.domain.runs import call_key, call_name
from towpath.enrichment.types import ExpertiseResult, Plan
from towpath.jobs.store.writer import JobWriter
from towpath.jobs.types import JobRef
from towpath.llm.paid import Asker
from towpath.llm.types import ImagePart


@dataclass(frozen=True, slots=True)
class Work:
    """What all entities of a chunk share."""

    database: Database
    writer: JobWriter
    asker: Asker
    ref: JobRef
    plan: Plan
    texts: list[str] = field(default_factory=list)
    images: list[ImagePart] = field(default_factory=list)
    total: int = 1
    note: str | None = None


async def ask_domain(
    work: Work,
    entity: Mapping[str, Any],
    model: str,
    domain: str | None,
    keys: Sequence[str] | None,
    *,
    note: str | None = None,
) -> ExpertiseResult:
    """Ask a model for a domain of an entity, or with None for everything.

    Raises:
        ModelError: The model cannot answer now, and the call will be repeated.
    """
    plan, asker = work.plan, work.asker
    prompt = enrichment_prompt(
        plan.content,
        entity,
        domain=domain,
        keys=keys,
        languages=plan.languages,
        sources=work.texts,
        images=work.images,
        note=note,
        small=asker.catalog.is_small(model),
        strict=plan.strict,
    )
    one = ExpertiseResult(key=call_key(domain), name=call_name(plan.content, domain), success=False)
    try:
        answer = await asker.ask(work.ref, model, prompt, bypass=plan.bypass_cache, plain_json=not plan.response_schema)
    except ModelError as error:
        if error.retryable:
            raise
        one.error_message, one.code = error.detail, error.code
        if isinstance(error, OutputInvalidError):
            one.input_tokens, one.output_tokens = error.input_tokens, error.output_tokens
            one.cost_usd = asker.catalog.price(model, error.input_tokens, error.output_tokens)
        return one
    one.success, one.result, one.cached = True, answer.data, answer.cached
    one.cost_usd, one.seconds = answer.usd, answer.seconds
    one.input_tokens, one.output_tokens = answer.input_tokens, answer.output_tokens
    return one
