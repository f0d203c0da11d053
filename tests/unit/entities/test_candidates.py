"""The candidate index answers what the SQL of a single upsert would."""

from __future__ import annotations

import random
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


@given(entities, st.integers(1, 7), st.integers(1, 9), st.randoms())
@settings(max_examples=60)
def test_blocks_of_entities_make_the_same_index(
    held: dict[int, set[int]], size: int, flush: int, chance: random.Random
) -> None:
    postings = [(key, uid) for uid, keys in held.items() for key in keys]
    # Keys from all over the range of 64 bits, as hashes are.
    spread = {key: np.int64(key * 700_000_000_000_000_000 - 17) for key, _ in postings}
    asked = np.array(sorted(held), dtype=np.int64)
    lists = [np.array(sorted(spread[key] for key in held[uid]), dtype=np.int64) for uid in asked.tolist()]
    order = list(range(len(asked)))
    chance.shuffle(order)
    builder = CandidateIndexBuilder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_OPEN_POSTINGS", flush)
        for start in range(0, len(order), size):
            some = order[start : start + size]
            builder.add(asked[some], Csr.of([lists[place] for place in some]))
    keys, uids = (np.array(side, dtype=np.int64) for side in zip(*postings, strict=True))
    keys = np.array([spread[key] for key in keys.tolist()])

    in_blocks = builder.finish(len(held)).top(asked, lists)
    whole = CandidateIndex.build(keys, uids, len(held)).top(asked, lists)

    for one, other in zip(in_blocks, whole, strict=True):
        assert np.array_equal(one, other)


@given(entities, st.integers(1, 4))
@settings(max_examples=60)
def test_rows_are_answered_in_runs_as_they_are_at_once(held: dict[int, set[int]], run: int) -> None:
    uids = np.array(sorted(held), dtype=np.int64)
    lists = [np.array(sorted(held[uid]), dtype=np.int64) for uid in uids.tolist()]
    csr = Csr.of(lists)
    numbers = (uids % 3).astype(np.int32)
    index = CandidateIndex.build(csr.keys, np.repeat(uids, np.diff(csr.starts)), len(uids), (uids, numbers))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS_AT_ONCE", run)
        in_runs = index.top(uids, lists, numbers)

    for one, other in zip(in_runs, index.top(uids, lists, numbers), strict=True):
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


def test_weights_fall_with_frequency_and_stay_positive() -> None:
    weights = [key_weight(df, 1_000) for df in range(1, DF_CAP + 1)]

    assert weights == sorted(weights, reverse=True)
    assert weights[-1] >= 1
    assert DF_CAP <= POSTING_BUDGET
