"""Gives groups their names after a decision, and writes down what has happened to each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson

from towpath.db.engine import Connection
from towpath.entities.domain.matching import Change, GroupChange, Naming, name_groups
from towpath.entities.domain.matching.naming import derive_name
from towpath.entities.group_types import Cause
from towpath.entities.store.events import NewIndexEvent, append_index_events
from towpath.entities.store.groups import (
    GoneMember,
    GroupRow,
    inherit_ages,
    read_groups,
    read_ids,
    read_members,
    read_overlaps,
    read_sizes,
    rename_groups,
    save_groups,
    save_memberships,
)
from towpath.entities.store.indexes import Index
from towpath.entities.views import group_name

Int64s = npt.NDArray[np.int64]

MAX_MEMBERS_TOLD = 100
"""Members that an event lists on each side; their number is told in any case."""
DERIVED_NAMES = 4
CHANGES_AT_ONCE = 5_000
"""Events that are in memory at the same time."""
NOBODY: dict[str, Any] = {"count": 0, "entityIds": []}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why groups are decided.

    Attributes:
        cause: The word for it.
        job_id: The job that does it.
        remembered: Which group an entity was in before a correction that is undone.
    """

    cause: Cause
    job_id: UUID | None = None
    remembered: Mapping[int, int] | None = None


async def save_named_groups(
    connection: Connection,
    index: Index,
    members: Int64s,
    labels: Int64s,
    memberships: Mapping[int, int],
    *,
    gone: Mapping[int, GoneMember],
    reason: Reason,
    reserved: Collection[int] = (),
) -> None:
    """Write the groups of some entities under their names, and an event for each that is not what it was.

    Args:
        connection: In the transaction that decides.
        index: The generation; what is still being built has no events.
        members: The entities, rising; all members of every group that one of them was in.
        labels: Beside each: a number that is the same for the members of one group; 0 for one that stands alone.
        memberships: The group that each of them was in, of those that were in one.
        gone: Former members that were removed.
        reason: Why.
        reserved: Names that none of them gets if it has not got it: those of other parts of the same decision.
    """
    before = np.array([memberships.get(uid, 0) for uid in members.tolist()], dtype=np.int64)
    changed = _find_changed(before, labels, [member.group_uid for member in gone.values()])
    uids, was, label = members[changed], before[changed], labels[changed]
    if not len(uids) and not gone:
        return
    groups_before: dict[int, set[int]] = defaultdict(set)
    groups_after: dict[int, set[int]] = defaultdict(set)
    for uid, group, number in zip(uids.tolist(), was.tolist(), label.tolist(), strict=True):
        if group:
            groups_before[group].add(uid)
        if number:
            groups_after[number].add(uid)
    for uid, member in gone.items():
        groups_before[member.group_uid].add(uid)
    naming = await name_apart(
        connection,
        index.index_no,
        groups_before,
        list(groups_after.values()),
        remembered=reason.remembered,
        reserved=reserved,
    )
    name_of_label = dict(zip(groups_after, naming.names, strict=True))
    names = np.array([name_of_label.get(number, 0) for number in label.tolist()], dtype=np.int64)
    moved = names != was
    await save_memberships(connection, index.index_no, uids[moved].tolist(), names[moved].tolist())
    await save_changes(connection, index, naming.changes, former=groups_before, gone=gone, reason=reason)


def _find_changed(before: Int64s, labels: Int64s, touched: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Say of each entity whether its group of before or of now is not the same set in both, or has lost a member."""
    order = np.lexsort((labels, before))
    sorted_before, sorted_labels = before[order], labels[order]
    starts = np.ones(len(order), dtype=np.bool_)
    starts[1:] = (sorted_before[1:] != sorted_before[:-1]) | (sorted_labels[1:] != sorted_labels[:-1])
    runs = np.cumsum(starts) - 1
    together = np.empty(len(order), dtype=np.int64)
    together[order] = np.bincount(runs)[runs] if len(order) else 0
    is_whole = (before != 0) & (labels != 0) & ~np.isin(before, np.array(touched, dtype=np.int64))
    for side in (before, labels):
        _, at, sizes = np.unique(side, return_inverse=True, return_counts=True)
        is_whole &= together == sizes[at]
    return np.asarray(~is_whole & ((before != 0) | (labels != 0)))


async def name_apart(
    connection: Connection,
    index_no: int,
    before: Mapping[int, Iterable[int]],
    after: Sequence[Iterable[int]],
    *,
    remembered: Mapping[int, int] | None = None,
    reserved: Collection[int] = (),
) -> Naming:
    """Name groups, with what the store knows of names that others have, and of the age of groups.

    Args:
        connection: In the transaction that decides.
        index_no: The generation that knows the groups of before, and whose names must differ.
        before: The members of each group that was there.
        after: The members of each group that is there.
        remembered: See `Reason`.
        reserved: See `save_named_groups`.
    """
    sets_after = [frozenset(members) for members in after]
    proposed = {min(members) for members in sets_after} | set((remembered or {}).values())
    proposed -= before.keys()
    rows = await read_groups(connection, index_no, sorted(proposed | before.keys()))
    taken = {name for name in proposed if name in rows or name in reserved}
    clashing = {min(members) for members in sets_after} & (taken | before.keys())
    derived = {derive_name(uid, tries) for uid in clashing for tries in range(1, DERIVED_NAMES + 1)}
    taken |= set(await read_groups(connection, index_no, sorted(derived))) if derived else set()
    taken |= {name for name in derived if name in reserved}
    taken -= before.keys()

    def age(group: int) -> tuple[bool, float]:
        row: GroupRow | None = rows.get(group)
        return row is None, row.created_at.timestamp() if row else 0.0

    return name_groups(
        {group: frozenset(members) for group, members in before.items()},
        sets_after,
        is_taken=taken.__contains__,
        age=age,
        remembered=remembered,
    )


async def save_changes(
    connection: Connection,
    index: Index,
    changes: Sequence[Change],
    *,
    former: Iterable[int],
    gone: Mapping[int, GoneMember],
    reason: Reason,
) -> None:
    """Write the sizes of changed groups, and an event for each change where the generation is the live one.

    Args:
        connection: In the transaction that decides.
        index: The generation.
        changes: What has happened.
        former: The groups that were there, of those that have to do with it.
        gone: Former members that were removed.
        reason: Why.
    """
    sizes = {change.group: len(change.after) for change in changes if change.after}
    ended = {change.group for change in changes if not change.after}
    merged = {group for change in changes if change.kind is GroupChange.MERGED for group in change.sources}
    await save_groups(connection, index.index_no, sizes, sorted((ended | merged) & set(former)))
    if index.state != "live":
        return
    for start in range(0, len(changes), CHANGES_AT_ONCE):
        await append_index_events(
            connection,
            index.organization,
            index.name,
            await make_events(connection, index.index_no, changes[start : start + CHANGES_AT_ONCE], gone),
            cause=reason.cause,
            job_id=reason.job_id,
        )


async def make_events(
    connection: Connection, index_no: int, changes: Sequence[Change], gone: Mapping[int, GoneMember]
) -> list[NewIndexEvent]:
    """Put changes into words, with the ids of the first members on each side."""
    listed_uids = {uid for change in changes for side in _sides(change) for uid in side[:MAX_MEMBERS_TOLD]}
    ids = {uid: member.id_json for uid, member in gone.items()}
    ids |= await read_ids(connection, index_no, sorted(listed_uids - ids.keys()))

    def members(uids: list[int]) -> dict[str, Any]:
        listed = [orjson.loads(ids[uid]) for uid in uids[:MAX_MEMBERS_TOLD] if uid in ids]
        # A `GroupMembers`; a batch writes hundreds of thousands.
        return {"count": len(uids), "entityIds": listed}

    events = []
    for change in changes:
        before, after, joined, left = (members(side) if side else NOBODY for side in _sides(change))
        data: dict[str, Any] = {"before": before, "after": after, "joined": joined, "left": left}
        if change.sources:
            data["sources"] = [group_name(group) for group in change.sources]
        if change.parts:
            data["parts"] = [group_name(group) for group in change.parts]
        events.append(NewIndexEvent(change.kind, change.group, data))
    return events


def _sides(change: Change) -> tuple[list[int], list[int], list[int], list[int]]:
    before, after = change.before, change.after
    return sorted(before), sorted(after), sorted(after - before), sorted(before - after)


async def carry_names(connection: Connection, live: Index, building: Index, reason: Reason) -> None:
    """Give the groups of the next generation the names that those of the live one have, and tell what has changed.

    Args:
        connection: In the transaction of the swap; both generations hold the same entities.
        live: The live generation.
        building: The one that takes its place.
        reason: Why.
    """
    overlaps = await read_overlaps(connection, live.index_no, building.index_no)
    known = await read_sizes(connection, live.index_no)
    built = await read_sizes(connection, building.index_no)
    same = {new: old for old, new, shared in overlaps if shared == known.get(old) == built.get(new)}
    unchanged = set(same.values())
    before: dict[int, set[int]] = defaultdict(set)
    after: dict[int, set[int]] = defaultdict(set)
    changed = sorted(known.keys() - unchanged), sorted(built.keys() - same.keys())
    for index_no, groups, members in zip((live.index_no, building.index_no), changed, (before, after), strict=True):
        for uid, group in (await read_members(connection, index_no, groups)).items():
            members[group].add(uid)
    naming = await name_apart(connection, live.index_no, before, list(after.values()))
    names = same | dict(zip(after, naming.names, strict=True))
    await rename_groups(connection, building.index_no, {old: new for old, new in names.items() if old != new})
    await inherit_ages(connection, live.index_no, building.index_no)
    successor = replace(live, index_no=building.index_no)
    await save_changes(connection, successor, naming.changes, former=before, gone={}, reason=reason)
