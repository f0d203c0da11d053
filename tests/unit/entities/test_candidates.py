"""The candidate index answers what the SQL of a single upsert would."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from towpath.entities.domain.matching import (
    DF_CAP,
    POSTING_BUDGET,
    CandidateIndex,
    CandidateIndexBuilder,
    Csr,
    key_weight,
)
from towpath.entities.domain.matching import candidates as module

Int64s = npt.NDArray[np.int64]


def reference(
    postings: list[tuple[int, int]], n: int, uid: int, keys: list[int], k: int, sources: dict[int, int] | None
) -> list[tuple[int, int]]:
    """The rules of the module's docstring, word by word."""
    holders = defaultdict(list)
    for key, holder in postings:
        holders[key].append(holder)
    usable = [(len(holders[key]), key) for key in keys if 2 <= len(holders[key]) <= module.DF_CAP]
    weights: Counter[int] = Counter()
    spent = 0
    for df, key in sorted(usable):
        spent += df
        if spent > module.POSTING_BUDGET:
            break
        for holder in holders[key]:
            if holder != uid and (sources is None or sources[holder] != sources[uid]):
                weights[holder] += key_weight(df, n)
    return sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:k]


entities = st.dictionaries(
    st.integers(-30, 30), st.sets(st.integers(-12, 12), min_size=1, max_size=6), min_size=1, max_size=25
)


@given(entities, st.integers(1, 4), st.booleans(), st.integers(1, 4), st.integers(4, 12), st.integers(12, 40))
@settings(max_examples=150)
def test_it_equals_the_rules(held: dict[int, set[int]], k: int, clean: bool, spare: int, cap: int, budget: int) -> None:
    postings = [(key, uid) for uid, keys in held.items() for key in keys]
    uids = np.array(sorted(held), dtype=np.int64)
    sources = {uid: uid % 3 for uid in held}
    numbers = np.array([sources[uid] for uid in uids.tolist()], dtype=np.int32)
    lists = [np.array(sorted(held[uid]), dtype=np.int64) for uid in uids.tolist()]
    with pytest.MonkeyPatch.context() as patch:
        # Small limits, so that small indexes reach them.
        patch.setattr(module, "_SPARE", spare)
        patch.setattr(module, "DF_CAP", cap)
        patch.setattr(module, "POSTING_BUDGET", budget)
        module.key_weights.cache_clear()
        index = CandidateIndex.build(
            np.array([key for key, _ in postings], dtype=np.int64),
            np.array([uid for _, uid in postings], dtype=np.int64),
            len(held),
            (uids, numbers) if clean else None,
        )
        top = index.top(uids, lists, numbers if clean else None, k)
        expected = [
            reference(postings, len(held), uid, sorted(held[uid]), k, sources if clean else None)
            for uid in uids.tolist()
        ]
    module.key_weights.cache_clear()

    got: list[list[tuple[int, int]]] = [[] for _ in expected]
    for row, uid, weight in zip(top.rows.tolist(), top.uids.tolist(), top.weights.tolist(), strict=True):
        got[row].append((uid, weight))
    assert got == expected


@given(entities, st.integers(1, 7))
@settings(max_examples=60)
def test_batches_of_postings_make_the_same_index(held: dict[int, set[int]], size: int) -> None:
    postings = sorted((key, uid) for uid, keys in held.items() for key in keys)
    keys, uids = (np.array(side, dtype=np.int64) for side in zip(*postings, strict=True))
    builder = CandidateIndexBuilder()
    for start in range(0, len(keys), size):
        builder.add(keys[start : start + size], uids[start : start + size])
    asked = np.array(sorted(held), dtype=np.int64)
    lists = Csr.of([np.array(sorted(held[uid]), dtype=np.int64) for uid in asked.tolist()])

    batched = builder.finish(len(held)).top(asked, lists)
    whole = CandidateIndex.build(keys, uids, len(held)).top(asked, lists)

    for one, other in zip(batched, whole, strict=True):
        assert np.array_equal(one, other)


def test_ties_go_to_the_smaller_uid() -> None:
    keys = np.zeros(100, dtype=np.int64)
    uids = np.arange(100, dtype=np.int64)[::-1].copy()

    top = CandidateIndex.build(keys, uids, 100).top(np.array([50]), [np.array([0])], k=3)

    assert top.uids.tolist() == [0, 1, 2]


def test_a_key_that_too_many_hold_makes_no_candidates() -> None:
    count = DF_CAP + 1
    index = CandidateIndex.build(np.zeros(count, dtype=np.int64), np.arange(count, dtype=np.int64), count)

    assert len(index.top(np.array([1]), [np.array([0])]).uids) == 0
    assert index.count_holders(np.array([0, 1])).tolist() == [DF_CAP + 1, 0]


def test_postings_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        CandidateIndexBuilder().add(np.array([2, 1]), np.array([1, 1]))


def test_weights_fall_with_frequency_and_stay_positive() -> None:
    weights = [key_weight(df, 1_000) for df in range(1, DF_CAP + 1)]

    assert weights == sorted(weights, reverse=True)
    assert weights[-1] >= 1
    assert DF_CAP <= POSTING_BUDGET
