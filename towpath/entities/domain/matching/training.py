"""Learn a model from a sample of an index, without labels.

For each level of a field, `m` is the probability of the level among matches, `u` that among other pairs, and
log2(m / u) is its match weight in bits. How these are learnt depends on what is known:

- where sources are clean, an entity has at most one partner in each other source, and the candidates of one entity
  compete: expectation maximisation learns both (`estimation`), and the line follows from the number of partners;
- elsewhere only the neighbours are learnt (`neighbours`), for nothing says which candidates are matches; the line is
  where pairs stop being better than what lies near a record anyway (`calibration`, with `latent`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.calibration import MIN_KIND_SHARE, Candidates, find_line, find_linked_line
from towpath.entities.domain.matching.comparison import Values, compare_pool, distinct_pairs
from towpath.entities.domain.matching.estimation import Rivals, compare_random_pairs, estimate_weights
from towpath.entities.domain.matching.frequencies import measure_frequencies
from towpath.entities.domain.matching.latent import find_match_shares
from towpath.entities.domain.matching.levels import Floats
from towpath.entities.domain.matching.model import DEFAULT_LINE_BITS, MatchModel
from towpath.entities.domain.matching.neighbours import (
    weigh_against_neighbours,
    weigh_conflicts_of_matches,
    weigh_words_of_matches,
)
from towpath.entities.domain.matching.score import match_weights
from towpath.entities.domain.matching.siblings import learn_apart_bits
from towpath.entities.domain.matching.splits import Split, propose_splits, propose_style
from towpath.entities.domain.matching.structure import infer_structure
from towpath.entities.domain.matching.textspace import Int64s
from towpath.entities.types import IndexConfig, SplitBy

MIN_PAIRS = 50
"""With fewer candidate pairs there is nothing to learn but how common values are."""
COLD_LINE = 5.0
"""The evidence that makes a pair a duplicate while there are too few entities to compare it with: strong evidence."""
COLD_PSEUDO_COUNT = 5.0
MIN_COLD_ENTITIES = 4
"""With fewer entities, what they share may well be that they are the same."""
MANY_COPIES = 8
"""So many equal records are no accident: who has them has copies."""
COPIED_SHARE = 0.1
"""Nor is it an accident where so many of the entities have an equal one."""
MAX_COLD_ENTITIES = 40
"""Up to here every pair of entities is looked at, since candidates alone would be too few."""


@dataclass(frozen=True)
class Sample:
    """Entities of an index and candidate pairs among them.

    Attributes:
        uids: uid of each entity, unique.
        values: normalised values of each entity.
        left: uid of one side of each candidate pair.
        right: uid of the other side.
        sources: source number of each entity, -1 for none; None: no entity has a source.
        source_names: the sources by number.
        queried: which entities have looked for their candidates; None: all have.
        ids: each entity's id as it was sent; None: not known.
        batches: the batch that brought each entity, -1 for none; None: not known.
    """

    uids: Int64s
    values: Sequence[Values]
    left: Int64s
    right: Int64s
    sources: npt.NDArray[np.int32] | None = None
    source_names: Sequence[str] = ()
    queried: npt.NDArray[np.bool_] | None = None
    ids: Sequence[str] | None = None
    batches: Int64s | None = None


def train(sample: Sample, config: IndexConfig) -> MatchModel:
    """Learn a model. Deterministic, and independent of the order of entities and pairs.

    Args:
        sample: some ten thousand entities with the candidates of as many of them as there is time for; pairs
            whose sides are not both in the sample are left out.
        config: fields, weights, whether sources are clean.
    """
    order = np.argsort(sample.uids, kind="stable")
    uids = np.asarray(sample.uids)[order]
    values = [sample.values[i] for i in order.tolist()]
    left, right = distinct_pairs(uids, sample.left, sample.right)
    clean = sample.sources[order] if config.clean_sources and sample.sources is not None else None
    if len(left) < MIN_PAIRS or len(values) <= MAX_COLD_ENTITIES:
        return train_cold(values, config)
    model = measure_frequencies(config, values)
    comparison = compare_pool(model, values, left, right)
    random_pairs = compare_random_pairs(model, values, clean, len(left))
    queried = np.ones(len(values), dtype=np.bool_) if sample.queried is None else sample.queried[order]
    candidates = Candidates(left, right, len(values), clean, queried)
    if clean is not None:
        model = estimate_weights(model, comparison, random_pairs, Rivals(left, right, len(values)))
        line = find_linked_line(_evidence(match_weights(model, comparison)), candidates)
    else:
        model = weigh_against_neighbours(model, comparison, random_pairs)
        evidence = _evidence(match_weights(model, comparison))
        plain = evidence
        shares = find_match_shares(model, comparison, evidence, candidates)
        matches = None
        if shares is not None:
            matches = shares >= MIN_KIND_SHARE
            model = weigh_words_of_matches(model, comparison, matches)
            model = weigh_conflicts_of_matches(model, comparison, matches)
            evidence = _evidence(match_weights(model, comparison))
        line = find_line(evidence, candidates, shares)
        splits = _propose_splits(sample, order, values, config)
        if config.infer_sources and config.source_field is None:
            splits += propose_style(values, plain, candidates)
        inferred = infer_structure(plain, candidates, splits, evidence >= line)
        model = model.model_copy(update={"inferred": inferred})
        model = learn_apart_bits(model, values, left, right, comparison, matches)
        counts = np.array(list(Counter(tuple(row) for row in values).values()))
        has_many = counts.max() >= MANY_COPIES or counts[counts > 1].sum() >= COPIED_SHARE * len(values)
        model = model.model_copy(update={"equal_are_copies": bool(shares is not None or has_many)})
    return model.model_copy(update={"prior_bits": round(DEFAULT_LINE_BITS - line, 4)})


def _propose_splits(
    sample: Sample,
    order: Int64s,
    values: Sequence[Values],
    config: IndexConfig,
) -> list[Split]:
    if not config.infer_sources:
        return []
    splits = []
    if sample.sources is not None:
        splits.append(Split(SplitBy.SOURCE, sample.source_names, sample.sources[order]))
    if config.source_field is not None:
        # Who names a field knows what the sources are.
        return splits
    ids = None if sample.ids is None else [sample.ids[place] for place in order.tolist()]
    return splits + propose_splits(ids, None if sample.batches is None else sample.batches[order], values)


def _evidence(weights: Floats) -> Floats:
    return np.asarray(weights.sum(axis=1))


def train_cold(values: Sequence[Values], config: IndexConfig) -> MatchModel:
    """Return the model of an index that has few entities yet: what all of them share is no evidence.

    Args:
        values: Normalised values of some of its entities; every pair of them is compared.
        config: Its fields and their weights.
    """
    model = measure_frequencies(config, values)
    nothing = np.empty(0, dtype=np.int64)
    model = learn_apart_bits(model, values, nothing, nothing, compare_pool(model, values, nothing, nothing), None)
    # Equal entities are one witness: what copies share is no sign that all share it.
    values = list(dict.fromkeys(tuple(row) for row in values))
    positions = np.arange(min(len(values), MAX_COLD_ENTITIES))
    left, right = (side.ravel() for side in np.meshgrid(positions, positions, indexing="ij"))
    left, right = left[left < right], right[left < right]
    if len(positions) < MIN_COLD_ENTITIES:
        return model
    comparison = compare_pool(model, values, left, right)
    cold = weigh_against_neighbours(model, comparison, None, pseudo_count=COLD_PSEUDO_COUNT)
    return cold.model_copy(update={"prior_bits": DEFAULT_LINE_BITS - COLD_LINE, "trained_on": 0})
