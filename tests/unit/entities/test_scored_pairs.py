"""Scored pairs of several parts of a page."""

from __future__ import annotations

import numpy as np

from towpath.entities.store.pairs import ScoredPairs


def scored(*pairs: tuple[int, int, float]) -> ScoredPairs:
    similarity = np.array([pair[2] for pair in pairs])
    return ScoredPairs(
        np.array([pair[0] for pair in pairs], dtype=np.int64),
        np.array([pair[1] for pair in pairs], dtype=np.int64),
        similarity,
        np.stack([similarity, similarity], axis=1).reshape(-1, 2).astype(np.float32),
    )


def test_parts_are_joined_in_order_and_a_pair_of_two_of_them_is_taken_once() -> None:
    joined = ScoredPairs.join([scored((-3, 5, 0.5), (2, 9, 0.25)), scored((-3, 4, 0.75), (2, 9, 0.25)), scored()])

    assert joined.left.tolist() == [-3, -3, 2]
    assert joined.right.tolist() == [4, 5, 9]
    assert joined.similarity.tolist() == [0.75, 0.5, 0.25]
    assert joined.bits.tolist() == [[0.75, 0.75], [0.5, 0.5], [0.25, 0.25]]
