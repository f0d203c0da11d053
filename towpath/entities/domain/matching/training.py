"""Learn a model from a sample of an index, without labels.

Expectation maximisation over the levels of candidate pairs (Fellegi and Sunter's model), held by three ropes:

- the shares among matches start from the defaults by type and stay near them while there is little evidence,
- evidence may not fall while likeness grows,
- where sources are clean an entity has at most one partner in each, so candidates of one entity compete.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.calibration import Candidates, calibrate
from towpath.entities.domain.matching.comparison import Comparison, Values, compare_pool
from towpath.entities.domain.matching.levels import MISSING, Floats, chains, default_bits, default_tables, level_count
from towpath.entities.domain.matching.model import (
    MAX_COMMON_VALUES,
    RARE_COUNT,
    FieldModel,
    MatchModel,
    default_model,
    value_hash,
)
from towpath.entities.domain.matching.score import evidence
from towpath.entities.domain.matching.textspace import Int64s, Rarity
from towpath.entities.types import FieldType, IndexConfig

ROUNDS = 15
MIN_PAIRS = 50
"""With fewer candidate pairs there is nothing to learn but how common words are."""
MATCH_ROPE = 60.0
OTHER_ROPE = 20.0
MAX_LEVEL_BITS = 9.0
MAX_PRIOR = 1.0
CHANCE_PAIRS = 20_000
MIN_LIMIT = 0.3
"""Agreement keeps at least this many bits, since likeness never speaks against a match."""
CHANCE_SHARE = 0.75
"""Weight of pairs drawn by chance beside the candidates that are no matches."""


@dataclass(frozen=True)
class Sample:
    """Entities of an index and candidate pairs among them.

    Attributes:
        uids: uid of each entity, unique.
        values: normalised values of each entity.
        left: uid of one side of each candidate pair.
        right: uid of the other side.
        sources: source number of each entity, when the index has a source field.
    """

    uids: Int64s
    values: Sequence[Values]
    left: Int64s
    right: Int64s
    sources: npt.NDArray[np.int32] | None = None


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
    left, right = _pairs(uids, sample.left, sample.right)
    model = _frequencies(config, values)
    if len(left) < MIN_PAIRS:
        return model
    clean = sample.sources[order] if config.clean_sources and sample.sources is not None else None
    comparison = compare_pool(model, values, left, right)
    chance = _by_chance(model, values, clean, len(left))
    model = _maximise(model, comparison, chance, _Rivals(left, right, len(values), clean is not None))
    return calibrate(model, evidence(model, comparison), config, Candidates(left, right, len(values), clean))


def _pairs(uids: Int64s, left: Int64s, right: Int64s) -> tuple[Int64s, Int64s]:
    """Each unordered pair once, as positions in `uids`."""
    nothing = np.empty(0, dtype=np.int64)
    if not len(uids) or not len(left):
        return nothing, nothing
    left_at = np.minimum(np.searchsorted(uids, left), len(uids) - 1)
    right_at = np.minimum(np.searchsorted(uids, right), len(uids) - 1)
    is_sampled = (uids[left_at] == left) & (uids[right_at] == right) & (left_at != right_at)
    low, high = np.minimum(left_at, right_at)[is_sampled], np.maximum(left_at, right_at)[is_sampled]
    pairs = np.unique(low * len(uids) + high)
    return pairs // len(uids), pairs % len(uids)


def _frequencies(config: IndexConfig, values: Sequence[Values]) -> MatchModel:
    """The default evidence with what the sample says of how common words and values are."""
    base = default_model(config)
    texts: list[str] = []
    fields: list[FieldModel] = []
    for number, field in enumerate(base.fields):
        column = [value for row in values if (value := row[number]) is not None]
        if field.type is FieldType.TEXT:
            texts.extend(column)
        fields.append(field.model_copy(update=_value_statistics(field.type, column)))
    update: dict[str, object] = {"fields": fields, "trained_on": len(values)}
    if len(texts) >= 20:
        update["word_rarity"], update["gram_rarity"] = Rarity.of(texts).pack()
    return base.model_copy(update=update)


def _value_statistics(kind: FieldType, column: list[str]) -> dict[str, object]:
    if len(column) < 20:
        return {}
    counts: dict[str, int] = {}
    for value in column:
        counts[value] = counts.get(value, 0) + 1
    often = sorted(((-n, value_hash(v)) for v, n in counts.items() if n >= RARE_COUNT))[:MAX_COMMON_VALUES]
    occurrences = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
    statistics: dict[str, object] = {
        "sampled": len(column),
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


def _maximise(model: MatchModel, comparison: Comparison, chance: Comparison, rivals: _Rivals) -> MatchModel:
    """Evidence of each level by expectation maximisation, half way between what the data and what the defaults say.

    The prior stays where it is, since a free one runs away where matches are few; only where candidates are mostly
    matches, in a list full of copies, does it rise with their share.
    """
    levels, has_level = comparison.levels, comparison.levels != MISSING
    defaults = [default_tables(field.type) for field in model.fields]
    by_chance = [
        np.bincount(chance.levels[chance.levels[:, number] != MISSING, number], minlength=level_count(field.type))
        for number, field in enumerate(model.fields)
    ]
    anchors = [_anchor(field.type, counts) for field, counts in zip(model.fields, by_chance, strict=True)]
    bits = [anchor.copy() for anchor in anchors]
    rarity = (comparison.rarity_bits + comparison.astray_bits).sum(axis=1)
    matches = np.zeros(len(levels))
    for _ in range(ROUNDS):
        total = model.prior_bits + rarity
        for number, table in enumerate(bits):
            at = has_level[:, number]
            total[at] += table[levels[at, number]]
        matches = rivals.share(total)
        moved = 0.0
        for number, field in enumerate(model.fields):
            at = has_level[:, number]
            size = len(bits[number])
            m = np.bincount(levels[at, number], weights=matches[at], minlength=size)
            u = np.bincount(levels[at, number], weights=1.0 - matches[at], minlength=size)
            if by_chance[number].sum():
                # Pairs by chance are surely no matches; they keep a list full of copies from looking ordinary.
                u = u + by_chance[number] * (CHANCE_SHARE * at.sum() / by_chance[number].sum())
            m = (m + MATCH_ROPE * defaults[number][0]) / (m.sum() + MATCH_ROPE)
            u = (u + OTHER_ROPE * defaults[number][1]) / (u.sum() + OTHER_ROPE)
            raw = np.clip(np.log2(m / u), -MAX_LEVEL_BITS, MAX_LEVEL_BITS)
            smoothed = _rising((_rising(raw, m + u, field.type) + anchors[number]) / 2.0, m + u, field.type)
            moved = max(moved, float(np.abs(smoothed - bits[number]).max()))
            bits[number] = smoothed
        if moved < 0.01:
            break
    fields = [
        field.model_copy(update={"bits": [round(float(b), 4) for b in table]})
        for field, table in zip(model.fields, bits, strict=True)
    ]
    share = float(matches.mean())
    prior = max(model.prior_bits, min(float(np.log2(max(share, 1e-6) / max(1.0 - share, 1e-6))), MAX_PRIOR))
    return model.model_copy(update={"fields": fields, "prior_bits": prior})


def _anchor(kind: FieldType, by_chance: Int64s) -> Floats:
    """The default evidence, but no level is worth more than its rarity among pairs drawn by chance allows.

    In a field of few values, as a venue or a city, agreement is cheap, whatever its type is usually worth.
    """
    bits = default_bits(kind)
    pairs_by_chance = int(by_chance.sum())
    if pairs_by_chance < MIN_PAIRS:
        return bits
    shares = default_tables(kind)[0]
    for run in chains(kind):
        at_least = np.cumsum(shares[run][::-1])[::-1] / shares[run].sum()
        by_accident = (np.cumsum(by_chance[run][::-1])[::-1] + 1.0) / pairs_by_chance
        bits[run] = np.minimum(bits[run], np.maximum(np.log2(at_least / by_accident), MIN_LIMIT))
    return bits


@dataclass(frozen=True)
class _Rivals:
    """Candidate pairs as positions of entities, and whether the candidates of one entity compete."""

    left: Int64s
    right: Int64s
    entities: int
    compete: bool

    def share(self, total: Floats) -> Floats:
        """Probability that each pair is a match, from its bits."""
        odds = np.exp2(np.clip(total, -40.0, 40.0))
        if not self.compete:
            return np.asarray(odds / (1.0 + odds))
        sums = np.bincount(self.left, weights=odds, minlength=self.entities)
        sums = sums + np.bincount(self.right, weights=odds, minlength=self.entities)
        return np.asarray(odds / (1.0 + np.maximum(sums[self.left] + sums[self.right] - odds, odds)))


def _by_chance(
    model: MatchModel, values: Sequence[Values], sources: npt.NDArray[np.int32] | None, pairs: int
) -> Comparison:
    """Compare pairs drawn by chance: with clean sources, across sources only, as the candidates are."""
    positions = np.random.default_rng(0).integers(0, len(values), (2, min(pairs, CHANCE_PAIRS)))
    is_fair = positions[0] != positions[1]
    # Identical entities are no accident: in a list full of copies they would make agreement look cheap.
    is_fair &= np.array([values[i] != values[j] for i, j in positions.T.tolist()], dtype=bool)
    if sources is not None:
        is_fair &= sources[positions[0]] != sources[positions[1]]
    return compare_pool(model, values, positions[0][is_fair], positions[1][is_fair])


def _rising(bits: Floats, weights: Floats, kind: FieldType) -> Floats:
    """Pool neighbouring levels until evidence nowhere falls while likeness grows."""
    risen = bits.copy()
    for run in chains(kind):
        blocks: list[tuple[float, float, int]] = []
        for value, weight in zip(bits[run].tolist(), weights[run].tolist(), strict=True):
            blocks.append((value, weight, 1))
            while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
                (a, wa, na), (b, wb, nb) = blocks[-2], blocks[-1]
                blocks[-2:] = [((a * wa + b * wb) / (wa + wb), wa + wb, na + nb)]
        risen[run] = np.concatenate([np.full(n, value) for value, _, n in blocks])
    return risen
