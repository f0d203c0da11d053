"""What becomes of items, counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from towpath.jobs.domain import Outcome, count_outcomes, mark_superseded


@given(st.lists(st.integers(0, 5), max_size=50))
def test_of_each_id_only_the_last_item_counts(ids: list[int]) -> None:
    mask = mark_superseded(np.array(ids, dtype=np.int64))

    for place, uid in enumerate(ids):
        assert mask[place] == (uid != 0 and uid in ids[place + 1 :])


def test_a_tally_leaves_superseded_items_out() -> None:
    outcomes = np.array(
        [Outcome.WAITING, Outcome.SUPERSEDED, Outcome.FAILED, Outcome.UNCHANGED, Outcome.INDEXED, Outcome.DONE],
        dtype=np.uint8,
    )

    counts = count_outcomes(outcomes)

    assert (counts.total, counts.processed, counts.succeeded, counts.failed, counts.skipped) == (5, 3, 2, 1, 1)
