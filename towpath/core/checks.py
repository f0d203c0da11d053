"""Work on schemas, models and data of clients that keeps a processor busy, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from towpath.core.turns import Turns

THREADS = 4

Params = ParamSpec("Params")
Result = TypeVar("Result")


class Checks:
    """A few threads of their own, one at a time for each organization.

    What runs here has a bound on its work of its own: a thread cannot be ended. With a turn for each organization, one
    that sends the dearest schema again and again waits for itself, and the others have the other threads.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="check")
        self._turns = Turns()

    async def run(
        self, organization: str, work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
    ) -> Result:
        """Return the result of work, or its error.

        Args:
            organization: Whose turn it takes; not released before the work is over, also when nobody waits for it.
            work: Pure, and bounded.
        """
        async with self._turns.of(organization):
            running = asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **kwargs))
            try:
                return await asyncio.shield(running)
            finally:
                while not running.done():
                    await asyncio.wait([running])
