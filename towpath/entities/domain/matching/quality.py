"""How good verdicts are likely to be: an estimate of their precision, and fields that cannot tell entities apart."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from towpath.entities.domain.matching.comparison import Values
from towpath.entities.domain.matching.levels import Floats
from towpath.entities.quality_types import FieldEvidence

BIN_EDGES = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.999)
"""Similarities that labels are compared within: finer where most verdicts are."""
PSEUDO_LABELS = 4.0
"""The model's own probability counts as much as so many labels of a bin."""
MIN_VALUES = 5
CONSTANT_SHARE = 0.95
FEW_VALUES_AGREEMENT = 0.05
"""If two values agree by chance this often, an agreement says next to nothing: as with twenty equally common ones."""
MIN_VALUES_TO_COUNT = 20


class Strata(NamedTuple):
    """Counts by bin of similarity, see `BIN_EDGES`.

    Attributes:
        verdicts: pairs that are called duplicates.
        probability: the sum of their similarities.
        labelled: labelled pairs that score as duplicates.
        right: those of them that people call duplicates.
    """

    verdicts: Floats
    probability: Floats
    labelled: Floats
    right: Floats


class FieldFacts(NamedTuple):
    """What a sample of values says of a field."""

    evidence: FieldEvidence
    filled: float
    distinct: int
    top_share: float


def estimate_precision(strata: Strata) -> float | None:
    """Estimate which share of the verdicts is right; None: there is none.

    The mean probability of the verdicts, corrected by labels within each bin of similarity: people label the doubtful
    pairs first, so what they say of those must not be taken for all.
    """
    total = float(strata.verdicts.sum())
    if total <= 0.0:
        return None
    mean = strata.probability / np.maximum(strata.verdicts, 1e-12)
    corrected = (mean * PSEUDO_LABELS + strata.right) / (PSEUDO_LABELS + strata.labelled)
    return float((corrected * strata.verdicts).sum() / total)


def bin_of(similarity: float) -> int:
    """Return the number of the bin that a similarity falls into."""
    return bisect_right(BIN_EDGES, similarity) - 1


def examine_fields(rows: Sequence[Values], fields: int) -> list[FieldFacts]:
    """Say of each field whether its values can tell entities apart.

    Args:
        rows: Normalised values of a sample of entities.
        fields: How many fields there are.
    """
    return [_examine([row[number] for row in rows]) for number in range(fields)]


def _examine(column: Sequence[str | None]) -> FieldFacts:
    counts = Counter(value for value in column if value is not None)
    values = counts.total()
    if not values:
        return FieldFacts(FieldEvidence.EMPTY if len(column) >= MIN_VALUES else FieldEvidence.GOOD, 0.0, 0, 0.0)
    top_share = max(counts.values()) / values
    agreement = sum(n * (n - 1) for n in counts.values()) / max(values * (values - 1), 1)
    evidence = FieldEvidence.GOOD
    if values >= MIN_VALUES and len(counts) == 1:
        evidence = FieldEvidence.CONSTANT
    elif values >= MIN_VALUES_TO_COUNT and top_share >= CONSTANT_SHARE:
        evidence = FieldEvidence.NEAR_CONSTANT
    elif values >= MIN_VALUES_TO_COUNT and agreement >= FEW_VALUES_AGREEMENT:
        evidence = FieldEvidence.FEW_VALUES
    return FieldFacts(evidence, values / len(column), len(counts), top_share)
