"""Wait for what a test needs, instead of for a time that is hoped to be enough."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

SECONDS = 90.0
"""When to give up: so long that only a fault takes it."""
PAUSE = 0.02


def until(found: Callable[[], T], what: str, *, seconds: float = SECONDS) -> T:
    """Look until there is something, and give it.

    Args:
        found: Looks; anything false means: not yet.
        what: What is waited for, for the failure.
        seconds: When to give up.
    """
    ends = time.monotonic() + seconds
    while not (seen := found()):
        assert time.monotonic() < ends, f"after {seconds:.0f} s there is still no {what}: {seen!r}"
        time.sleep(PAUSE)
    return seen


async def eventually(found: Callable[[], T] | Callable[[], Awaitable[T]], what: str, *, seconds: float = SECONDS) -> T:
    """The same in a loop of events; `found` may be a coroutine function."""
    ends = time.monotonic() + seconds
    while True:
        seen = found()
        if inspect.isawaitable(seen):
            seen = await seen
        if seen:
            return seen  # type: ignore[return-value]
        assert time.monotonic() < ends, f"after {seconds:.0f} s there is still no {what}: {seen!r}"
        await asyncio.sleep(PAUSE)
