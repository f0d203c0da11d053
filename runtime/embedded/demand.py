"""How a façade or worker asks the supervisor for a part that is started only when it is needed."""

from __future__ import annotations

import asyncio
import time

from runtime.embedded.home import Home, StackError
from runtime.settings import Settings

CHROMA_WANTED = "chroma.wanted"
# Chroma's own start, and the supervisor's look at the folder before it.
WAIT_SECONDS = 90.0


async def chroma_url(settings: Settings) -> str:
    """Where Chroma is; in the embedded stack it is started by the first who asks.

    Args:
        settings: An external Chroma in them is the answer at once.

    Raises:
        StackError: No stack answers on this home, or Chroma does not start.
    """
    if settings.chroma_url is not None:
        return settings.chroma_url
    home = Home(settings.home)
    # It stays: a stack whose Chroma was needed once starts it with the rest from then on.
    (home.folder / CHROMA_WANTED).touch(mode=0o600)
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if url := home.published().get("chroma"):
            return str(url)
        await asyncio.sleep(0.1)
    raise StackError(f"Chroma does not start; its log is {home.logs / 'chroma.log'}, or set TOWPATH_CHROMA_URL")
