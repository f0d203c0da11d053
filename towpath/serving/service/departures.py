"""Requests of a page on their way: which have left, and which can still be dropped without being paid."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Departures:
    """The requests of a page by their numbers.

    Attributes:
        tasks: Each asks and keeps what is answered.
        sent: The numbers of those that have left: from then on they are paid.
    """

    def __init__(self) -> None:
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.sent: set[int] = set()

    def add(self, number: int, request: Coroutine[Any, Any, None]) -> None:
        """Let a request go as soon as there is room for it."""
        self.tasks[number] = asyncio.create_task(request)

    def drop_unsent(self) -> None:
        """Drop the requests that have not left."""
        for number, task in self.tasks.items():
            if number not in self.sent:
                task.cancel()

    async def finish(self, seconds: float) -> None:
        """Drop the requests that have not left, and wait for the others, so long at most."""
        self.drop_unsent()
        await asyncio.wait(self.tasks.values(), timeout=seconds)

    def errors(self) -> list[BaseException]:
        """Return what requests have raised that have come to an end."""
        ended = [task for task in self.tasks.values() if task.done() and not task.cancelled()]
        return [error for task in ended if (error := task.exception()) is not None]
