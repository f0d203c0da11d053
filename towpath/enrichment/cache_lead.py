"""Lets the first call with a long beginning go ahead: a provider's cache is read only after it was written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

WAIT_SECONDS = 30.0
"""Longer than most calls take; a first call that hangs does not hold up the job."""


class CacheLead:
    """The turns of a job's calls with each model, in this process.

    Args:
        seconds: How long others wait for the first call.
    """

    def __init__(self, seconds: float = WAIT_SECONDS) -> None:
        self._seconds = seconds
        self._written: dict[str, asyncio.Event] = {}

    @asynccontextmanager
    async def turn(self, model: str) -> AsyncIterator[None]:
        """Hold the first turn with a model until it is over, however it ends; others begin after it."""
        written = self._written.get(model)
        if written is None:
            written = self._written[model] = asyncio.Event()
            try:
                yield
            finally:
                written.set()
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(written.wait(), self._seconds)
        yield
