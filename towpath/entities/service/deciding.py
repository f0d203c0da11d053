"""Which pairs are duplicates and which entities form a group: decided for whole components of the pair graph.

A component is decided from all of its pairs at once: labels and thresholds give verdicts, verdicts give groups, and a
group is closed by comparing those of its members that no shared key had brought together. What is decided uses the
evidence of the fields alone; what is stored is what the pair was judged by, with its basis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
import numpy.typing as npt

from towpath.core.threads import compute
from towpath.db.engine import Connection
from towpath.entities.domain.matching import (
    DIFFERENT,
    GROUP_BITS,
    MAX_BITS,
    SAME,
    Constraints,
    Groups,
    MatchModel,
    Pairs,
    cluster,
    find_closing_pairs,
    is_clear_conflict,
    resolve,
    similarity_of_packed,
    weigh_rivals,
)
from towpath.entities.domain.matching.parts import number_parts
from towpath.entities.domain.matching.verdicts import log_odds
from towpath.entities.group_types import Cause
from towpath.entities.service.candidates import Candidates
from towpath.entities.service.labelling import add_missing_pairs, read_constrained, read_constraints
from towpath.entities.service.matching import score_candidates
from towpath.entities.service.naming import Reason, save_named_groups
from towpath.entities.store.generations import find_building
from towpath.entities.store.groups import (
    GoneMember,
    Marks,
    drop_added,
    mark_entities,
    read_groups,
    read_members,
    save_judgements,
    take_gone,
    take_marks,
)
from towpath.entities.store.indexes import Index
from towpath.entities.store.locks import lock_deciding, try_lock_deciding
from towpath.entities.store.pairs import (
    PairGraph,
    ScoredPairs,
    drop_closed,
    read_components,
    save_verdicts,
    write_pairs,
)
from towpath.entities.store.sources import source_expression
from towpath.entities.types import Basis

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

PAIRS_A_LOOK = 50_000
ENTITIES_A_PART = 20_000
"""A batch decides hundreds of thousands: of so many at once the groups, their events and the forest are in memory."""
FEW_ENTITIES = 200
"""The components of so many are decided in a few milliseconds."""
# A group has a pair for every two members: a single write closes small groups, a batch closes larger ones.
MAX_CLOSED_GROUP = 400
MAX_CLOSED_GROUP_AT_ONCE = 40
BY_BATCH = Reason(Cause.BATCH)
CERTAIN = 1.0 / (1.0 + 2.0**-MAX_BITS)
"""The similarity of a pair of which a label says that it is one; of the opposite it is the rest to 1."""
JUDGED = 1.0 / (1.0 + 2.0**-5)
"""The same of a pair that a model has judged: it is right more often than not, and never certain."""


async def decide_all(connection: Connection, index: Index, model: MatchModel, reason: Reason = BY_BATCH) -> int:
    """Decide verdicts and groups of every component that changed, in the caller's transaction.

    Returns:
        How many verdicts changed.
    """
    # Two deciders of one component would each overwrite the other's half with a stale view.
    await lock_deciding(connection, index.index_no)
    marks = await take_marks(connection, index.index_no)
    marks = Marks(sorted({*marks.uids, *await read_constrained(connection, index)}), marks.gone)
    return await _decide_from(connection, index, model, marks, reason)


async def decide_near(
    connection: Connection, index: Index, model: MatchModel, uids: Sequence[int], reason: Reason, *, wait: bool = False
) -> bool:
    """Decide the components of a few entities, for a single write.

    While a batch decides the whole index, the marks stay for the next decision, or for the housekeeping, and the
    verdicts are those of the threshold.

    Args:
        connection: In the transaction of the write.
        index: The generation.
        model: Its model.
        uids: The entities; those of them that were removed have left a mark.
        reason: Why.
        wait: Whether to wait for somebody else who decides.

    Returns:
        Whether it was decided.
    """
    if wait:
        await lock_deciding(connection, index.index_no)
    elif not await try_lock_deciding(connection, index.index_no):
        return False
    marks = await take_marks(connection, index.index_no, uids)
    marks = Marks(sorted({*uids, *marks.uids}), marks.gone)
    await _decide_from(connection, index, model, marks, reason, max_closed=MAX_CLOSED_GROUP_AT_ONCE)
    return True


async def decide_or_mark(
    connection: Connection,
    index: Index,
    model: MatchModel | None,
    uids: Sequence[int],
    reason: Reason,
    *,
    wait: bool = True,
) -> None:
    """Let verdicts and groups follow what was said of some entities, in this generation and the one being built.

    Args:
        connection: In the transaction that says so.
        index: The generation that answers.
        model: Its model; None: nothing is decided now, and the marks stay for whoever decides next.
        uids: The entities.
        reason: Why.
        wait: Whether to wait for somebody else who decides, rather than to leave it to him.
    """
    if not uids:
        return
    if model is None or not await decide_near(connection, index, model, uids, reason, wait=wait):
        await mark_entities(connection, index.index_no, uids)
    building = await find_building(connection, index.organization, index.name)
    if building is not None:
        await mark_entities(connection, building.index_no, uids)


async def decide_marked(
    connection: Connection, index: Index, model: MatchModel, reason: Reason, *, limit: int
) -> int | None:
    """Work marks off that others have left, some at a time.

    Returns:
        How many marks went; None: somebody else decides.
    """
    if not await try_lock_deciding(connection, index.index_no):
        return None
    marks = await take_marks(connection, index.index_no, limit=limit)
    await _decide_from(connection, index, model, marks, reason, max_closed=MAX_CLOSED_GROUP_AT_ONCE)
    return len(marks.uids)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is decided at once: whole components, and all members of every group that one of their entities was in.

    Attributes:
        graph: The pairs, with the similarity that is stored.
        plain: The similarity that the fields of each give.
        basis: What the stored one has beyond it, beside each pair.
        signs: What labels and judgements say of each pair.
        by_labels: What labels alone say of each.
        constraints: What they say of all.
    """

    graph: PairGraph
    plain: Floats
    basis: npt.NDArray[np.object_]
    signs: npt.NDArray[np.int8]
    by_labels: npt.NDArray[np.int8]
    constraints: Constraints

    @property
    def former(self) -> dict[int, int]:
        """Return the group of each entity that is in one."""
        in_group = self.graph.groups != 0
        return dict(zip(self.graph.uids[in_group].tolist(), self.graph.groups[in_group].tolist(), strict=True))

    def only(self, chosen: Flags) -> _Scope:
        """Return the part of some of its entities: whole components, and whole groups."""
        graph = self.graph
        uids = graph.uids[chosen]
        mask = chosen[np.searchsorted(graph.uids, graph.left)]
        part = replace(
            graph.only(mask), uids=uids, sources=tuple(compress(graph.sources, chosen.tolist())),
            groups=graph.groups[chosen], closed=graph.closed[np.isin(graph.closed, uids).any(axis=1)],
        )  # fmt: skip
        return _Scope(
            part, self.plain[mask], self.basis[mask], self.signs[mask], self.by_labels[mask], self.constraints
        )  # fmt: skip

    @property
    def pairs(self) -> Pairs:
        """Return the pairs as they are decided from."""
        return Pairs(self.graph.left, self.graph.right, self.plain)


async def _decide_from(
    connection: Connection,
    index: Index,
    model: MatchModel,
    marks: Marks,
    reason: Reason,
    *,
    max_closed: int = MAX_CLOSED_GROUP,
) -> int:
    """Decide verdicts and groups for the components of marked entities, and close groups of up to `max_closed` members.

    Returns:
        How many verdicts changed.
    """
    if not marks.uids:
        return 0
    scope = await _read_scope(connection, index, model, marks)
    graph = scope.graph
    parts = number_parts(graph.uids, graph.left, graph.right, graph.groups, size=ENTITIES_A_PART)
    reserved = frozenset({*scope.former.values(), *(member.group_uid for member in marks.gone.values())})
    part_of_group = dict(zip(graph.groups.tolist(), parts.tolist(), strict=True)) if marks.gone else {}
    changed = 0
    for number in range(int(parts.max(initial=0)) + 1):
        part = scope if len(graph.uids) <= ENTITIES_A_PART else scope.only(parts == number)
        gone = {uid: left for uid, left in marks.gone.items() if part_of_group.get(left.group_uid, 0) == number}
        changed += await _decide_part(connection, index, model, part, gone, reason, reserved, max_closed=max_closed)
    return changed


async def _decide_part(
    connection: Connection,
    index: Index,
    model: MatchModel,
    scope: _Scope,
    gone: dict[int, GoneMember],
    reason: Reason,
    reserved: frozenset[int],
    *,
    max_closed: int,
) -> int:
    graph = scope.graph
    verdicts, components = await compute(len(graph.uids) <= FEW_ENTITIES, _decide, scope, index, model)
    members, labels = _memberships(graph, components)
    _, group_of_member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # What follows from a larger group stays as it is until a batch decides.
    small = members[(labels == 0) | (sizes[group_of_member] <= max_closed)]
    await drop_closed(connection, index.index_no, graph.closed[np.isin(graph.closed, small).any(axis=1)])
    turned = np.zeros(len(graph.left), dtype=np.bool_)
    if not index.has_clean_sources:
        # With clean sources one-to-one has decided; closing a group would undo it.
        turned = _kept_in_large_groups(scope, components, small)
        left, right = find_closing_pairs(components, scope.pairs, verdicts, max_closed)
        if len(left):
            closed = await _score_closing(connection, index, model, left, right)
            overlap = _overlap_of(graph, closed)
            # A stored pair that reaches the threshold by the prior of its group is a duplicate as well.
            turned |= overlap.in_graph
            await _store_closed(connection, index, closed.only(overlap.is_fresh))
        turned &= _in_group(scope.plain) >= index.config.duplicate_threshold
    await _save_judgements(connection, index, scope, verdicts, turned)
    changed = await save_verdicts(connection, index.index_no, graph, verdicts | turned)
    await save_named_groups(
        connection, index, members, labels, scope.former, gone=gone, reason=reason, reserved=reserved
    )
    return changed


async def _store_closed(connection: Connection, index: Index, fresh: ScoredPairs) -> None:
    if not len(fresh):
        return
    every = np.ones(len(fresh), dtype=np.bool_)
    await write_pairs(
        connection, index.index_no, fresh, duplicate=every, model_version=index.model_version, closed=True
    )
    # Writing marks both ends as changed; nothing is left to decide about them.
    await take_marks(connection, index.index_no, np.unique(np.concatenate([fresh.left, fresh.right])).tolist())


async def _read_scope(connection: Connection, index: Index, model: MatchModel, marks: Marks) -> _Scope:
    seeds = set(marks.uids)
    while True:
        graph = await read_components(
            connection, index.index_no, sorted(seeds), entities=index.entities, source=source_expression(index)
        )
        constraints, missing = await read_constraints(connection, index, graph.uids)
        if missing:
            # Whoever is linked by a label belongs to the component as well as who is linked by a candidate pair.
            await add_missing_pairs(connection, index, model, missing, similarity=CERTAIN)
        behind = await _find_left_behind(connection, index.index_no, graph, marks.gone)
        if not missing and not behind:
            return await _weigh(connection, index, graph, constraints)
        seeds |= behind | {uid for pair in missing for uid in pair}


async def _find_left_behind(
    connection: Connection, index_no: int, graph: PairGraph, gone: dict[int, GoneMember]
) -> set[int]:
    """Find entities that are in a group with one of those in question, and that no pair leads to any more.

    What removed members of these groups have left is taken into `gone` as well.
    """
    named, counts = np.unique(graph.groups[graph.groups != 0], return_counts=True)
    groups: dict[int, int] = dict(zip(named.tolist(), counts.tolist(), strict=True))
    for member in gone.values():
        groups[member.group_uid] = groups.get(member.group_uid, 0) + 1
    stored = await read_groups(connection, index_no, sorted(groups))
    open_groups = [group for group, count in groups.items() if group not in stored or stored[group].size != count]
    if not open_groups:
        return set()
    gone |= await take_gone(connection, index_no, open_groups)
    return (await read_members(connection, index_no, open_groups)).keys() - set(graph.uids.tolist())


async def _weigh(connection: Connection, index: Index, graph: PairGraph, constraints: Constraints) -> _Scope:
    """Find out what the fields alone say of pairs that were judged otherwise, and drop pairs without a label."""
    judged = graph.judged
    plain, basis = graph.similarity.copy(), np.full(len(graph.left), None, dtype=object)
    places = _places_of(graph, judged.left, judged.right)
    for place, name, bits in zip(places.tolist(), judged.basis, judged.bits, strict=True):
        basis[place] = name
        plain[place] = similarity_of_packed(bits)
    signs = by_labels = np.zeros(len(graph.left), dtype=np.int8)
    if constraints:
        signs = constraints.say(graph.left, graph.right)
        by_labels = constraints.say_by_labels(graph.left, graph.right)
    void = (basis == Basis.ADDED) & (signs != SAME)
    if void.any():
        await drop_added(connection, index.index_no, graph.left[void], graph.right[void])
        keep = ~void
        graph = graph.only(keep)
        plain, basis, signs, by_labels = plain[keep], basis[keep], signs[keep], by_labels[keep]
    return _Scope(graph, plain, basis, signs, by_labels, constraints)


def _places_of(graph: PairGraph, left: Int64s, right: Int64s) -> Int64s:
    """Return where some of the graph's pairs stand in it; it is in rising order."""
    starts, ends = np.searchsorted(graph.left, left), np.searchsorted(graph.left, left, side="right")
    spans = zip(starts.tolist(), ends.tolist(), right.tolist(), strict=True)
    places = [start + int(np.searchsorted(graph.right[start:end], uid)) for start, end, uid in spans]
    return np.array(places, dtype=np.int64)


def _in_group(plain: Floats) -> Floats:
    """Return the similarity that pairs have by the prior of their group."""
    return np.asarray(1.0 / (1.0 + np.exp2(-np.minimum(log_odds(plain) + GROUP_BITS, MAX_BITS))))


def _kept_in_large_groups(scope: _Scope, components: Groups, small: Int64s) -> Flags:
    was_turned = scope.basis == Basis.GROUP
    if not was_turned.any():
        return np.zeros(len(scope.plain), dtype=np.bool_)
    left = components.labels[np.searchsorted(components.uids, scope.graph.left)]
    right = components.labels[np.searchsorted(components.uids, scope.graph.right)]
    return np.asarray(was_turned & (left == right) & (scope.signs == 0) & ~np.isin(scope.graph.left, small))


async def _save_judgements(connection: Connection, index: Index, scope: _Scope, verdicts: Flags, turned: Flags) -> None:
    """Bring each pair to the similarity that it is judged by, those that are back to their fields among them."""
    signs, similarity = scope.signs, scope.plain.copy()
    basis = np.full(len(similarity), None, dtype=object)
    lost = (scope.plain >= index.config.duplicate_threshold) & ~verdicts & ~turned & (signs == 0)
    if lost.any():
        beside = weigh_rivals(scope.pairs, verdicts)
        lost &= beside < scope.plain
        similarity[lost], basis[lost] = beside[lost], str(Basis.RIVAL)
    similarity[turned], basis[turned] = _in_group(scope.plain[turned]), str(Basis.GROUP)
    for label, name, value in ((SAME, Basis.SAME, CERTAIN), (DIFFERENT, Basis.DIFFERENT, 1.0 - CERTAIN)):
        similarity[signs == label], basis[signs == label] = value, str(name)
    judged = np.flatnonzero((signs != 0) & (scope.by_labels != signs))
    for label, name, value in (
        (SAME, Basis.JUDGED_SAME, max(JUDGED, index.config.duplicate_threshold)),
        (DIFFERENT, Basis.JUDGED_DIFFERENT, 1.0 - JUDGED),
    ):
        rows = judged[signs[judged] == label]
        similarity[rows], basis[rows] = np.minimum(value, CERTAIN), str(name)
    added = scope.basis == Basis.ADDED
    basis[added] = str(Basis.ADDED)
    differs = (similarity != scope.graph.similarity) | (basis != scope.basis)
    if differs.any():
        await save_judgements(
            connection, index.index_no, scope.graph.left[differs], scope.graph.right[differs], similarity[differs],
            basis[differs].tolist(),
        )  # fmt: skip


async def _score_closing(
    connection: Connection, index: Index, model: MatchModel, left: Int64s, right: Int64s
) -> ScoredPairs:
    """Score the pairs that close groups, a part at a time, and keep those that turn: see `is_clear_conflict`."""
    parts: list[ScoredPairs] = []
    for at in range(0, len(left), PAIRS_A_LOOK):
        some = Candidates(left[at : at + PAIRS_A_LOOK], right[at : at + PAIRS_A_LOOK])
        scored = await score_candidates(connection, index, model, None, some, in_one_group=True)
        parts.append(scored.only(~is_clear_conflict(model, scored.bits[:, 1:])))
    return ScoredPairs(
        left=np.concatenate([part.left for part in parts]),
        right=np.concatenate([part.right for part in parts]),
        similarity=np.concatenate([part.similarity for part in parts]),
        bits=np.concatenate([part.bits for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class _Overlap:
    """Which pairs of the graph were closed, and which closed pairs the graph does not have."""

    in_graph: Flags
    is_fresh: Flags


def _overlap_of(graph: PairGraph, closed: ScoredPairs) -> _Overlap:
    stored = list(zip(graph.left.tolist(), graph.right.tolist(), strict=True))
    new = list(zip(closed.left.tolist(), closed.right.tolist(), strict=True))
    closing, stored_pairs = set(new), set(stored)
    return _Overlap(
        in_graph=np.fromiter((pair in closing for pair in stored), dtype=np.bool_, count=len(stored)),
        is_fresh=np.fromiter((pair not in stored_pairs for pair in new), dtype=np.bool_, count=len(new)),
    )


def _decide(scope: _Scope, index: Index, model: MatchModel) -> tuple[Flags, Groups]:
    graph, pairs = scope.graph, scope.pairs
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
    verdicts = resolve(pairs, index.matching_config, model, sources, scope.signs)
    apart = scope.constraints.apart(graph.uids.tolist()) if scope.constraints else None
    components = cluster(pairs, verdicts, scope.signs, apart)
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
