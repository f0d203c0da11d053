"""Where the line between duplicates and others runs, found from the data without labels.

The sum of the evidence has no true zero: fields depend on each other, and data differ. But most records have no
duplicate, so that what lies near a record is mostly another thing. From that the line is found:

- *Beyond the group*: the best neighbour of a record may be its duplicate; the next one that is in no group with it is
  not. How often such neighbours reach a score tells how often a pair of that score is wrong. The line is the lowest
  score from which few pairs are wrong. Where none is, no pair is certain.
- *One to one*: where sources are free of duplicates, the second best candidate in another source shows what the best
  one looks like for a record without a partner. That tells how many records have a partner, seen from both sources; the
  further the two sides disagree, the less the data say, and the higher the line stays.

Only the prior moves. Without labels it is lowered freely and raised hardly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from towpath.entities.domain.matching.levels import Floats
from towpath.entities.domain.matching.textspace import Int64s

MIN_ENTITIES = 60
NO_SCORE = -60.0
HIGHEST_LINE = 40.0
UNKNOWN_LINE = 12.0
"""Where data show no line: evidence that is beyond doubt whatever the data are."""
NEXT_NEIGHBOURS = 4.0
"""A record without a duplicate has its best neighbour so many times as often above a high score as its next one."""
MAX_WRONG = 0.08
MAX_WRONG_AT_LINE = 0.06
WINDOW = 2.0
MIN_REACHED = 0.02
"""A line that fewer entities reach shows some odd twins, as there are in any list, not duplicates."""
STEP = 0.25
USUAL_LINE = 5.5
"""The line of an index of which nothing is known but that one candidate in nine is a match."""
FIRST_MATCHES = 0.002
"""So many of the matches may fall below the line where it is raised to the usual one."""
WIDE_GAP = 8.0
FEW_BELOW_GAP = 10
"""Up to so many pairs below a wide gap are not taken for the end of the matches. Of more that are none, at least one
would have a second neighbour that speaks against them, all but one time in a hundred at `NEXT_NEIGHBOURS`."""
LOWEST_LINE = 4.0
"""The line where nothing shows that the index holds duplicates at all."""
LOWEST_LINE_OF_COPIES = -12.0
"""The line where a kind of pairs has been found to be matches."""
KIND_BANDWIDTH = 1.0

MAX_ROUNDS = 6
MIN_KIND_SHARE = 0.5
"""From here on a pair is taken to be of the kind of matches."""
MIN_GROUP_SHARE = 0.7
"""Of the pairs at the line, so many are of the kind of matches; once groups have grown, so many lie inside one."""
MIN_EDGE_SHARE = 0.9
"""Where the others become many just below, so many of the pairs at the line lie inside a group."""
EDGE_DEPTH = 4.0
EDGE_GROWTH = 2.5
"""The others become many where, so many bits below, there are so many times as many of them."""
MAX_GROUP_SHARE = 0.3
"""A component of known matches that holds more of all entities is a chain, not a group."""

Bools = npt.NDArray[np.bool_]
Int32s = npt.NDArray[np.int32]


class Candidates(NamedTuple):
    """Candidate pairs as positions of entities.

    Attributes:
        left: one side of each pair.
        right: the other side.
        entities: how many there are.
        sources: with clean sources, the source number of each entity.
        queried: which entities have looked for candidates; what is known of the others' neighbours is by accident.
    """

    left: Int64s
    right: Int64s
    entities: int
    sources: Int32s | None
    queried: Bools


def find_line(evidence: Floats, candidates: Candidates, match_shares: Floats | None) -> float:
    """Return the evidence, in bits, from which a pair is a duplicate, by what lies beyond the groups.

    Where nothing lies between the matches and the others, the line stays as near as may be to the usual one: who comes
    later may well lie there.

    Args:
        evidence: Of each candidate pair, without a prior.
        candidates: The pairs.
        match_shares: The probability that each pair is of a kind that is matches; None: there is no such kind.
    """
    if int(candidates.queried.sum()) < MIN_ENTITIES:
        return UNKNOWN_LINE
    line = _find_lowest_line(evidence, candidates, match_shares)
    matches = np.sort(evidence[evidence >= line])
    # Where nothing lies between, no pair has spoken against going on, and a few below may as well be others.
    lowest = matches[: FEW_BELOW_GAP + 1]
    gaps = np.flatnonzero((np.diff(lowest) > WIDE_GAP) & (lowest[:-1] < USUAL_LINE))
    matches = matches[gaps[-1] + 1 :] if len(gaps) else matches
    if not len(matches):
        return line
    return max(line, min(USUAL_LINE, float(np.quantile(matches, FIRST_MATCHES))))


def _find_lowest_line(evidence: Floats, candidates: Candidates, match_shares: Floats | None) -> float:
    if match_shares is None:
        no_pair = np.zeros(len(evidence), dtype=np.bool_)
        line = _find_line_beyond(evidence, candidates, no_pair, LOWEST_LINE)
        return line if np.isfinite(line) else max(UNKNOWN_LINE, float(evidence.max(initial=0.0)) + 1.0)
    known = match_shares >= MIN_KIND_SHARE
    line = np.inf
    shares = ((MIN_KIND_SHARE, MIN_KIND_SHARE), *[(MIN_GROUP_SHARE, MIN_EDGE_SHARE)] * MAX_ROUNDS)
    for needed, at_edge in shares:
        # Who is linked by way of others is a match as well, so far as links go.
        inside = _is_inside(candidates, known)
        lower = min(
            _find_line_of_kind(evidence, np.maximum(match_shares, inside), needed, at_edge),
            _find_line_beyond(evidence, candidates, inside, LOWEST_LINE_OF_COPIES),
        )
        if not lower <= line - STEP:
            break
        line = lower
        known |= evidence >= line
    return line if np.isfinite(line) else UNKNOWN_LINE


def _is_inside(candidates: Candidates, known: Bools) -> Bools:
    """Return which pairs lie within one connected component of known matches."""
    left, right, entities = candidates.left, candidates.right, candidates.entities
    graph = sparse.csr_matrix((np.ones(int(known.sum())), (left[known], right[known])), shape=(entities, entities))
    groups = connected_components(graph, directed=False)[1]
    if np.bincount(groups).max() > MAX_GROUP_SHARE * entities:
        # One chain through everything says nothing.
        return known
    return np.asarray(groups[left] == groups[right])


def _find_line_of_kind(evidence: Floats, match_shares: Floats, needed: float, at_edge: float) -> float:
    """Return the lowest evidence, from the top, where at least a part of the pairs are of the kind of matches."""
    line = np.inf
    lowest, highest = max(float(evidence.min()), LOWEST_LINE_OF_COPIES), min(float(evidence.max()), 25.0)
    for score in np.arange(lowest, highest + 0.1, STEP)[::-1].tolist():
        near = np.exp(-0.5 * ((evidence - score) / KIND_BANDWIDTH) ** 2)
        if near.sum() < 3.0:
            continue
        # Where the others become many just below, it is their edge that is met, and the groups must hold better.
        others_below = np.exp(-0.5 * ((evidence - (score - EDGE_DEPTH)) / KIND_BANDWIDTH) ** 2) * (1.0 - match_shares)
        is_edge = float(others_below.sum()) > EDGE_GROWTH * float((near * (1.0 - match_shares)).sum()) + 1.0
        if float((near * match_shares).sum() / near.sum()) >= (at_edge if is_edge else needed):
            line = score
        elif np.isfinite(line):
            break
    return float(line)


def _find_line_beyond(evidence: Floats, candidates: Candidates, inside: Bools, lowest: float) -> float:
    """Return the lowest score from which few pairs are wrong; infinity where there is none."""
    best, beyond = _neighbours(evidence, candidates, inside)
    line = np.inf
    enough = max(1.0, MIN_REACHED * len(best))
    for score in np.arange(HIGHEST_LINE, lowest - STEP / 2, -STEP).tolist():
        reached = int((best >= score).sum())
        if reached < enough:
            continue
        # One more than seen: what has not been met is not impossible.
        wrong = (NEXT_NEIGHBOURS * int((beyond >= score).sum()) + 1.0) / reached
        here = int(((best >= score) & (best < score + WINDOW)).sum())
        beyond_here = int(((beyond >= score) & (beyond < score + WINDOW)).sum())
        few_here = NEXT_NEIGHBOURS * beyond_here <= MAX_WRONG_AT_LINE * max(here, 1)
        if wrong <= MAX_WRONG and few_here:
            line = score
        elif np.isfinite(line) and not few_here:
            break
    return float(line)


def _neighbours(evidence: Floats, candidates: Candidates, inside: Bools) -> tuple[Floats, Floats]:
    """Return each entity's best score, and the best one beyond it and beyond the pairs inside a group."""
    entities = candidates.entities
    entity, scores = np.concatenate([candidates.left, candidates.right]), np.tile(evidence, 2)
    inside = np.tile(inside, 2)
    order = np.lexsort((-scores, entity))
    entity, scores, inside = entity[order], scores[order], inside[order]
    is_first = np.concatenate([[True], entity[1:] != entity[:-1]]) if len(entity) else np.zeros(0, dtype=np.bool_)
    best, beyond = np.full(entities, NO_SCORE), np.full(entities, NO_SCORE)
    best[entity[is_first]] = scores[is_first]
    others = ~is_first & ~inside
    np.maximum.at(beyond, entity[others], scores[others])
    return best[candidates.queried], beyond[candidates.queried]


LINKED_GRID = np.arange(-20.0, 25.0, 0.5)
LOWEST_LINKED_LINE = -7.0
LINE_A_DOUBLING = 8.0
"""How far the line rises when one side counts twice as many partners as the other one."""
HIGHEST_LINKED_LINE = 8.0


def find_linked_line(evidence: Floats, candidates: Candidates) -> float:
    """Return the evidence, in bits, from which a pair that wins the assignment is a match, where sources are clean."""
    assert candidates.sources is not None
    tops = find_three_best(evidence, candidates)
    sides = [tops[candidates.queried & (candidates.sources == source)] for source in np.unique(candidates.sources)]
    partners = sorted(len(side) * measure_partnered(side) for side in sides if len(side) >= MIN_ENTITIES)
    if len(partners) < 2 or partners[-2] < 1.0:
        return HIGHEST_LINKED_LINE
    # Of several sources, the two that count most: each pair of them shows the same matches from both ends.
    disagreement = float(np.log2(partners[-1] / partners[-2]))
    return min(LOWEST_LINKED_LINE + LINE_A_DOUBLING * disagreement, HIGHEST_LINKED_LINE)


def measure_partnered(tops: Floats) -> float:
    """Estimate the share of entities with a partner, from their best, second and third best scores, one row each.

    For an entity with a partner, the second best shows the best of those that are none. If a share p has a partner, and
    r is how much rarer a high second best is than a high best one among non-partners, then non-partners reach a score
    in `second / (p + (1 - p) r)` of the cases; and of the entities whose best stays below a score that partners reach,
    `1 - p` have none.
    """
    if not len(tops):
        return 0.0
    best, second, third = (
        (len(tops) - np.searchsorted(np.sort(tops[:, rank]), LINKED_GRID)) / len(tops) for rank in range(3)
    )
    share = 0.5
    for _ in range(60):
        ratio = np.clip((third + 1e-4) / (second + 1e-3), 0.0, 1.0)
        others = np.clip(second / (share + (1.0 - share) * ratio), 0.0, 1.0)
        usable = (others < 0.9) & (best > 0.01)
        if not usable.any():
            return 0.0
        unpartnered = ((1.0 - best[usable]) / np.maximum(1.0 - others[usable], 1e-3)).min()
        estimate = float(np.clip(1.0 - unpartnered, 0.0, 0.995))
        if abs(estimate - share) < 1e-3:
            break
        share = (share + estimate) / 2.0
    return share


def find_three_best(evidence: Floats, candidates: Candidates, rows: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Return entities x 3: the best scores of each entity, over all pairs or some."""
    at = np.arange(len(evidence)) if rows is None else np.flatnonzero(rows)
    entity = np.concatenate([candidates.left[at], candidates.right[at]])
    scores = np.tile(evidence[at], 2)
    order = np.lexsort((-scores, entity))
    entity, scores = entity[order], scores[order]
    rank = np.arange(len(entity)) - np.searchsorted(entity, entity)
    tops = np.full((candidates.entities, 3), NO_SCORE)
    tops[entity[rank < 3], rank[rank < 3]] = scores[rank < 3]
    return tops
