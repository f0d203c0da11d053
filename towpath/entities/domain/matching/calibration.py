"""Where the line between duplicates and others runs, found from the shape of the scores alone.

Evidence of several fields is not independent, so its sum is too sure of itself and its zero is not where it
should be. Two signs of the true zero need no labels:

- *a gap*: the scores of each entity's best candidate fall into two heaps, and the line belongs between them;
- *second bests*, where sources are clean: an entity has at most one partner in another source, so the second
  best candidate there shows what the best one looks like when there is no partner. That tells how many entities
  have one, and the line belongs where as many pairs pass.

Both move the prior only, by a bounded amount, and only as far as the sign is clear.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.levels import Floats
from towpath.entities.domain.matching.model import MatchModel
from towpath.entities.domain.matching.textspace import Int64s
from towpath.entities.types import IndexConfig

MIN_ENTITIES = 60
MIN_LINE = -9.0
MAX_LINE = 4.0
_STEP = 0.5
_GRID = np.arange(-30.0, 31.0, _STEP)
_BANDWIDTH = 1.2
_NO_SCORE = -60.0


class Candidates(NamedTuple):
    """Candidate pairs as positions of entities.

    Attributes:
        left: one side of each pair.
        right: the other side.
        entities: how many there are.
        sources: with clean sources, the source number of each entity.
    """

    left: Int64s
    right: Int64s
    entities: int
    sources: npt.NDArray[np.int32] | None


def calibrate(model: MatchModel, contributions: Floats, config: IndexConfig, candidates: Candidates) -> MatchModel:
    """Move the prior so that the line between duplicates and others falls on the default threshold."""
    total = model.prior_bits + contributions.sum(axis=1)
    # The line of an untuned index; a user's own threshold is a wish to be stricter or laxer than that.
    line = float(np.log2(0.85 / 0.15))
    if candidates.sources is not None:
        moved = _by_second_best(total, candidates, line)
    else:
        moved = _by_gap(_best_of_each(total, candidates), line)
    return model.model_copy(update={"prior_bits": round(model.prior_bits - moved, 4)})


def _best_of_each(total: Floats, candidates: Candidates) -> Floats:
    best = np.full(candidates.entities, -np.inf)
    np.maximum.at(best, candidates.left, total)
    np.maximum.at(best, candidates.right, total)
    return np.asarray(best[np.isfinite(best)])


def _by_gap(best: Floats, line: float) -> float:
    """Return how far above `line` the deepest gap between two heaps of scores is; 0 when there is none."""
    if len(best) < MIN_ENTITIES:
        return 0.0
    bins = np.append(_GRID, _GRID[-1] + _STEP) - _STEP / 2
    counts = np.histogram(np.clip(best, _GRID[0], _GRID[-1]), bins)[0].astype(np.float64)
    offsets = np.arange(-12, 13) * _STEP
    kernel = np.exp(-0.5 * (offsets / _BANDWIDTH) ** 2)
    # Where matches and others part, the smoothed histogram has a valley. Its depth is the ratio to the lower of the two
    # heaps beside it, which the running maxima from both ends give for each place.
    smooth = np.convolve(counts, kernel / kernel.sum(), "same")
    heaps = np.minimum(np.maximum.accumulate(smooth), np.maximum.accumulate(smooth[::-1])[::-1])
    depth = smooth / np.maximum(heaps, 1e-9)
    below = np.cumsum(counts) / len(best)
    allowed = (_GRID >= MIN_LINE) & (_GRID <= MAX_LINE) & (below >= 0.02) & (below <= 0.98) & (heaps >= 2.0)
    if not allowed.any():
        return 0.0
    # Of equally deep places, the one nearest to the line that holds without any sign.
    cost = np.where(allowed, depth + 0.01 * np.abs(_GRID - line), np.inf)
    at = int(np.argmin(cost))
    clear = float(np.clip((0.7 - depth[at]) / 0.35, 0.0, 1.0))
    return clear * float(_GRID[at] - line)


def _by_second_best(total: Floats, candidates: Candidates, line: float) -> float:
    """Return how far below `line` (as a negative number) pairs must pass for every entity with a partner to find it."""
    assert candidates.sources is not None
    tops, owners = _find_three_best(total, candidates)
    share, cut = 0.0, line
    for source in np.unique(candidates.sources[owners]):
        own = tops[candidates.sources[owners] == source]
        if len(own) < MIN_ENTITIES:
            continue
        partnered = _estimate_partnered_share(own)
        if partnered > share:
            share, cut = partnered, float(np.quantile(own[:, 0], 1.0 - partnered))
    clear = float(np.clip((share - 0.4) / 0.3, 0.0, 1.0))
    return clear * min(0.0, max(cut, MIN_LINE) - line)


def _estimate_partnered_share(tops: Floats) -> float:
    """Share of entities whose best candidate is better than chance explains, held low on purpose.

    If nobody has a partner, the best stands to the second as the second to the third; partners lift only the best.
    """
    edge = np.quantile(tops[:, 1], 0.7)
    first, second, third = ((tops[:, rank] < edge).mean() for rank in range(3))
    if second <= 0.0 or third <= 0.0:
        return 0.0
    lifted = 1.0 - min(1.0, (first / second) / (second / third))
    return float(np.clip((lifted - 0.25) / 0.65, 0.0, 0.95))


def _find_three_best(total: Floats, candidates: Candidates) -> tuple[Floats, Int64s]:
    """Best three scores of each entity within each other source, and the entity of each row."""
    assert candidates.sources is not None
    entity = np.concatenate([candidates.left, candidates.right])
    other = candidates.sources[np.concatenate([candidates.right, candidates.left])].astype(np.int64)
    scores = np.concatenate([total, total])
    row = entity * (int(other.max(initial=0)) + 1) + other
    order = np.lexsort((-scores, row))
    row, scores, entity = row[order], scores[order], entity[order]
    starts = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]]))
    number = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(row))))
    rank = np.arange(len(row)) - starts[number]
    # Row by row the scores fall: a score's rank is its distance from the start of its row.
    tops = np.full((len(starts), 3), _NO_SCORE)
    tops[number[rank < 3], rank[rank < 3]] = scores[rank < 3]
    return tops, entity[starts]
