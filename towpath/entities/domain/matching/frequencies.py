"""How common words and values are: counted in a sample, before anything is compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from towpath.entities.domain.matching.model import (
    MAX_COMMON_VALUES,
    RARE_COUNT,
    FieldModel,
    MatchModel,
    default_model,
    value_hash,
)
from towpath.entities.domain.matching.textspace import Rarity
from towpath.entities.types import FieldType, IndexConfig

MIN_VALUES = 20
"""Fewer values say nothing of how common one of them is."""


def measure_frequencies(config: IndexConfig, values: Sequence[Sequence[str | None]]) -> MatchModel:
    """Return the default model with what the sample says of how common words and values are."""
    base = default_model(config)
    texts: list[str] = []
    fields: list[FieldModel] = []
    for number, field in enumerate(base.fields):
        column = [value for row in values if (value := row[number]) is not None]
        if field.type is FieldType.TEXT:
            texts.extend(column)
        elif field.type is FieldType.STRING:
            texts.extend(value for value in column if " " in value)
        fields.append(field.model_copy(update=_value_statistics(field.type, column)))
    update: dict[str, object] = {"fields": fields, "trained_on": len(values)}
    if len(texts) >= MIN_VALUES:
        update["word_rarity"], update["gram_rarity"] = Rarity.of(texts).pack()
        update["texts"] = len(texts)
    return base.model_copy(update=update)


def _value_statistics(kind: FieldType, column: list[str]) -> dict[str, object]:
    if len(column) < MIN_VALUES:
        return {}
    counts: dict[str, int] = {}
    for value in column:
        counts[value] = counts.get(value, 0) + 1
    often = sorted(((-n, value_hash(v)) for v, n in counts.items() if n >= RARE_COUNT))[:MAX_COMMON_VALUES]
    occurrences = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
    statistics: dict[str, object] = {
        "sampled": len(column),
        "distinct": len(counts),
        # Chance that two entities agree: an average over values; a value met once counts as half a twin.
        "agreement": float(
            (occurrences * np.maximum(occurrences - 1.0, 0.5)).sum() / (len(column) * max(len(column) - 1.0, 1.0))
        ),
        "common": {hashed: -negative for negative, hashed in often},
    }
    if kind is FieldType.NUMBER:
        low, high = np.percentile(np.array([float(value) for value in column]), [10, 90])
        statistics["spread"] = float(high - low) / 2.0
    return statistics
