"""Memory of large arrays goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

LARGE_PIECES = """
import numpy as np, psutil, sys
from towpath.core.memory import bound_allocator
if sys.argv[1] == "bound":
    bound_allocator()
np.ones(3_500_000)  # once freed, glibc takes pieces of up to this size from its heap
pieces = [np.ones(260_000) for _ in range(100)]
kept = pieces[5::10]
del pieces
print(psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can")
def test_large_arrays_are_given_back_as_they_are_freed() -> None:
    def measure(how: str) -> int:
        answer = subprocess.run(
            [sys.executable, "-c", LARGE_PIECES, how], check=True, capture_output=True, text=True
        )  # fmt: skip
        return int(answer.stdout)

    assert measure("bound") < measure("as it is") - 100 * (1 << 20)
