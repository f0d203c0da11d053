"""What holds a group together: the strongest pairs that connect its members, and the chain between two of them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar


class Edge(Protocol):
    """Something between two members."""

    @property
    def left(self) -> int:
        """One of them."""
        ...

    @property
    def right(self) -> int:
        """The other one."""
        ...


class Link(Edge, Protocol):
    """A pair between two members."""

    @property
    def similarity(self) -> float:
        """How strong it is."""
        ...

    @property
    def duplicate(self) -> bool:
        """Whether it was judged to be one."""
        ...


AnyEdge = TypeVar("AnyEdge", bound=Edge)
AnyLink = TypeVar("AnyLink", bound=Link)


def span(links: Iterable[AnyLink]) -> list[AnyLink]:
    """Return the maximum spanning forest of some pairs: duplicates before others, the most similar first."""
    parent: dict[int, int] = {}

    def find(uid: int) -> int:
        while (above := parent.setdefault(uid, uid)) != uid:
            parent[uid] = parent[above]
            uid = above
        return uid

    chosen = []
    for link in sorted(links, key=lambda link: (not link.duplicate, -link.similarity, link.left, link.right)):
        first, second = find(link.left), find(link.right)
        if first != second:
            parent[max(first, second)] = min(first, second)
            chosen.append(link)
    return chosen


def find_path(edges: Sequence[AnyEdge], start: int, end: int) -> list[AnyEdge]:
    """Return the fewest edges that lead from one member to another; empty: none do."""
    beside: dict[int, list[AnyEdge]] = defaultdict(list)
    for edge in edges:
        beside[edge.left].append(edge)
        beside[edge.right].append(edge)
    paths: dict[int, list[AnyEdge]] = {start: []}
    waiting = deque([start])
    while waiting and end not in paths:
        uid = waiting.popleft()
        for edge in beside[uid]:
            other = edge.right if edge.left == uid else edge.left
            if other not in paths:
                paths[other] = [*paths[uid], edge]
                waiting.append(other)
    return paths.get(end, [])
