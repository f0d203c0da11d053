"""A decision in parts: whatever belongs together is in one of them."""

from __future__ import annotations

import numpy as np

from towpath.entities.domain.matching.parts import number_parts

UIDS = np.arange(100, 200, dtype=np.int64)


def number(pairs: list[tuple[int, int]], groups: dict[int, int], size: int) -> dict[int, int]:
    left, right = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    group_of_uid = np.array([groups.get(uid, 0) for uid in UIDS.tolist()], dtype=np.int64)
    return dict(zip(UIDS.tolist(), number_parts(UIDS, left, right, group_of_uid, size=size).tolist(), strict=True))


def test_pairs_and_groups_stay_together_and_parts_are_of_the_size() -> None:
    pairs = [(uid, uid + 50) for uid in range(100, 150)]
    groups = {101: -7, 149: -7, 120: 9, 199: 9, 130: 9}

    parts = number(pairs, groups, 10)

    assert all(parts[left] == parts[right] for left, right in pairs)
    assert parts[101] == parts[149]
    assert parts[120] == parts[199] == parts[130]
    sizes = np.bincount(list(parts.values()))
    assert sizes.min() > 0
    assert sizes.max() < 10 + 6
    assert len(sizes) >= 7


def test_a_component_above_the_size_is_not_torn() -> None:
    parts = number([(uid, uid + 1) for uid in range(120, 180)], {}, 10)

    assert len({parts[uid] for uid in range(120, 181)}) == 1
    assert len(set(parts.values())) > 2


def test_few_entities_are_one_part() -> None:
    assert set(number([], {}, 100).values()) == {0}
