"""Memory that is free goes back to the system, and cycles are found."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import psutil
import pytest

from towpath.core.memory import OBJECTS_A_LOOK, return_free_memory, settle_collector


class Cycle:
    """Something that only the collector can free."""

    itself: Cycle


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can")
def test_what_lies_between_pieces_in_use_is_given_back() -> None:
    pieces = [np.ones(8_000) for _ in range(2_000)]
    kept = pieces[::50]
    del pieces
    held = psutil.Process().memory_info().rss

    return_free_memory()

    assert psutil.Process().memory_info().rss < held - 50 * (1 << 20)
    assert sum(len(piece) for piece in kept) == 320_000


def test_the_collector_still_finds_cycles() -> None:
    before = gc.get_threshold()
    settle_collector()
    try:
        cycle = Cycle()
        cycle.itself = cycle
        left = weakref.ref(cycle)
        del cycle

        assert gc.get_freeze_count() > 0
        for _ in range(3):
            # As the collector does by itself after so many new objects.
            new = [[] for _ in range(OBJECTS_A_LOOK + 1)]
        assert left() is None
        del new
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
