"""Match weights against neighbours: what a match looks like, beside what lies near a record anyway.

Expectation maximisation takes siblings for matches where they are many: families at one address, variants of a product,
firms of one building. A conflict of first names or of codes then costs nothing. So where nothing says which candidates
are matches, the m probabilities stay what they are for the type of a field, and the u probabilities are counted over
all candidates, as if none were a match. What near records share anyway, a street, a brand, is worth little then, and
a conflict in a field that tells them apart keeps its weight. Fields that are one fact are not counted as many.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.comparison import NOT_NEAR, Comparison
from towpath.entities.domain.matching.estimation import (
    M_PSEUDO_COUNT,
    bound_default_weights,
    count_levels,
    make_monotonic,
)
from towpath.entities.domain.matching.levels import (
    MISSING,
    WORD_SHARES,
    WORD_STATES,
    Floats,
    default_probabilities,
    default_weights,
)
from towpath.entities.domain.matching.model import MatchModel
from towpath.entities.domain.matching.roles import OWN_ROLES

PSEUDO_COUNT = 20.0
"""The default u probabilities count as much as so many pairs."""
AGREEMENT_SHARE = 0.3
"""Part of an agreement's weight that comes from the neighbours; the rest is that of the type, against random pairs."""
MAX_LEVEL_BITS = 9.0
MAX_WORD_BITS = 1.0
MIN_WORD_BITS = -5.0
FREQUENCY_SCALE = 0.25
"""Near records are near because they share values, rare ones too: rarity says less of them than of random pairs."""


def weigh_against_neighbours(
    model: MatchModel,
    candidates: Comparison,
    random_pairs: Comparison | None,
    *,
    pseudo_count: float = PSEUDO_COUNT,
) -> MatchModel:
    """Return the model with match weights against neighbours; its prior is 0.

    Args:
        model: The default model, which knows how common values are.
        candidates: The candidate pairs.
        random_pairs: Pairs that are no candidates; None: the candidates are all the pairs that there are.
        pseudo_count: The default u probabilities count as much as so many pairs.
    """
    fields = []
    for number, field in enumerate(model.fields):
        m, u_default = default_probabilities(field.type)
        levels = candidates.levels[:, number]
        counts = count_levels(levels, field.type)
        u = (counts + pseudo_count * u_default) / (counts.sum() + pseudo_count)
        weight_of_levels = counts + pseudo_count * u_default + 1e-6
        against_neighbours = np.clip(np.log2(m / u), -MAX_LEVEL_BITS, MAX_LEVEL_BITS)
        against_neighbours = make_monotonic(against_neighbours, weight_of_levels, field.type)
        default = default_weights(field.type)
        if random_pairs is None:
            usual = np.minimum(default, np.maximum(against_neighbours, 0.0))
        else:
            usual = bound_default_weights(field.type, count_levels(random_pairs.levels[:, number], field.type))
        mixed = AGREEMENT_SHARE * against_neighbours + (1.0 - AGREEMENT_SHARE) * usual
        # An agreement never speaks against a match, and a conflict weighs as much as either says.
        bits = np.where(default > 0.0, np.maximum(mixed, 0.0), np.minimum(usual, against_neighbours))
        bits = make_monotonic(bits, weight_of_levels, field.type)
        word_bits = _weigh_words(candidates, number)
        if random_pairs is None:
            # Of a few pairs that are all there are, that near texts share their words says nothing.
            word_bits = word_bits - min(word_bits[0], 0.0)
        fields.append(
            field.model_copy(
                update={
                    "bits": [round(float(weight), 4) for weight in bits],
                    "word_bits": [round(float(bit), 4) for bit in word_bits],
                }
            )
        )
    return model.model_copy(update={"fields": fields, "prior_bits": 0.0, "frequency_scale": FREQUENCY_SCALE})


def weigh_words_of_matches(model: MatchModel, candidates: Comparison, matches: npt.NDArray[np.bool_]) -> MatchModel:
    """Return the model with words weighed by what the index's own matches show: few of them conflict, or many."""
    fields = []
    for number, field in enumerate(model.fields):
        states = candidates.word_states[matches, number]
        counts = np.bincount(states[states != NOT_NEAR], minlength=WORD_STATES)
        m = (counts + PSEUDO_COUNT * WORD_SHARES) / (counts.sum() + PSEUDO_COUNT)
        bits = _weigh_words(candidates, number, m)
        fields.append(field.model_copy(update={"word_bits": [round(float(bit), 4) for bit in bits]}))
    return model.with_fields(fields)


def weigh_conflicts_of_matches(model: MatchModel, candidates: Comparison, matches: npt.NDArray[np.bool_]) -> MatchModel:
    """Return the model with conflicts in fields of few values weighed by how often the index's own matches have them.

    A category or a genre is noise in one index, a state or a sex is sure in another one. What tells entities apart
    keeps its weight: siblings that are taken for matches would talk it away.
    """
    fields = []
    for number, field in enumerate(model.fields):
        if field.role in OWN_ROLES or field.is_telling:
            fields.append(field)
            continue
        m_default, u_default = default_probabilities(field.type)
        levels = candidates.levels[:, number]
        of_matches, of_all = (count_levels(some, field.type) for some in (levels[matches], levels))
        m = (of_matches + M_PSEUDO_COUNT * m_default) / (of_matches.sum() + M_PSEUDO_COUNT)
        u = (of_all + PSEUDO_COUNT * u_default) / (of_all.sum() + PSEUDO_COUNT)
        seen = np.clip(np.log2(m / u), -MAX_LEVEL_BITS, 0.0)
        bits = np.array(field.bits)
        bits = np.where(bits < 0.0, np.maximum(bits, seen), bits)
        bits = make_monotonic(bits, of_all + PSEUDO_COUNT * u_default + 1e-6, field.type)
        fields.append(field.model_copy(update={"bits": [round(float(weight), 4) for weight in bits]}))
    return model.with_fields(fields)


def _weigh_words(candidates: Comparison, number: int, m: Floats = WORD_SHARES) -> Floats:
    states = candidates.word_states[:, number]
    states = states[(states != NOT_NEAR) & (candidates.levels[:, number] != MISSING)]
    if not len(states):
        return np.zeros(WORD_STATES)
    u = np.bincount(states, minlength=WORD_STATES) + PSEUDO_COUNT * WORD_SHARES
    bits = np.clip(np.log2(m / (u / u.sum())), MIN_WORD_BITS, MAX_WORD_BITS)
    # One word more apart never speaks for a match.
    return np.asarray(np.minimum.accumulate(bits))
