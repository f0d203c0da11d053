"""What a start will cost: its source files as models are shown them, the estimate, and the cap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from towpath.core.errors import PaymentRequiredError
from towpath.enrichment.domain.estimate import Price, estimate
from towpath.enrichment.domain.prompts import enrichment_prompt
from towpath.enrichment.domain.runs import calls_of
from towpath.enrichment.domain.sources import ShownSources, fit_sources
from towpath.enrichment.expertise_calls import least_room
from towpath.enrichment.types import Plan
from towpath.llm import Catalog
from towpath.llm.bounds import least_price
from towpath.llm.store.attachments import as_source, get_attachments

if TYPE_CHECKING:
    from towpath.enrichment.service.starts import EnrichmentParts


def models_of(plan: Plan) -> list[str]:
    """Return every model that a plan asks."""
    return [*plan.models, *filter(None, (plan.arbitration_model, plan.classification_model))]


async def load_sources(parts: EnrichmentParts, organization: str, plan: Plan) -> tuple[dict[str, ShownSources], int]:
    """Load what of the source files each model will be shown, and how many of them are images."""
    rows = await get_attachments(parts.database, organization, plan.attachment_ids)
    texts = [as_source(row) for row in rows if row.mode == "text"]
    windows = {model: parts.catalog.context_length(model) for model in plan.models}
    fitted = await parts.checks.run(organization, _fit_all, texts, windows)
    return fitted, len(rows) - len(texts)


def _fit_all(texts: Sequence[str], windows: Mapping[str, int]) -> dict[str, ShownSources]:
    return {model: fit_sources(texts, model, window) for model, window in windows.items()}


def estimate_with_sources(
    catalog: Catalog,
    plan: Plan,
    entities: Sequence[dict[str, Any]],
    shown: Mapping[str, ShownSources],
    images: int,
    batch_price: Price | None = None,
) -> dict[str, Any]:
    """Estimate what a plan over entities takes, its source files with it."""
    tokens = {model: sources.tokens for model, sources in shown.items()}
    return estimate(plan, entities, catalog.price, batch_price=batch_price, sources=tokens, images=images)


async def check_cap(
    parts: EnrichmentParts, organization: str, plan: Plan, entities: Sequence[tuple[int, dict[str, Any]]]
) -> None:
    """Refuse a cap that not even one entity fits under.

    Raises:
        PaymentRequiredError: It costs more.
    """
    if plan.max_cost_usd is None:
        return
    _, first = entities[0]
    shown, images = await load_sources(parts, organization, plan)
    expected = estimate_with_sources(parts.catalog, plan, [first], shown, images)["cost_usd"]["expected"]
    if expected > plan.max_cost_usd:
        raise PaymentRequiredError(
            f"max_cost_usd is {plan.max_cost_usd:.6f}, but one entity takes about {expected:.6f} US dollars"
        )
    prices = [_first_price(parts.catalog, plan, first, model, shown[model].texts) for model in plan.models]
    needed = min(prices, default=0.0)
    if needed > plan.max_cost_usd:
        raise PaymentRequiredError(
            f"max_cost_usd is {plan.max_cost_usd:.6f}, but the first request alone can take {needed:.6f} US dollars"
        )


def _first_price(catalog: Catalog, plan: Plan, entity: dict[str, Any], model: str, sources: Sequence[str]) -> float:
    """Return the least that must be set aside for the first request to a model; 0 where there is nothing to ask."""
    for call in calls_of(plan, entity)[:1]:
        prompt = enrichment_prompt(
            plan.content, entity, domain=call.domain, keys=call.keys, languages=plan.languages, sources=sources
        )
        return least_price(catalog, model, prompt, least_room(prompt))
    return 0.0
