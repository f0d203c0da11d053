"""What becomes of the items of a job: one byte an item, so that a page's state is one small column."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from towpath.jobs.types import Progress

Outcomes = npt.NDArray[np.uint8]


class Outcome(IntEnum):
    """Where one item is. WAITING and INDEXED still have work ahead of them."""

    WAITING = 0
    SUPERSEDED = 1
    """A later item of the same request has the same id: the last one wins, counted once."""
    FAILED = 2
    UNCHANGED = 3
    INDEXED = 4
    DONE = 5
    SKIPPED = 6
    """Left out on purpose; a restart looks at it again."""


def make_waiting_outcomes(items: int) -> Outcomes:
    """Return the outcomes of a fresh page of `items`."""
    return np.zeros(items, dtype=np.uint8)


def count_outcomes(outcomes: Outcomes) -> Progress:
    """Count items by what became of them; superseded ones are not items of their own."""
    counts = np.bincount(outcomes, minlength=len(Outcome))
    unchanged, failed = int(counts[Outcome.UNCHANGED]), int(counts[Outcome.FAILED])
    finished, skipped = int(counts[Outcome.DONE]), int(counts[Outcome.SKIPPED])
    return Progress(
        total=int(len(outcomes) - counts[Outcome.SUPERSEDED]),
        processed=finished + unchanged + failed + skipped,
        succeeded=finished + unchanged,
        failed=failed,
        skipped=unchanged + skipped,
    )


def mark_superseded(uids: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Mark every item whose id comes again later.

    Args:
        uids: One uid an item, in request order; 0 stands for an item without an id.

    Returns:
        A mask of the same length.
    """
    _, first_from_the_end = np.unique(uids[::-1], return_index=True)
    mask = np.ones(len(uids), dtype=np.bool_)
    mask[len(uids) - 1 - first_from_the_end] = False
    return np.asarray(mask & (uids != 0), dtype=np.bool_)
