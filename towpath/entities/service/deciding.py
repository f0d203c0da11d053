"""Which pairs are duplicates and which entities form a group: decided for whole components of the pair graph.

A component is decided from all of its pairs at once: thresholds give verdicts, verdicts give groups, and a group is
closed by comparing those of its members that no shared key had brought together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection
from towpath.entities.domain.matching import Groups, MatchModel, Pairs, cluster, find_closing_pairs, resolve
from towpath.entities.service.candidates import Candidates
from towpath.entities.service.matching import score_candidates
from towpath.entities.store.indexes import Index
from towpath.entities.store.locks import lock_deciding, try_lock_deciding
from towpath.entities.store.pairs import (
    PairGraph,
    ScoredPairs,
    drop_closed,
    read_components,
    save_groups,
    save_verdicts,
    take_dirty,
    write_pairs,
)

Int64s = npt.NDArray[np.int64]

PAIRS_A_LOOK = 50_000
# A group has a pair for every two members: a single write closes small groups, a batch closes larger ones.
MAX_CLOSED_GROUP = 400
MAX_CLOSED_GROUP_AT_ONCE = 40


async def decide_all(connection: Connection, index: Index, model: MatchModel) -> int:
    """Decide verdicts and groups of every component that changed, in the caller's transaction.

    Returns:
        How many verdicts changed.
    """
    # Two deciders of one component would each overwrite the other's half with a stale view.
    await lock_deciding(connection, index.index_no)
    return await _decide_from(connection, index, model, await take_dirty(connection, index.index_no))


async def decide_near(connection: Connection, index: Index, model: MatchModel, uids: Sequence[int]) -> None:
    """Decide the components of a few entities, for a single write; waits for nobody.

    While a batch decides the whole index, the marks stay for the next decision and the verdicts are
    those of the threshold.
    """
    if await try_lock_deciding(connection, index.index_no):
        await take_dirty(connection, index.index_no, uids)
        await _decide_from(connection, index, model, uids, max_closed=MAX_CLOSED_GROUP_AT_ONCE)


async def _decide_from(
    connection: Connection, index: Index, model: MatchModel, seeds: Sequence[int], *, max_closed: int = MAX_CLOSED_GROUP
) -> int:
    """Decide verdicts and groups for the components of `seeds`, and close groups of up to `max_closed` members.

    Returns:
        How many verdicts changed.
    """
    if not seeds:
        return 0
    graph = await read_components(connection, index.index_no, seeds)
    verdicts, components = await asyncio.to_thread(_decide, graph, index, model)
    members, labels = _memberships(graph, components)
    _, group_of_member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # What follows from a larger group stays as it is until a batch decides.
    small = members[(labels == 0) | (sizes[group_of_member] <= max_closed)]
    await drop_closed(connection, index.index_no, small)
    if not index.has_clean_sources:
        # With clean sources one-to-one has decided; closing a group would undo it.
        left, right = find_closing_pairs(components, _pairs(graph), verdicts, max_closed)
        closed = await _score_closing(connection, index, model, left, right)
        overlap = _overlap_of(graph, closed)
        # A stored pair that reaches the threshold by the prior of its group is a duplicate as well.
        verdicts |= overlap.in_graph
        fresh = closed.only(overlap.is_fresh)
        every = np.ones(len(fresh), dtype=np.bool_)
        await write_pairs(
            connection, index.index_no, fresh, duplicate=every, model_version=index.model_version, closed=True
        )
        # Writing marks both ends as changed; nothing is left to decide about them.
        await take_dirty(connection, index.index_no, np.unique(np.concatenate([fresh.left, fresh.right])).tolist())
    changed = await save_verdicts(connection, index.index_no, graph, verdicts)
    await save_groups(connection, index.index_no, members, labels)
    return changed


async def _score_closing(
    connection: Connection, index: Index, model: MatchModel, left: Int64s, right: Int64s
) -> ScoredPairs:
    """Score the pairs that close groups, a part at a time, and keep those that reach the threshold."""
    parts: list[ScoredPairs] = []
    for at in range(0, max(len(left), 1), PAIRS_A_LOOK):
        some = Candidates(left[at : at + PAIRS_A_LOOK], right[at : at + PAIRS_A_LOOK])
        parts.append(await score_candidates(connection, index, model, None, some, in_one_group=True))
    return ScoredPairs(
        left=np.concatenate([part.left for part in parts]),
        right=np.concatenate([part.right for part in parts]),
        similarity=np.concatenate([part.similarity for part in parts]),
        bits=np.concatenate([part.bits for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class _Overlap:
    """Which pairs of the graph were closed, and which closed pairs the graph does not have."""

    in_graph: npt.NDArray[np.bool_]
    is_fresh: npt.NDArray[np.bool_]


def _overlap_of(graph: PairGraph, closed: ScoredPairs) -> _Overlap:
    stored = list(zip(graph.left.tolist(), graph.right.tolist(), strict=True))
    new = list(zip(closed.left.tolist(), closed.right.tolist(), strict=True))
    closing, stored_pairs = set(new), set(stored)
    return _Overlap(
        in_graph=np.fromiter((pair in closing for pair in stored), dtype=np.bool_, count=len(stored)),
        is_fresh=np.fromiter((pair not in stored_pairs for pair in new), dtype=np.bool_, count=len(new)),
    )


def _pairs(graph: PairGraph) -> Pairs:
    return Pairs(graph.left, graph.right, graph.similarity)


def _decide(graph: PairGraph, index: Index, model: MatchModel) -> tuple[npt.NDArray[np.bool_], Groups]:
    sources = None
    if index.has_clean_sources:
        numbers = {name: number for number, name in enumerate(sorted({s for s in graph.sources if s is not None}))}
        # An entity without a source is a source of its own: it may be anybody's duplicate.
        numbered = [
            numbers[source] if source is not None else len(numbers) + place
            for place, source in enumerate(graph.sources)
        ]
        by_place = np.array(numbered, dtype=np.int32)
        left, right = np.searchsorted(graph.uids, graph.left), np.searchsorted(graph.uids, graph.right)
        sources = by_place[left], by_place[right]
    verdicts = resolve(_pairs(graph), index.matching_config, model, sources)
    components = cluster(_pairs(graph), verdicts)
    if not index.has_clean_sources and len(graph.left):
        # A pair that the groups have torn apart is no duplicate.
        left, right = np.searchsorted(components.uids, graph.left), np.searchsorted(components.uids, graph.right)
        verdicts = verdicts & (components.labels[left] == components.labels[right])
    return verdicts, components


def _memberships(graph: PairGraph, components: Groups) -> tuple[Int64s, Int64s]:
    """Return every entity of the graph and, beside each, its group; 0 for those that stand alone."""
    labels, counts = np.unique(components.labels, return_counts=True)
    has_company = np.isin(components.labels, labels[counts > 1])
    group_of_member = np.zeros(len(graph.uids), dtype=np.int64)
    group_of_member[np.searchsorted(graph.uids, components.uids[has_company])] = components.labels[has_company]
    return graph.uids, group_of_member
