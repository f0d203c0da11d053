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

    Judgements of a model count in the same way as far as they contradict neither labels nor each other. Of judgements
    that contradict each other `different` holds; which of the others hold depends on what is said alone.

    Args:
        labels: All labels that have to do with the entities in question, also those of entities that are gone.
        judgements: All judgements that have to do with them.

    Attributes:
        refused: The judgements that do not hold.
    """

    def __init__(self, labels: Iterable[PairLabel], judgements: Iterable[PairLabel] = ()) -> None:
        self._parent: dict[int, int] = {}
        self._apart: dict[int, set[int]] = defaultdict(set)
        self.refused: list[PairLabel] = []
        labels, judgements = list(labels), list(judgements)
        for label in sorted(labels, key=lambda label: (not label.duplicate, label)):
            self._add(label)
        self._by_labels = Constraints(labels) if judgements else None
        for judgement in sorted(judgements, key=lambda judgement: (judgement.duplicate, judgement)):
            if self.says(judgement.left, judgement.right) == (DIFFERENT if judgement.duplicate else SAME):
                self.refused.append(judgement)
            else:
                self._add(judgement)

    def _add(self, label: PairLabel) -> None:
        first, second = self.class_of(label.left), self.class_of(label.right)
        for uid in (label.left, label.right):
            self._parent.setdefault(uid, uid)
        if not label.duplicate:
            self._apart[first].add(second)
            self._apart[second].add(first)
        elif first != second:
            lower, higher = min(first, second), max(first, second)
            self._parent[higher] = lower
            for other in self._apart.pop(higher, set()):
                self._apart[other].discard(higher)
                self._apart[other].add(lower)
                self._apart[lower].add(other)

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
        return DIFFERENT if second in self._apart.get(first, ()) else 0

    def say(self, left: Int64s, right: Int64s) -> Int8s:
        """Return the same for each of some pairs."""
        signs = np.zeros(len(left), dtype=np.int8)
        labelled = np.array(sorted(self._parent), dtype=np.int64)
        for row in np.flatnonzero(np.isin(left, labelled) & np.isin(right, labelled)).tolist():
            signs[row] = self.says(int(left[row]), int(right[row]))
        return signs

    def say_by_labels(self, left: Int64s, right: Int64s) -> Int8s:
        """Return what labels alone say of each of some pairs, without judgements."""
        return (self if self._by_labels is None else self._by_labels).say(left, right)

    def is_judged(self, left: int, right: int) -> bool:
        """Return whether it takes judgements for what is said of two entities."""
        return self._by_labels is not None and self.says(left, right) != self._by_labels.says(left, right)

    def links(self, present: Iterable[int]) -> list[tuple[int, int]]:
        """Return the fewest pairs that link all classes of labels, among the entities that are there.

        The lower uid comes first. Judgements are of entities that are there, so they are links themselves.
        """
        if self._by_labels is not None:
            return self._by_labels.links(present)
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
            sorted((first[root], first[other]))
            for root, others in self._apart.items()
            for other in others
            if root < other and root in first and other in first
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


def find_label_chain(labels: Sequence[PairLabel], start: int, end: int, sign: int) -> list[PairLabel]:
    """Return the labels from which follows what is said of two entities; empty: nothing is.

    Args:
        labels: All labels that have to do with them.
        start: One entity.
        end: The other one.
        sign: What is said: SAME or DIFFERENT.
    """
    if sign == SAME:
        return find_chain(labels, start, end)
    for label in labels:
        for first, second in ((label.left, label.right), (label.right, label.left)):
            before, behind = find_chain(labels, start, first), find_chain(labels, second, end)
            if not label.duplicate and (start == first or before) and (end == second or behind):
                return [*before, label, *behind]
    return []
