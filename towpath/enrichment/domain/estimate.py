"""What an enrichment will take before it is begun: calls, tokens, dollars."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from towpath.enrichment.domain.forms import count_leaves
from towpath.enrichment.domain.prompts import classification_prompt, enrichment_prompt
from towpath.enrichment.domain.runs import calls_of
from towpath.enrichment.domain.waterfall import plan_rounds
from towpath.enrichment.types import ModelStrategy, Plan, Strategy
from towpath.llm.types import Prompt

CHARACTERS_A_TOKEN = 4
LEAF_TOKENS = 18
IMAGE_TOKENS = 1000
FORM_SHARE = 1.0
LOW, HIGH = 0.5, 2.0
"""An answer takes half to twice the expected tokens; prompts are known."""
IF_NEEDED_SHARES = (0.0, 1 / 3, 1.0)
"""Of the calls of a model that is asked only for what cheaper ones leave open."""
MILLION = 1_000_000

Price = Callable[[str, int, int], float]


def prompt_tokens(prompt: Prompt) -> int:
    """About how many tokens a prompt takes, its form included."""
    characters = len(prompt.system) + len(prompt.user) + FORM_SHARE * len(str(prompt.form))
    return math.ceil(characters / CHARACTERS_A_TOKEN) + IMAGE_TOKENS * len(prompt.images)


def answer_tokens(prompt: Prompt) -> int:
    """About how many tokens an answer takes."""
    return min(prompt.most_tokens, LEAF_TOKENS * count_leaves(prompt.form))


def estimate(
    plan: Plan,
    entities: Sequence[Mapping[str, Any]],
    price: Price,
    *,
    batch_price: Price | None = None,
    sources: Mapping[str, int] | None = None,
    images: int = 0,
) -> dict[str, Any]:
    """Return what a plan over entities takes, as the API answers it.

    What providers have in their caches is cheaper; that is not counted on. Of a waterfall the calls are as many as
    there can be; the dearer models, which are asked `if_needed`, are expected to get a third of them.

    Args:
        plan: The plan.
        entities: Those that will be enriched.
        price: Dollars for a model, its input tokens and its output tokens.
        batch_price: The same through batches; None: not every provider has them.
        sources: How many tokens the source files are, by model.
        images: How many images are shown with each call.
    """
    of_sources = sources or {}
    if_needed = _find_if_needed(plan, price)
    by_model: dict[str, dict[str, Any]] = {}

    def add(model: str, prompt: Prompt, extra: int = 0) -> None:
        row = by_model.setdefault(model, {"model": model, "calls": 0, "input_tokens": 0, "output_tokens": 0})
        if model in if_needed:
            row["if_needed"] = True
        row["calls"] += 1
        row["input_tokens"] += prompt_tokens(prompt) + extra
        row["output_tokens"] += answer_tokens(prompt)

    for entity in entities:
        prompts = [
            enrichment_prompt(
                plan.content,
                entity,
                domain=call.domain,
                keys=call.keys,
                languages=plan.languages,
                told_domains=plan.strategy is Strategy.EXPERT_DOMAINS,
            )
            for call in calls_of(plan, entity)
        ]
        for model in plan.models:
            for prompt in prompts:
                add(model, prompt, of_sources.get(model, 0) + IMAGE_TOKENS * images)
        if plan.classification_model is not None:
            add(plan.classification_model, classification_prompt(plan.content, entity))
    for row in by_model.values():
        shares = IF_NEEDED_SHARES if row["model"] in if_needed else (1.0, 1.0, 1.0)
        takes = (row["model"], row["input_tokens"], row["output_tokens"], shares)
        row["cost_usd"] = _range(price, *takes)
        if batch_price is not None:
            row["batch_cost_usd"] = _range(batch_price, *takes)
    rows = list(by_model.values())
    return {
        "calls": sum(row["calls"] for row in rows),
        "input_tokens": sum(row["input_tokens"] for row in rows),
        "output_tokens": sum(row["output_tokens"] for row in rows),
        "cost_usd": _sum(rows, "cost_usd"),
        "batch_cost_usd": None if batch_price is None else _sum(rows, "batch_cost_usd"),
        "by_model": rows,
    }


def _find_if_needed(plan: Plan, price: Price) -> set[str]:
    """Return the models that a waterfall may not need."""
    if plan.model_strategy is not ModelStrategy.WATERFALL:
        return set()
    rounds = plan_rounds(plan.models, {model: price(model, MILLION, MILLION) for model in plan.models})
    return {model for models in rounds[1:] for model in models}


def _sum(rows: Sequence[Mapping[str, Any]], member: str) -> dict[str, float]:
    return {name: round(sum(row[member][name] for row in rows), 6) for name in ("low", "expected", "high")}


def _range(price: Price, model: str, inputs: int, outputs: int, shares: tuple[float, float, float]) -> dict[str, float]:
    low, expected, high = shares
    return {
        "low": round(low * price(model, inputs, int(outputs * LOW)), 6),
        "expected": round(expected * price(model, inputs, outputs), 6),
        "high": round(high * price(model, inputs, int(outputs * HIGH)), 6),
    }
