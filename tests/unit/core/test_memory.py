"""Memory that is free goes back to the system."""

from __future__ import annotations

import sys

import numpy as np
import psutil
import pytest

from towpath.core.memory import return_free_memory


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can")
def test_what_lies_between_pieces_in_use_is_given_back() -> None:
    pieces = [np.ones(8_000) for _ in range(2_000)]
    kept = pieces[::50]
    del pieces
    held = psutil.Process().memory_info().rss

    return_free_memory()

    assert psutil.Process().memory_info().rss < held - 50 * (1 << 20)
    assert sum(len(piece) for piece in kept) == 320_000
