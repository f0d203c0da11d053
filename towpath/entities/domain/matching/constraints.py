"""What labels say of entities: who must be in one group, who must not, and where labels contradict each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from towpath.entities.domain.matching.textspace import Int64s
from towpath.entities.domain.matching.verdicts import DIFFERENT, SAME, Int8s
from towpath.entities.domain.spanning import find_path


class PairLabel(NamedTuple):
    """A labelled pair, `left < right`."""

    left: int
    right: int
    duplicate: bool


class Constraints:
    """Labels, closed transitively: who is the same as somebody is the same as whoever that one is the same as.

    Args:
        labels: All labels that have to do with the entities in question, also those of entities that are gone.
    """

    def __init__(self, labels: Iterable[PairLabel]) -> None:
        self._parent: dict[int, int] = {}
        different: list[PairLabel] = []
        for label in sorted(labels):
            for uid in (label.left, label.right):
                self._parent.setdefault(uid, uid)
            if label.duplicate:
                first, second = self.class_of(label.left), self.class_of(label.right)
                self._parent[max(first, second)] = min(first, second)
            else:
                different.append(label)
        self._apart = {frozenset((self.class_of(label.left), self.class_of(label.right))) for label in different}

    def __bool__(self) -> bool:
        return bool(self._parent)

    def class_of(self, uid: int) -> int:
        """Return who stands for all that are the same as an entity; itself where no label names it."""
        while (above := self._parent.get(uid, uid)) != uid:
            uid = above
        return uid

    def says(self, left: int, right: int) -> int:
        """Return what labels say of two entities: SAME, DIFFERENT, or 0."""
        first, second = self.class_of(left), self.class_of(right)
        if first == second:
            return SAME
        return DIFFERENT if frozenset((first, second)) in self._apart else 0

    def say(self, left: Int64s, right: Int64s) -> Int8s:
        """Return the same for each of some pairs."""
        signs = np.zeros(len(left), dtype=np.int8)
        labelled = np.array(sorted(self._parent), dtype=np.int64)
        for row in np.flatnonzero(np.isin(left, labelled) & np.isin(right, labelled)).tolist():
            signs[row] = self.says(int(left[row]), int(right[row]))
        return signs

    def links(self, present: Iterable[int]) -> list[tuple[int, int]]:
        """Return the fewest pairs that link all classes, among the entities that are there; the lower uid first."""
        members: dict[int, list[int]] = defaultdict(list)
        for uid in sorted(present):
            if uid in self._parent:
                members[self.class_of(uid)].append(uid)
        return sorted(pair for uids in members.values() for pair in pairwise(uids))

    def apart(self, present: Iterable[int]) -> tuple[Int64s, Int64s]:
        """Return one pair of entities that are there for each two classes that labels part."""
        first: dict[int, int] = {}
        for uid in sorted(present):
            if uid in self._parent:
                first.setdefault(self.class_of(uid), uid)
        pairs = sorted(
            sorted(first[root] for root in classes)
            for classes in self._apart
            if len(classes) > 1 and all(root in first for root in classes)
        )
        flat = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return flat[:, 0].copy(), flat[:, 1].copy()


def find_contradiction(labels: Sequence[PairLabel], new: Iterable[PairLabel]) -> list[PairLabel] | None:
    """Find labels that cannot all hold, among those that have to do with new ones.

    Args:
        labels: All labels, the new ones among them.
        new: The new ones.

    Returns:
        A label `different`, and behind it the chain of labels `same` between its two entities; None: all can hold.
    """
    constraints = Constraints(labels)
    touched = {constraints.class_of(uid) for label in new for uid in (label.left, label.right)}
    for label in sorted(labels):
        if label.duplicate or constraints.class_of(label.left) not in touched:
            continue
        if constraints.class_of(label.left) == constraints.class_of(label.right):
            return [label, *find_chain(labels, label.left, label.right)]
    return None


def find_chain(labels: Iterable[PairLabel], start: int, end: int) -> list[PairLabel]:
    """Return the shortest chain of labels `same` from one entity to another; empty: there is none."""
    return find_path([label for label in sorted(labels) if label.duplicate], start, end)
