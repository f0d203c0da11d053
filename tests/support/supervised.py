"""A whole system whose supervisor has a thread of its own, as it has a process of its own in life.

In the loop of the tests it would sleep whenever a test does not await: nothing would be restarted, and a
part that writes much would stop, because nobody reads what it says.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from towpath.db.migrate import migrate
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

START_SECONDS = 180


@contextmanager
def supervised(
    settings: Settings,
    *,
    furnish: Callable[[EmbeddedStack], Awaitable[None]] | None = None,
    make: Callable[..., EmbeddedStack] = EmbeddedStack,
    with_chroma: bool = True,
) -> Iterator[EmbeddedStack]:
    """Start everything, and stop it at the end; Chroma is started on demand where a test is not about vectors."""
    ready = threading.Event()
    started: list[EmbeddedStack] = []
    errors: list[BaseException] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with make(settings, echo=False, prepare=migrate, furnish=furnish) as stack:
            if with_chroma:
                await stack.start_chroma()
            started.append(stack)
            ready.set()
            await stop.wait()

    def serve() -> None:
        try:
            loop.run_until_complete(run())
        except BaseException as error:
            errors.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=serve, name="supervisor")
    thread.start()
    assert ready.wait(START_SECONDS)
    try:
        if errors:
            raise errors[0]
        yield started[0]
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
