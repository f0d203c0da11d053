"""Whether sources are free of duplicates: inferred from the candidates, where nobody has declared it.

Where two clean sources list the same things, nearly every record of one of them has a partner in the other: its best
candidate there stands out from the second best. Within a source nothing stands out so. And both sources count about as
many partners, for these are the same pairs seen from both ends. A split that means nothing shows none of this.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.calibration import MIN_ENTITIES, Candidates, find_three_best, measure_partnered
from towpath.entities.domain.matching.levels import Floats
from towpath.entities.domain.matching.model import InferredStructure

MIN_SOURCE_SHARE = 0.1
"""A source holds at least this part of the entities."""
MAX_ELSEWHERE = 0.02
"""So many entities may be of no such source."""
MIN_PARTNERED = 0.65
MIN_LEAD = 0.25
"""By how much more entities have a partner across sources than within one."""
MAX_DISAGREEMENT = 2.2
"""How many times as many partners one source may count as another."""


def infer_structure(evidence: Floats, candidates: Candidates, names: Sequence[str]) -> InferredStructure | None:
    """Return the sources that hold no duplicates within themselves; None: nothing shows that.

    Args:
        evidence: Of each candidate pair, in bits, whether within a source or across.
        candidates: The pairs; `sources` numbers each entity's source, -1 for none.
        names: The sources by number.
    """
    if candidates.sources is None or not len(evidence) or len(names) < 2:
        return None
    sources = np.where(candidates.queried, candidates.sources, -1).astype(np.int32)
    queried = int(candidates.queried.sum())
    counts = np.bincount(sources[sources >= 0], minlength=len(names))
    usable = np.flatnonzero((counts >= MIN_SOURCE_SHARE * queried) & (counts >= MIN_ENTITIES))
    if len(usable) < 2 or counts[usable].sum() < (1.0 - MAX_ELSEWHERE) * queried:
        return None
    is_across = np.asarray(candidates.sources[candidates.left] != candidates.sources[candidates.right], dtype=np.bool_)
    across = _measure(evidence, candidates, is_across, sources, usable)
    within = _measure(evidence, candidates, ~is_across, sources, usable)
    partners = np.sort(across * counts[usable])
    lead = float(across.max() - within.max())
    if across.max() < MIN_PARTNERED or lead < MIN_LEAD or partners[-1] > MAX_DISAGREEMENT * partners[-2]:
        return None
    confidence = float(across.max()) * min(1.0, 0.5 + lead)
    return InferredStructure(clean_sources=sorted(names[at] for at in usable.tolist()), confidence=round(confidence, 2))


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
