"""What workflows import is loaded once: a room that the sandbox loaded again would define its tables twice."""

from __future__ import annotations

from towpath.features import OWN
from towpath.runtime.plugin import PASSED_THROUGH


def test_every_room_passes_through_the_sandbox() -> None:
    rooms = {room.__name__.removesuffix(".job_types") for room in OWN}

    assert rooms <= set(PASSED_THROUGH)
