"""What an enrichment will take before it is begun: calls, tokens, dollars."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from towpath.enrichment.domain.prompts import classification_prompt, count_leaves, enrichment_prompt
from towpath.enrichment.domain.runs import calls_of
from towpath.enrichment.types import Plan
from towpath.llm.types import Prompt

CHARACTERS_A_TOKEN = 4
LEAF_TOKENS = 18
FORM_SHARE = 1.0
LOW, HIGH = 0.5, 2.0
"""An answer takes half to twice the expected tokens; prompts are known."""

Price = Callable[[str, int, int], float]


def prompt_tokens(prompt: Prompt) -> int:
    """About how many tokens a prompt takes, its form included."""
    characters = len(prompt.system) + len(prompt.user) + FORM_SHARE * len(str(prompt.form))
    return math.ceil(characters / CHARACTERS_A_TOKEN) + 1000 * len(prompt.images)


def answer_tokens(prompt: Prompt) -> int:
    """About how many tokens an answer takes."""
    return min(prompt.most_tokens, LEAF_TOKENS * count_leaves(prompt.form))


def estimate(
    plan: Plan, entities: Sequence[Mapping[str, Any]], price: Price, *, batch_price: Price | None = None
) -> dict[str, Any]:
    """Return what a plan over entities takes, as the API answers it.

    Args:
        plan: The plan.
        entities: Those that will be enriched.
        price: Dollars for a model, its input tokens and its output tokens.
        batch_price: The same through batches; None: not every provider has them.
    """
    by_model: dict[str, dict[str, Any]] = {}

    def add(model: str, prompt: Prompt) -> None:
        row = by_model.setdefault(model, {"model": model, "calls": 0, "input_tokens": 0, "output_tokens": 0})
        row["calls"] += 1
        row["input_tokens"] += prompt_tokens(prompt)
        row["output_tokens"] += answer_tokens(prompt)

    for entity in entities:
        prompts = [
            enrichment_prompt(plan.content, entity, domain=domain, keys=keys, languages=plan.languages)
            for domain, keys in calls_of(plan)
        ]
        for model in plan.models:
            for prompt in prompts:
                add(model, prompt)
        if plan.classification_model is not None:
            add(plan.classification_model, classification_prompt(plan.content, entity))
    for row in by_model.values():
        row["cost_usd"] = _range(price, row["model"], row["input_tokens"], row["output_tokens"])
        if batch_price is not None:
            row["batch_cost_usd"] = _range(batch_price, row["model"], row["input_tokens"], row["output_tokens"])
    rows = list(by_model.values())
    return {
        "calls": sum(row["calls"] for row in rows),
        "input_tokens": sum(row["input_tokens"] for row in rows),
        "output_tokens": sum(row["output_tokens"] for row in rows),
        "cost_usd": _sum(rows, "cost_usd"),
        "batch_cost_usd": None if batch_price is None else _sum(rows, "batch_cost_usd"),
        "by_model": rows,
    }


def _sum(rows: Sequence[Mapping[str, Any]], member: str) -> dict[str, float]:
    return {name: round(sum(row[member][name] for row in rows), 6) for name in ("low", "expected", "high")}


def _range(price: Price, model: str, inputs: int, outputs: int) -> dict[str, float]:
    return {
        "low": round(price(model, inputs, int(outputs * LOW)), 6),
        "expected": round(price(model, inputs, outputs), 6),
        "high": round(price(model, inputs, int(outputs * HIGH)), 6),
    }
