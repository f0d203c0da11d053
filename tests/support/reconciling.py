"""Have the housekeeping look now, which it does every half minute by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from temporalio.client import Client

from tests.support.waiting import PAUSE, SECONDS
from towpath.runtime.embedded import EmbeddedStack
from towpath.workflows.housekeeping import RECONCILE_ID

T = TypeVar("T")
AGAIN_SECONDS = 2.0
"""A look that is asked for while another one is under way is left out, so it is asked for again."""


def reconcile(stack: EmbeddedStack) -> None:
    """Ask for one look."""

    async def trigger() -> None:
        client = await Client.connect(stack.temporal_address)
        await client.get_schedule_handle(RECONCILE_ID).trigger()

    asyncio.run(trigger())


def until_reconciled(stack: EmbeddedStack, found: Callable[[], T], what: str) -> T:
    """Have the housekeeping look until there is something, and give it.

    Args:
        stack: Whose housekeeping.
        found: Looks; anything false means: not yet.
        what: What is waited for, for the failure.
    """
    ends, asked = time.monotonic() + SECONDS, 0.0
    while not (seen := found()):
        assert time.monotonic() < ends, f"after {SECONDS:.0f} s there is still no {what}: {seen!r}"
        if time.monotonic() > asked + AGAIN_SECONDS:
            reconcile(stack)
            asked = time.monotonic()
        time.sleep(PAUSE)
    return seen
