"""Imports of large libraries on first use, beside the event loop."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module


async def import_beside_loop(*names: str) -> None:
    """Import modules in a thread; the statement that imports them then finds them loaded.

    Several SDKs take seconds to import, on a busy machine more than the heartbeat timeout of an activity. Imported on
    the event loop, they would keep it from sending heartbeats: the server would give the activity's attempt up and
    start another, and a language model would be asked, and paid, twice.

    Args:
        names: The modules by their full names.
    """
    missing = [name for name in names if name not in sys.modules]
    if missing:
        await asyncio.to_thread(_import_all, missing)


def _import_all(names: list[str]) -> None:
    for name in names:
        import_module(name)
