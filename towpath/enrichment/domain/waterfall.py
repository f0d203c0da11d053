"""Models asked one after the other, cheap ones first: a dearer one only for what is open.

A field is a property of the root. It is open while no model has a value for it, or while those that were asked differ
in a way that no rule of fusion settles by itself; lists are united, so they do not differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from towpath.enrichment.domain.content import Content, resolve_properties
from towpath.enrichment.domain.fusion import fuse, normalise, set_at_path, trim_texts
from towpath.enrichment.domain.known import Known
from towpath.enrichment.types import Fusion

FIRST_MODELS = 2
"""So many of three or more models begin together: one alone is never contradicted."""


def plan_rounds(models: Sequence[str], prices: Mapping[str, float]) -> list[list[str]]:
    """Return which models are asked together, and in which order.

    Args:
        models: The models of the job.
        prices: What each costs; equal ones are taken as they were named.
    """
    ordered = sorted(models, key=lambda model: prices.get(model, 0.0))
    first = FIRST_MODELS if len(ordered) > FIRST_MODELS else 1
    return [ordered[:first], *([model] for model in ordered[first:])]


def find_open_fields(content: Content, results: Mapping[str, Mapping[str, Any]], known: Known) -> list[str]:
    """Return the properties of the root that the next model is asked for.

    Args:
        content: The schema.
        results: What the models so far have given, without those that gave nothing.
        known: What is given with the entity.
    """
    if not results:
        return list(resolve_properties(content))
    fused = fuse(content, results, known=known)
    unknown = {source.path.partition(".")[0] for source in fused.provenance if source.rule == "unknown"}
    disputed = {
        conflict.path.partition(".")[0]
        for conflict in fused.report.conflicts
        if conflict.needs_arbitration and _winner(conflict.values_by_model) is None
    }
    never_given = {name for name in resolve_properties(content) if fused.merged.get(name) is None}
    return [name for name in resolve_properties(content) if name in unknown | disputed | never_given]


def settle_by_last(fused: Fusion, order: Sequence[str]) -> Fusion:
    """Let the dearest model that was asked decide what no majority does: it was asked for that.

    Args:
        fused: By the rules.
        order: The models, cheap ones first.
    """
    settled = fused.model_copy(deep=True)
    for conflict in settled.report.conflicts:
        if not conflict.needs_arbitration:
            continue
        values = conflict.values_by_model
        winner = _winner(values)
        rule = "majority" if winner is not None else "dearest model asked"
        model = winner or max(values, key=lambda model: order.index(model) if model in order else -1)
        set_at_path(settled.merged, conflict.path.split("."), trim_texts(values[model]))
        same = [each for each, value in values.items() if normalise(value) == normalise(values[model])]
        for source in settled.provenance:
            if source.path == conflict.path:
                source.models, source.rule = same, rule
    return settled


def _winner(values: Mapping[str, Any]) -> str | None:
    """Return a model that has the value of more than half, or of more than any other; None: there is none."""
    votes = Counter(normalise(value) for value in values.values())
    (most, count), *others = votes.most_common(2)
    if count < 2 or (others and others[0][1] == count):
        return None
    return next(model for model, value in values.items() if normalise(value) == most)
