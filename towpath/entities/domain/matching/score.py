"""Comparison levels to match weights in bits, and these to a probability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.comparison import Comparison, Values, compare_pool, pool
from towpath.entities.domain.matching.levels import Floats
from towpath.entities.domain.matching.model import MatchModel
from towpath.entities.domain.matching.siblings import MIN_BITS, Bools, find_apart, set_siblings_apart
from towpath.entities.domain.matching.textspace import Int64s

MAX_BITS = 20.0
"""Beyond one in a million a probability says nothing more, and its log-odds lose precision."""

COPY_BITS = 5.0
"""Records that are equal in every field, and say enough, are copies, however many there are."""
GROUP_BITS = 4.0
"""What it counts for two entities to stand in one group by way of others."""


class Scores(NamedTuple):
    """Scores of pairs.

    Attributes:
        similarity: probability that the two are the same, 0..1.
        prior_bits: log-odds before the fields were looked at.
        contributions: pairs x fields in bits; with the prior they add up to the log-odds of `similarity`.
    """

    similarity: Floats
    prior_bits: float
    contributions: Floats


def score_pairs(
    model: MatchModel, left: Sequence[Values], right: Sequence[Values], group_prior: bool = False
) -> Scores:
    """Score `left[i]` against `right[i]` for each i. Symmetric, and independent of the other pairs of the call.

    Args:
        model: of the index.
        left: normalised values of entities (`PreparedEntity.values`, or as read back from the store).
        right: as `left`, of the same length.
        group_prior: the pairs stand in one group already, which raises the prior.
    """
    records, left_at, right_at = pool(left, right)
    return score_pool(model, records, left_at, right_at, group_prior)


def score_pool(
    model: MatchModel, records: Sequence[Values], left: Int64s, right: Int64s, group_prior: bool = False
) -> Scores:
    """As `score_pairs`, for pairs given as positions in one list of entities."""
    comparison = compare_pool(model, records, left, right)
    contributions = match_weights(model, comparison)
    prior = _prior(model, GROUP_BITS if group_prior else 0.0)
    likely = np.flatnonzero(prior + contributions.sum(axis=1) > MIN_BITS)
    apart = find_apart(model, records, left, right, comparison, likely)
    return _score(model, comparison, contributions, prior, apart)


def score_comparison(model: MatchModel, comparison: Comparison, apart: Bools) -> Scores:
    """Turn levels into bits and a probability.

    Args:
        model: Of the index.
        comparison: Of the pairs.
        apart: Pairs x fields, where values plainly name two things, see `find_apart`.
    """
    return _score(model, comparison, match_weights(model, comparison), _prior(model), apart)


def _prior(model: MatchModel, extra: float = 0.0) -> float:
    return float(np.clip(model.prior_bits + extra, 1.0 - MAX_BITS, MAX_BITS - 1.0))


def _score(model: MatchModel, comparison: Comparison, contributions: Floats, prior: float, apart: Bools) -> Scores:
    set_siblings_apart(model, apart, contributions, prior)
    total = prior + contributions.sum(axis=1)
    lacking = np.flatnonzero(comparison.copies & (total < COPY_BITS))
    if len(lacking):
        # In equal parts to all fields, so that the explanation adds up.
        contributions[lacking] += ((COPY_BITS - total[lacking]) / contributions.shape[1])[:, None]
        total = prior + contributions.sum(axis=1)
    # What is cut off is taken from the fields in proportion, so that the explanation still adds up.
    bound = np.clip(total, -MAX_BITS, MAX_BITS)
    cut = bound != total
    if cut.any():
        contributions[cut] *= ((bound[cut] - prior) / (total[cut] - prior))[:, None]
        total = prior + contributions.sum(axis=1)
    return Scores(1.0 / (1.0 + np.exp2(-total)), prior, contributions)


def match_weights(model: MatchModel, comparison: Comparison) -> Floats:
    """Return pairs x fields in bits.

    Each is weight x scale x (level + how common the value is + words not shared + words in other fields).
    """
    bits = np.empty(comparison.levels.shape, dtype=np.float64)
    for number, field in enumerate(model.fields):
        # What is missing, and what is not near, is marked by -1: the last entry, which weighs nothing.
        level_bits = np.append(model.level_weights[number], 0.0)[comparison.levels[:, number]]
        word_bits = np.append(field.word_bits, 0.0)[comparison.word_states[:, number]]
        field_bits = level_bits + model.frequency_scale * comparison.frequency_adjustments[:, number] + word_bits
        bits[:, number] = field.weight * field.scale * (field_bits + comparison.cross_field_weights[:, number])
    return bits


def similarity_of(bits: npt.NDArray[np.float32]) -> Floats:
    """Return the probability whose log-odds, in bits, a row of prior and contributions adds up to."""
    return np.asarray(1.0 / (1.0 + np.exp2(-bits.astype(np.float64).sum(axis=1))), dtype=np.float64)


def similarity_of_packed(bits: bytes) -> float:
    """Return the same of one row as it is stored: what the fields of a pair say, however it was judged."""
    return float(similarity_of(np.frombuffer(bits, dtype="<f4")[None, :])[0])
