"""Requests of a page on their way: which have left, and which can still be dropped without being paid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from towpath.llm.flight import Flight


class Departures:
    """The requests of a page by their numbers.

    Attributes:
        tasks: Each asks and keeps what is answered.
        flights: Tell which have left: from then on they are paid.
    """

    def __init__(self) -> None:
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.flights: dict[int, Flight] = {}

    def add(self, number: int, ask: Callable[[Flight], Coroutine[Any, Any, None]]) -> None:
        """Let a request go as soon as there is room for it."""
        flight = self.flights[number] = Flight()
        self.tasks[number] = asyncio.create_task(ask(flight))

    def drop_unsent(self) -> None:
        """Drop the requests that have not left."""
        for number, flight in self.flights.items():
            flight.is_stopped = True
            if flight.is_waiting:
                self.tasks[number].cancel()

    async def finish(self, seconds: float) -> None:
        """Drop the requests that have not left, and wait for the others, so long at most."""
        self.drop_unsent()
        await asyncio.wait(self.tasks.values(), timeout=seconds)

    def errors(self) -> list[BaseException]:
        """Return what requests have raised that have come to an end."""
        ended = [task for task in self.tasks.values() if task.done() and not task.cancelled()]
        return [error for task in ended if (error := task.exception()) is not None]
