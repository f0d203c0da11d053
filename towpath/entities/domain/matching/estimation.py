"""Expectation maximisation over the comparison levels of candidate pairs, in Fellegi and Sunter's model.

Three constraints keep the estimate from running away, since nobody has labelled anything:

- m and u start from the defaults by type and stay near them while there is little evidence (pseudo counts),
- the match weight may not fall while likeness grows,
- candidates of one entity compete: it has at most one partner in each other source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.comparison import Comparison, Values, compare_pool
from towpath.entities.domain.matching.levels import (
    MISSING,
    Floats,
    default_probabilities,
    default_weights,
    level_count,
    monotonic_runs,
)
from towpath.entities.domain.matching.model import MatchModel
from towpath.entities.domain.matching.textspace import Int64s
from towpath.entities.types import FieldType

ROUNDS = 15
MIN_PAIRS = 50
"""With fewer random pairs nothing is said of how cheap an agreement is."""
M_PSEUDO_COUNT = 60.0
"""The default m probabilities count as much as so many matches."""
U_PSEUDO_COUNT = 20.0
"""The default u probabilities count as much as so many other pairs."""
MAX_LEVEL_BITS = 9.0
RANDOM_PAIRS = 20_000
MIN_AGREEMENT_BITS = 0.3
"""Agreement keeps at least this many bits, since likeness never speaks against a match."""
RANDOM_PAIR_WEIGHT = 0.75
"""Weight of random pairs beside the candidates that are no matches."""


def count_levels(levels: npt.NDArray[np.int16], kind: FieldType) -> Int64s:
    """Count how many pairs are on each level of a field; a pair with a missing value is on none."""
    return np.bincount(levels[levels != MISSING], minlength=level_count(kind))


def estimate_weights(model: MatchModel, comparison: Comparison, random_pairs: Comparison, rivals: Rivals) -> MatchModel:
    """Estimate the match weight of each level by expectation maximisation, half way between data and defaults.

    The prior stays where it is, since a free one runs away where matches are few.

    Args:
        model: The default model, which knows how common values are.
        comparison: The candidate pairs.
        random_pairs: Pairs that are no candidates.
        rivals: Which candidates compete.
    """
    levels, has_level = comparison.levels, comparison.levels != MISSING
    defaults = [default_probabilities(field.type) for field in model.fields]
    random_counts = [
        count_levels(random_pairs.levels[:, number], field.type) for number, field in enumerate(model.fields)
    ]
    bounded = [
        bound_default_weights(field.type, counts) for field, counts in zip(model.fields, random_counts, strict=True)
    ]
    weights = [default.copy() for default in bounded]
    # What no round changes: how common the shared values are, and words that stand in different fields.
    fixed = (comparison.frequency_adjustments + comparison.cross_field_weights).sum(axis=1)
    for _ in range(ROUNDS):
        # Expectation: how probably each pair is a match under the present weights.
        total = model.prior_bits + fixed
        for number, field_weights in enumerate(weights):
            rows = has_level[:, number]
            total[rows] += field_weights[levels[rows, number]]
        match_probabilities = rivals.match_probabilities(total)
        # Maximisation: m and u of each level, counted over the pairs as parts of matches and of others.
        largest_change = 0.0
        for number, field in enumerate(model.fields):
            rows = has_level[:, number]
            size = len(weights[number])
            m = np.bincount(levels[rows, number], weights=match_probabilities[rows], minlength=size)
            u = np.bincount(levels[rows, number], weights=1.0 - match_probabilities[rows], minlength=size)
            if random_counts[number].sum():
                # Random pairs are surely no matches; they keep a list full of copies from looking ordinary.
                u = u + random_counts[number] * (RANDOM_PAIR_WEIGHT * rows.sum() / random_counts[number].sum())
            m = (m + M_PSEUDO_COUNT * defaults[number][0]) / (m.sum() + M_PSEUDO_COUNT)
            u = (u + U_PSEUDO_COUNT * defaults[number][1]) / (u.sum() + U_PSEUDO_COUNT)
            estimated = np.clip(np.log2(m / u), -MAX_LEVEL_BITS, MAX_LEVEL_BITS)
            monotonic = make_monotonic(estimated, m + u, field.type)
            # The mean with the defaults may fall somewhere again.
            averaged = make_monotonic((monotonic + bounded[number]) / 2.0, m + u, field.type)
            largest_change = max(largest_change, float(np.abs(averaged - weights[number]).max()))
            weights[number] = averaged
        if largest_change < 0.01:
            break
    fields = [
        field.model_copy(update={"bits": [round(float(weight), 4) for weight in field_weights]})
        for field, field_weights in zip(model.fields, weights, strict=True)
    ]
    return model.with_fields(fields)


def bound_default_weights(kind: FieldType, random_counts: Int64s) -> Floats:
    """Return the default match weights, none above what the level's frequency among random pairs allows.

    In a field of few values, as a venue or a city, agreement is cheap, whatever its type is usually worth.

    Args:
        kind: The field's type.
        random_counts: How many random pairs are on each level.
    """
    weights = default_weights(kind)
    pairs = int(random_counts.sum())
    if pairs < MIN_PAIRS:
        return weights
    m_probabilities, _ = default_probabilities(kind)
    for run in monotonic_runs(kind):
        # Of this level or a higher one of the run: for matches by default, for random pairs as counted. One pair more
        # keeps a level that no random pair has reached finite.
        m_at_least = np.cumsum(m_probabilities[run][::-1])[::-1] / m_probabilities[run].sum()
        u_at_least = (np.cumsum(random_counts[run][::-1])[::-1] + 1.0) / pairs
        weights[run] = np.minimum(weights[run], np.maximum(np.log2(m_at_least / u_at_least), MIN_AGREEMENT_BITS))
    return weights


@dataclass(frozen=True)
class Rivals:
    """Candidate pairs as positions of entities; the candidates of one entity compete."""

    left: Int64s
    right: Int64s
    entities: int

    def match_probabilities(self, total: Floats) -> Floats:
        """Return the probability that each pair is a match, from its log-odds in bits."""
        odds = np.exp2(np.clip(total, -40.0, 40.0))
        # One of an entity's candidates is its partner, or none is: the odds of all of them share one whole.
        sums = np.bincount(self.left, weights=odds, minlength=self.entities)
        sums = sums + np.bincount(self.right, weights=odds, minlength=self.entities)
        return np.asarray(odds / (1.0 + np.maximum(sums[self.left] + sums[self.right] - odds, odds)))


def compare_random_pairs(
    model: MatchModel, values: Sequence[Values], sources: npt.NDArray[np.int32] | None, pairs: int
) -> Comparison:
    """Compare random pairs: with clean sources, across sources only, as the candidates are."""
    positions = np.random.default_rng(0).integers(0, len(values), (2, min(pairs, RANDOM_PAIRS)))
    is_fair = positions[0] != positions[1]
    # Identical entities are no accident: in a list full of copies they would make agreement look cheap.
    is_fair &= np.array([values[i] != values[j] for i, j in positions.T.tolist()], dtype=bool)
    if sources is not None:
        is_fair &= sources[positions[0]] != sources[positions[1]]
    return compare_pool(model, values, positions[0][is_fair], positions[1][is_fair])


def make_monotonic(weights: Floats, counts: Floats, kind: FieldType) -> Floats:
    """Pool neighbouring levels until the weight nowhere falls while likeness grows (pool adjacent violators).

    Args:
        weights: The match weight of each level.
        counts: How much each level counts in a mean.
        kind: The field's type, which says along which levels likeness grows.
    """
    monotonic = weights.copy()
    for run in monotonic_runs(kind):
        # Blocks of levels that share a weight: the weight, how much it counts, how many levels.
        blocks: list[tuple[float, float, int]] = []
        for weight, count in zip(weights[run].tolist(), counts[run].tolist(), strict=True):
            blocks.append((weight, count, 1))
            while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
                (lower, lower_count, lower_levels), (upper, upper_count, upper_levels) = blocks[-2], blocks[-1]
                total = lower_count + upper_count
                mean = (lower * lower_count + upper * upper_count) / total
                blocks[-2:] = [(mean, total, lower_levels + upper_levels)]
        monotonic[run] = np.concatenate([np.full(levels, weight) for weight, _, levels in blocks])
    return monotonic
