"""Names of groups that last: who keeps a name when groups grow, merge and split, and what has happened to each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from towpath.core.words import Word

MIN_KEPT = 2
"""So many members of a group must still be together for its name to go on."""


class GroupChange(Word):
    """What happens to a group."""

    CREATED = "group.created"
    EXTENDED = "group.extended"
    SHRUNK = "group.shrunk"
    MERGED = "group.merged"
    SPLIT = "group.split"
    DISSOLVED = "group.dissolved"


@dataclass(frozen=True, slots=True)
class Change:
    """What has happened to one group.

    Attributes:
        kind: What.
        group: Its name.
        before: Its members before; empty for one that is new.
        after: Its members now; empty for one that is no more.
        sources: Groups that have become a part of it, or that its members were in.
        parts: Groups that its members are in now.
    """

    kind: GroupChange
    group: int
    before: frozenset[int] = frozenset()
    after: frozenset[int] = frozenset()
    sources: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Naming:
    """How groups are called, and what has changed.

    Attributes:
        names: For each group of now, by its place in what was given.
        changes: One for each group that is not what it was, those that are no more first.
    """

    names: list[int]
    changes: list[Change] = field(default_factory=list)


def name_groups(
    before: Mapping[int, frozenset[int]],
    after: list[frozenset[int]],
    *,
    is_taken: Callable[[int], bool],
    age: Callable[[int], object] = lambda group: group,
    remembered: Mapping[int, int] | None = None,
) -> Naming:
    """Name the groups of now after those of before: the largest overlap first, ties to the older group.

    The answer depends on nothing but the sets: not on the order in which they are given.

    Args:
        before: The members of each group that was there, by its name.
        after: The members of each group that is there.
        is_taken: Whether a name belongs to a group that is not among `before`.
        age: Sorts names by age, the oldest first.
        remembered: Which group an entity was in at another time: a group without a name gets that of the group that
            most of its members were in, if nobody has it.
    """
    home = {uid: group for group, members in before.items() for uid in members}
    overlaps: dict[tuple[int, int], int] = defaultdict(int)
    for place, members in enumerate(after):
        for uid in members:
            if uid in home:
                overlaps[home[uid], place] += 1
    names = _inherit(overlaps, after, age)
    used = {*before}
    fresh = sorted((place for place in range(len(after)) if place not in names), key=lambda place: min(after[place]))
    for place in fresh:
        names[place] = _new_name(after[place], lambda name: name in used or is_taken(name), remembered or {})
        used.add(names[place])
    return Naming([names[place] for place in range(len(after))], _changes(before, after, names, overlaps))


def _inherit(
    overlaps: Mapping[tuple[int, int], int], after: list[frozenset[int]], age: Callable[[int], object]
) -> dict[int, int]:
    names: dict[int, int] = {}
    inherited: set[int] = set()

    def rank(overlap: tuple[tuple[int, int], int]) -> tuple[object, ...]:
        (group, place), shared = overlap
        return -shared, age(group), group, min(after[place])

    for (group, place), shared in sorted(overlaps.items(), key=rank):
        if shared >= MIN_KEPT and group not in inherited and place not in names:
            names[place] = group
            inherited.add(group)
    return names


def _new_name(members: frozenset[int], is_taken: Callable[[int], bool], remembered: Mapping[int, int]) -> int:
    votes: dict[int, int] = defaultdict(int)
    for uid in members:
        if uid in remembered:
            votes[remembered[uid]] += 1
    for group, count in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0])):
        if count >= MIN_KEPT and not is_taken(group):
            return group
    name, tries = min(members), 0
    while is_taken(name) or name == 0:
        tries += 1
        name = derive_name(min(members), tries)
    return name


def derive_name(uid: int, tries: int) -> int:
    """Return the name that a group gets where the number of its smallest member is taken, at the n-th try."""
    return int.from_bytes(blake2b(f"{uid}/{tries}".encode(), digest_size=8).digest(), "big", signed=True)


def _changes(
    before: Mapping[int, frozenset[int]],
    after: list[frozenset[int]],
    names: Mapping[int, int],
    overlaps: Mapping[tuple[int, int], int],
) -> list[Change]:
    place_of = {name: place for place, name in names.items()}
    # The groups in which at least two members of a group are still together, the largest part first.
    parts: dict[int, list[int]] = defaultdict(list)
    origins: dict[int, set[int]] = defaultdict(set)
    for (group, place), shared in sorted(overlaps.items(), key=lambda item: (-item[1], min(after[item[0][1]]))):
        origins[place].add(group)
        if shared >= MIN_KEPT:
            parts[group].append(names[place])
    merged: dict[int, list[int]] = defaultdict(list)
    gone: list[Change] = []
    for group in sorted(before.keys() - place_of.keys()):
        whereabouts = parts[group]
        if len(whereabouts) == 1:
            merged[whereabouts[0]].append(group)
        kind = GroupChange.SPLIT if len(whereabouts) > 1 else GroupChange.DISSOLVED
        if len(whereabouts) != 1:
            gone.append(Change(kind, group, before[group], parts=tuple(whereabouts)))
    there = [
        change
        for name, place in sorted(place_of.items())
        if (change := _change_of(name, before.get(name), after[place], merged[name], parts[name], origins[place]))
    ]
    return [*gone, *there]


def _change_of(
    name: int,
    before: frozenset[int] | None,
    after: frozenset[int],
    merged: Iterable[int],
    parts: list[int],
    origins: set[int],
) -> Change | None:
    if before is None:
        return Change(GroupChange.CREATED, name, after=after, sources=tuple(sorted(origins)))
    if taken_in := tuple(sorted(merged)):
        return Change(GroupChange.MERGED, name, before, after, sources=taken_in)
    if len(parts) > 1:
        return Change(GroupChange.SPLIT, name, before, after, parts=tuple(parts))
    if before == after:
        return None
    kind = GroupChange.EXTENDED if after - before else GroupChange.SHRUNK
    return Change(kind, name, before, after)
