"""Whether sources are free of duplicates: inferred from the candidates, where nobody has declared it.

Where two clean sources list the same things, nearly every record of one of them has a partner in the other: its best
candidate there stands out from the second best. Within a source nothing stands out so. And both sources count about as
many partners, for these are the same pairs seen from both ends. A split that means nothing shows none of this.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.calibration import (
    MIN_ENTITIES,
    NO_SCORE,
    Candidates,
    find_three_best,
    measure_partnered,
)
from towpath.entities.domain.matching.levels import Floats
from towpath.entities.domain.matching.model import InferredStructure
from towpath.entities.domain.matching.splits import Split
from towpath.entities.types import SplitBy

MIN_SOURCE_SHARE = 0.1
"""A source holds at least this part of the entities."""
MAX_ELSEWHERE = 0.02
"""So many entities may be of no such source."""
MIN_PARTNERED = 0.65
MIN_LEAD = 0.25
"""By how much more entities have a partner across sources than within one."""
MAX_DISAGREEMENT = 2.2
"""How many times as many partners one source may count as another."""
MAX_PAIRED_WITHIN = 0.25
"""So many entities may have a partner in their own source, for each that has one in another."""
ENOUGH_PAIRED = 0.9
"""Where so many find their partner without it, the way of writing is left out: it errs in a few of a hundred."""
MIN_DEVIATIONS = 4.0
"""By so many standard deviations more of the mutually best pairs lie across sources than by chance."""
DEALS = 16
MIN_DEVIATIONS_OF_LEAD = 2.5
LEAD_TOLERANCE = 0.02

TIERS = ({SplitBy.SOURCE}, {SplitBy.BATCH, SplitBy.ID_FORM, SplitBy.ID_ORDER}, {SplitBy.STYLE})
"""What is said, what is a trace, what is a guess for each record."""

Bools = npt.NDArray[np.bool_]
Int32s = npt.NDArray[np.int32]


def infer_structure(
    evidence: Floats, candidates: Candidates, splits: Sequence[Split], called: Bools
) -> InferredStructure | None:
    """Return the sources that hold no duplicates within themselves; None: nothing shows that.

    Args:
        evidence: Of each candidate pair, in bits, whether within a source or across.
        candidates: The pairs.
        splits: The sources that entities may fall into. Of those of the first tier that has one that stands the test,
            the one that stands it best is taken.
        called: Which pairs are duplicates where nothing is known of sources.
    """
    if not len(evidence):
        return None
    for tier in TIERS:
        tested = [_test_split(evidence, candidates, split, called) for split in splits if split.by in tier]
        passed = [structure for structure in tested if structure is not None]
        if passed:
            return max(passed, key=lambda structure: structure.confidence)
    return None


def _test_split(evidence: Floats, candidates: Candidates, split: Split, called: Bools) -> InferredStructure | None:
    sources = np.where(candidates.queried, split.sources, -1).astype(np.int32)
    queried = int(candidates.queried.sum())
    counts = np.bincount(sources[sources >= 0], minlength=len(split.names))
    usable = np.flatnonzero((counts >= MIN_SOURCE_SHARE * queried) & (counts >= MIN_ENTITIES))
    if len(usable) < 2 or counts[usable].sum() < (1.0 - MAX_ELSEWHERE) * queried:
        return None
    across, within = _measure_both(evidence, candidates, split.sources, usable)
    partners = np.sort(across * counts[usable])
    lead = float(across.max() - within.max())
    if across.max() < MIN_PARTNERED or lead < MIN_LEAD or partners[-1] > MAX_DISAGREEMENT * partners[-2]:
        return None
    if _count_paired_within(candidates, split.sources, called) > MAX_PAIRED_WITHIN * partners.sum():
        return None
    if split.by is SplitBy.STYLE and _count_paired(candidates, called) >= ENOUGH_PAIRED * partners.sum():
        return None
    if not _is_beyond_chance(evidence, candidates, split.sources, usable, lead):
        return None
    confidence = float(across.max()) * min(1.0, 0.5 + lead)
    names = sorted(split.names[at] for at in usable.tolist())
    return InferredStructure(
        clean_sources=names, confidence=round(confidence, 2), by=split.by, id_bound=split.bound, style=split.style
    )


def _count_paired_within(candidates: Candidates, sources: Int32s, called: Bools) -> int:
    """Count the entities with a partner in their own source, were nothing known of sources."""
    return _count_paired(candidates, called & (sources[candidates.left] == sources[candidates.right]))


def _count_paired(candidates: Candidates, pairs: Bools) -> int:
    paired = np.unique(np.concatenate([candidates.left[pairs], candidates.right[pairs]]))
    return int(candidates.queried[paired].sum())


def _is_beyond_chance(
    evidence: Floats, candidates: Candidates, sources: Int32s, usable: npt.NDArray[np.int64], lead: float
) -> bool:
    """Return whether records that are dealt out to the same sources by chance show less.

    Either pairs of records that are each other's best lie across sources far more often than by chance, or the lead is
    far above that of such deals.
    """
    best = np.full(candidates.entities, NO_SCORE)
    for side in (candidates.left, candidates.right):
        np.maximum.at(best, side, evidence)
    is_mutual = (evidence >= best[candidates.left]) & (evidence >= best[candidates.right])
    is_across = sources[candidates.left[is_mutual]] != sources[candidates.right[is_mutual]]
    shares = np.unique(sources, return_counts=True)[1] / len(sources)
    by_chance = float(1.0 - (shares**2).sum())
    if float(is_across.mean()) > by_chance + MIN_DEVIATIONS * np.sqrt(by_chance * (1.0 - by_chance) / len(is_across)):
        return True
    chance = np.random.default_rng(0)
    dealt = (_measure_both(evidence, candidates, chance.permutation(sources), usable) for _ in range(DEALS))
    leads = np.array([across.max() - within.max() for across, within in dealt])
    return lead > float(leads.mean() + MIN_DEVIATIONS_OF_LEAD * (leads.std() + LEAD_TOLERANCE))


def _measure_both(
    evidence: Floats, candidates: Candidates, sources: Int32s, usable: npt.NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return the share of each usable source's entities that have a partner across sources, and within their own."""
    is_across = np.asarray(sources[candidates.left] != sources[candidates.right], dtype=np.bool_)
    queried = np.where(candidates.queried, sources, -1).astype(np.int32)
    return (
        _measure(evidence, candidates, is_across, queried, usable),
        _measure(evidence, candidates, ~is_across, queried, usable),
    )


def _measure(
    evidence: Floats,
    candidates: Candidates,
    rows: npt.NDArray[np.bool_],
    sources: npt.NDArray[np.int32],
    usable: npt.NDArray[np.int64],
) -> Floats:
    """Return the share of each usable source's entities that have a partner among some of the pairs."""
    tops = find_three_best(evidence, candidates, rows)
    return np.array([measure_partnered(tops[sources == source]) for source in usable.tolist()])
