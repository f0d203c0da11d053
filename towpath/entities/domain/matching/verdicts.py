"""From scores to verdicts and groups: what the pairs around a pair say about it.

Both work on any set of whole connected components of the pair graph, and answer the same whatever else is in the
call and in whatever order.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.levels import Floats
from towpath.entities.domain.matching.model import DEFAULT_LINE_BITS, MatchModel
from towpath.entities.domain.matching.score import MAX_BITS
from towpath.entities.domain.matching.textspace import Int64s
from towpath.entities.types import IndexConfig

CERTAIN_BITS = 8.0
"""Evidence beyond this is not compared any more."""
ABSENT_BITS = 2.0
ABSENT_EACH = 2
CONFLICT_BITS = 2.5
SAME, DIFFERENT = 1, -1
"""What a label says of a pair; 0: there is none."""

Bools = npt.NDArray[np.bool_]
Int8s = npt.NDArray[np.int8]


class Pairs(NamedTuple):
    """Stored pairs; each unordered pair once.

    Attributes:
        left: uid of one side.
        right: uid of the other side.
        similarity: score, 0..1.
    """

    left: Int64s
    right: Int64s
    similarity: Floats


def log_odds(similarity: Floats) -> Floats:
    """Similarity in bits."""
    bounded = np.clip(similarity, 1e-9, 1.0 - 1e-9)
    return np.asarray(np.log2(bounded / (1.0 - bounded)))


def resolve(
    pairs: Pairs,
    config: IndexConfig,
    model: MatchModel,
    sources: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]] | None = None,
    labels: Int8s | None = None,
) -> Bools:
    """Verdict of each pair.

    With clean sources, each entity gets at most one partner in each other source: pairs are taken best first.
    Otherwise a pair must reach the threshold and stay within `margin_bits` of the best candidate of either side.
    A label has the last word, and with clean sources the first.

    Args:
        pairs: all stored pairs of the components in question, each with what its fields say.
        config: threshold and whether sources are clean.
        model: its margin.
        sources: source number of the left and of the right side of each pair; needed for clean sources.
        labels: what labels say of each pair; None: there are none.
    """
    signs = np.zeros(len(pairs.left), dtype=np.int8) if labels is None else labels
    eligible = (pairs.similarity >= config.duplicate_threshold) & (signs == 0)
    if config.clean_sources and sources is not None:
        return _assign(pairs, eligible, sources, signs == SAME)
    return np.asarray((eligible & _within_margin(pairs, model.margin_bits, signs != DIFFERENT)) | (signs == SAME))


def weigh_rivals(pairs: Pairs, verdicts: Bools) -> Floats:
    """Return the similarity of each pair in the light of the duplicates that its two entities are in.

    Where one of them is taken already, the pair has to be true instead of that one: its odds share the whole with those
    of the best such duplicate. A pair that is a duplicate, or whose entities are in none, keeps its similarity.

    Args:
        pairs: all stored pairs of the components in question, each with what its fields say.
        verdicts: of each.
    """
    bits = log_odds(pairs.similarity)
    nodes, ends = _positions(pairs)
    best = np.full(len(nodes), -np.inf)
    for side in ends:
        np.maximum.at(best, side[verdicts], bits[verdicts])
    rival = np.maximum(best[ends[0]], best[ends[1]])
    beside = bits - np.log2(1.0 + np.exp2(np.minimum(rival, 2 * MAX_BITS)))
    return np.where(verdicts | ~np.isfinite(rival), pairs.similarity, 1.0 / (1.0 + np.exp2(-beside)))


def _within_margin(pairs: Pairs, margin: float, compared: Bools) -> Bools:
    # Beyond doubt is beyond comparison: a strong pair stays a duplicate beside an identical one.
    bits = np.where(compared, np.minimum(log_odds(pairs.similarity), CERTAIN_BITS), -np.inf)
    nodes, ends = _positions(pairs)
    best = np.full(len(nodes), -np.inf)
    np.maximum.at(best, ends[0], bits)
    np.maximum.at(best, ends[1], bits)
    return np.asarray(bits >= np.maximum(best[ends[0]], best[ends[1]]) - margin)


def _assign(
    pairs: Pairs, eligible: Bools, sources: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]], labelled: Bools
) -> Bools:
    verdict = labelled.copy()
    low, high = np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right)
    at = np.flatnonzero(eligible & (sources[0] != sources[1]))
    order = at[np.lexsort((high[at], low[at], -pairs.similarity[at]))]
    assigned: set[tuple[int, int]] = set()
    for row in np.flatnonzero(labelled).tolist():
        assigned.add((int(pairs.left[row]), int(sources[1][row])))
        assigned.add((int(pairs.right[row]), int(sources[0][row])))
    lefts, rights = pairs.left[order].tolist(), pairs.right[order].tolist()
    of_left, of_right = sources[0][order].tolist(), sources[1][order].tolist()
    for row, left, right, left_source, right_source in zip(
        order.tolist(), lefts, rights, of_left, of_right, strict=True
    ):
        if (left, right_source) in assigned or (right, left_source) in assigned:
            continue
        assigned.add((left, right_source))
        assigned.add((right, left_source))
        verdict[row] = True
    return verdict


def _positions(pairs: Pairs) -> tuple[Int64s, tuple[Int64s, Int64s]]:
    nodes, position_of_end = np.unique(np.concatenate([pairs.left, pairs.right]), return_inverse=True)
    half = len(pairs.left)
    return nodes, (position_of_end[:half], position_of_end[half:])


class Groups(NamedTuple):
    """Who belongs together.

    Attributes:
        uids: every entity of the pairs, rising.
        labels: group of each entity: the smallest uid of its members.
    """

    uids: Int64s
    labels: Int64s


def cluster(
    pairs: Pairs, verdicts: Bools, labels: Int8s | None = None, apart: tuple[Int64s, Int64s] | None = None
) -> Groups:
    """Cluster the entities of the pairs so that one weak link cannot glue two groups.

    Average linkage over the evidence of the stored pairs, strongest edge first: a pair that was judged to be no
    duplicate counts against a merge, a pair that was never stored counts against it a little. What labels link is
    linked before all evidence, and what they part no evidence links.

    Args:
        pairs: all stored pairs of the components in question.
        verdicts: of each.
        labels: what labels say of each; None: there are none.
        apart: further pairs that labels part, whether stored or not; of entities that no pair has nothing follows.
    """
    nodes, (left, right) = _positions(pairs)
    signs = np.zeros(len(left), dtype=np.int8) if labels is None else labels
    bits = np.clip(log_odds(pairs.similarity), -8.0, 8.0)
    value = np.where(verdicts, np.maximum(bits, 0.5), np.minimum(bits - 6.0, -2.0))
    value[signs == DIFFERENT] = -np.inf
    forest = _Forest(len(nodes))
    for first, second, weight in zip(left.tolist(), right.tolist(), value.tolist(), strict=True):
        forest.link(first, second, weight)
    if apart is not None and len(nodes):
        known = np.isin(apart[0], nodes) & np.isin(apart[1], nodes)
        for first, second in zip(*(np.searchsorted(nodes, side[known]).tolist() for side in apart), strict=True):
            forest.link(first, second, -np.inf)
    low, high = np.minimum(left, right), np.maximum(left, right)
    linked = np.flatnonzero(signs == SAME)
    linked = linked[np.lexsort((high[linked], low[linked]))]
    for first, second in zip(left[linked].tolist(), right[linked].tolist(), strict=True):
        forest.merge(first, second, at_once=True)
    chosen = np.flatnonzero(verdicts)
    order = chosen[np.lexsort((high[chosen], low[chosen], -pairs.similarity[chosen]))]
    for first, second in zip(left[order].tolist(), right[order].tolist(), strict=True):
        forest.merge(first, second)
    roots = np.array([forest.find(node) for node in range(len(nodes))], dtype=np.int64)
    smallest = np.full(len(nodes), np.iinfo(np.int64).max)
    np.minimum.at(smallest, roots, nodes)
    return Groups(nodes, smallest[roots])


class _Forest:
    """Groups that grow: for each, its size and the evidence between it and every other that it has a pair with."""

    def __init__(self, nodes: int) -> None:
        self._parent = list(range(nodes))
        self._size = [1] * nodes
        self._support: list[dict[int, tuple[float, int]]] = [{} for _ in range(nodes)]

    def link(self, first: int, second: int, weight: float) -> None:
        """Note the evidence between two entities."""
        self._support[first][second] = self._support[second][first] = (weight, 1)

    def find(self, node: int) -> int:
        """Return the root of an entity's group."""
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def merge(self, first: int, second: int, *, at_once: bool = False) -> None:
        """Merge the groups of two entities if the evidence between all of their members is for it.

        Args:
            first: One entity.
            second: The other one.
            at_once: A label links them: only another label can be against it.
        """
        size, support = self._size, self._support
        a, b = self.find(first), self.find(second)
        if a == b:
            return
        weight, edges = support[a].get(b, (0.0, 0))
        # A pair that is not stored is a mild no. Large groups cannot have every pair among the stored candidates,
        # so there it is enough that the members of the smaller group have some links each.
        absent = min(size[a] * size[b] - edges, ABSENT_EACH * min(size[a], size[b]))
        if weight == -np.inf or (weight - ABSENT_BITS * absent <= 0.0 and not at_once):
            return
        if len(support[a]) < len(support[b]):
            a, b = b, a
        self._parent[b] = a
        size[a] += size[b]
        for other, (weight_of_b, count) in support[b].items():
            if other == a:
                continue
            weight_of_a, edges_of_a = support[a].get(other, (0.0, 0))
            support[a][other] = support[other][a] = (weight_of_a + weight_of_b, edges_of_a + count)
            support[other].pop(b, None)
        support[a].pop(b, None)
        support[b] = {}


def find_closing_pairs(clusters: Groups, pairs: Pairs, verdicts: Bools, largest: int = 400) -> tuple[Int64s, Int64s]:
    """Pairs inside a group that are no duplicates yet, most of them never compared.

    An entity keeps its best candidates only, so a group of many copies is held together by a part of its pairs.
    Score these with `score_pairs(model, left, right, group_prior=True)`: being in one group counts before the fields
    are looked at; those that reach the threshold are duplicates. Groups above `largest` members are left out.

    Returns:
        Uids of both sides, the smaller left, in rising order of left, then right.
    """
    order = np.lexsort((clusters.uids, clusters.labels))
    labels, members = clusters.labels[order], clusters.uids[order]
    starts = np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]])) if len(labels) else np.empty(0, int)
    sizes = np.diff(np.append(starts, len(labels)))
    is_closed = (sizes > 2) & (sizes <= largest)
    # A single write near a group of thousands decides that group anew: what its pairs are matters to no closing.
    known = np.flatnonzero(verdicts)
    known = known[np.isin(pairs.left[known], members[np.repeat(is_closed, sizes)])]
    low = np.minimum(pairs.left[known], pairs.right[known])
    high = np.maximum(pairs.left[known], pairs.right[known])
    known_duplicates = set(zip(low.tolist(), high.tolist(), strict=True))
    closing: list[tuple[int, int]] = []
    for start, count in zip(starts[is_closed].tolist(), sizes[is_closed].tolist(), strict=True):
        group = members[start : start + count].tolist()
        closing.extend(pair for pair in combinations(group, 2) if pair not in known_duplicates)
    closing.sort()
    flat = np.array(closing, dtype=np.int64).reshape(-1, 2)
    return flat[:, 0].copy(), flat[:, 1].copy()


def is_clear_conflict(model: MatchModel, contributions: npt.NDArray[np.floating]) -> Bools:
    """Say of each row of contributions whether its fields contradict each other too clearly for a group to decide.

    The prior of a group does not turn a pair that by itself is rather none, nor one that disagrees in a field in which
    nearly every record has a value of its own: such a field tells records apart. What is a duplicate by itself needs no
    group.

    Args:
        model: of the index.
        contributions: pairs x fields in bits, without the prior.
    """
    unique = np.array([field.is_nearly_unique for field in model.fields], dtype=np.bool_)
    disagrees = (contributions[:, unique] <= -CONFLICT_BITS).any(axis=1)
    alone = model.prior_bits + contributions.sum(axis=1, dtype=np.float64)
    return np.asarray((alone < DEFAULT_LINE_BITS) & (disagrees | (alone < 0.0)))
