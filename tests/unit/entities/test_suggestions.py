"""Which pairs a person is asked about."""

from __future__ import annotations

import random

import numpy as np

from towpath.entities.domain.matching.suggestions import ListedPair, Suggestion, suggest
from towpath.entities.quality_types import SuggestionReason

THRESHOLD = 0.85


def pair(left: int, right: int, *bits: float, similarity: float = 0.99, groups: tuple[int, ...] = ()) -> ListedPair:
    """A pair with this evidence of its fields."""
    return ListedPair(left, right, similarity, similarity >= THRESHOLD, np.array(bits), frozenset(groups))


def pairs_of(suggestions: list[Suggestion]) -> list[tuple[int, int]]:
    """The chosen pairs in their order."""
    return [(chosen.pair.left_uid, chosen.pair.right_uid) for chosen in suggestions]


def test_doubtful_pairs_come_before_certain_ones() -> None:
    certain = [pair(n, n + 1, 6.0, 5.0, similarity=0.9999) for n in range(0, 20, 2)]
    doubtful = pair(100, 101, 6.0, -0.5, similarity=0.84)
    contradicted = pair(102, 103, 9.0, -4.0, similarity=0.999)

    chosen = suggest([*certain, contradicted, doubtful], THRESHOLD, 3)

    assert pairs_of(chosen)[:2] == [(102, 103), (100, 101)]
    assert [one.reason for one in chosen] == [
        SuggestionReason.CONFLICTING_EVIDENCE,
        SuggestionReason.NEAR_THRESHOLD,
        SuggestionReason.TYPICAL,
    ]
    assert chosen[2].alike == 10


def test_frequent_patterns_are_asked_more_often_but_not_alone() -> None:
    siblings = [pair(n, n + 1, 8.0, -3.0) for n in range(0, 400, 2)]
    others = [pair(n, n + 1, -3.0, 8.0) for n in range(1000, 1010, 2)]
    twins = [pair(n, n + 1, 8.0, 5.0, similarity=0.9999) for n in range(2000, 2100, 2)]

    chosen = pairs_of(suggest([*siblings, *others, *twins], THRESHOLD, 10))

    kinds = [left // 1000 for left, _ in chosen]
    assert kinds[0] == 0
    assert set(kinds) == {0, 1, 2}
    assert kinds.count(0) >= max(kinds.count(1), kinds.count(2))


def test_no_entity_and_no_group_is_asked_about_twice() -> None:
    star = [pair(0, n, 5.0, -1.0, similarity=0.8) for n in range(1, 10)]
    group = [pair(20, 21, 5.0, -1.0, groups=(20,)), pair(22, 23, 5.0, -1.0, groups=(20,))]

    assert len(suggest(star, THRESHOLD, 20)) == 1
    assert len(suggest(group, THRESHOLD, 20)) == 1
    assert len(suggest([*star, *group], THRESHOLD, 20)) == 2


def test_the_order_of_the_pairs_does_not_matter_and_the_limit_holds() -> None:
    chance = random.Random(4)
    pairs = [
        pair(n, n + 1, chance.uniform(-4, 8), chance.uniform(-4, 8), similarity=chance.uniform(0.7, 1.0))
        for n in range(0, 600, 2)
    ]
    shuffled = chance.sample(pairs, len(pairs))

    chosen = suggest(pairs, THRESHOLD, 20)

    assert len(chosen) == 20
    assert pairs_of(chosen) == pairs_of(suggest(shuffled, THRESHOLD, 20))
    assert pairs_of(chosen)[:5] == pairs_of(suggest(pairs, THRESHOLD, 5))


def test_where_there_is_nothing_nothing_is_suggested() -> None:
    assert suggest([], THRESHOLD, 20) == []
