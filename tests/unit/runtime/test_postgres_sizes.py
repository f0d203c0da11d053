"""The embedded Postgres takes of the machine what a million entities can use, and never all of it."""

import pytest

from towpath.runtime.embedded.postgres import size_by_machine

GB = 1 << 30


@pytest.mark.parametrize(
    ("memory", "free_disk", "buffers", "wal"),
    [
        (2 * GB, 1 * GB, "512MB", "4096MB"),
        (8 * GB, 32 * GB, "1024MB", "8192MB"),
        (64 * GB, 900 * GB, "2048MB", "16384MB"),
    ],
)
def test_sizes_follow_the_machine_within_bounds(memory: int, free_disk: int, buffers: str, wal: str) -> None:
    assert size_by_machine(memory, free_disk) == {"shared_buffers": buffers, "max_wal_size": wal}
