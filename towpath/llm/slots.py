"""How many calls a provider gets at once: a slot is held from the request's first byte to the answer's last.

What the SDK and instructor do before and after needs no slot; so a slow loop does not idle the provider.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import DefaultAsyncHttpxClient

from towpath.core.usage import Usage
from towpath.llm.batches.exchange import Exchange
from towpath.llm.flight import Flight
from towpath.llm.meter import read_usage


@dataclass(slots=True)
class Call:
    """One question, with all of its repairs.

    Attributes:
        slot: Of the provider and organization.
        limit: Longest time of one request, in seconds.
        price: Gives a request's tokens their price.
        flight: What the provider was paid so far, and whether the question may go on.
        seconds: What all requests took so far, without the wait for slots.
        exchange: Answers in the provider's place, where a batch has made or will make the request.
        batch_price: Gives the tokens of such an answer their price.
    """

    slot: asyncio.Semaphore
    limit: float
    price: Callable[[Usage], Usage]
    flight: Flight = field(default_factory=Flight)
    seconds: float = 0.0
    exchange: Exchange | None = None
    batch_price: Callable[[Usage], Usage] | None = None

    def count(self, response: httpx2.Response, *, batch: bool = False) -> None:
        """Count what a response says that it is paid for: before the SDK or instructor reads, or rejects it."""
        used = read_usage(response.content) if response.is_success else None
        if used is not None:
            price = self.batch_price if batch and self.batch_price is not None else self.price
            self.flight.usage += price(used)


CURRENT: ContextVar[Call] = ContextVar("towpath_llm_call")


class SlotClient(DefaultAsyncHttpxClient):
    """Sends each request in a slot of the current call."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send it, and read the answer.

        Raises:
            httpx2.ReadTimeout: The whole answer was not there in time, however it trickled.
        """
        call = CURRENT.get()
        if call.exchange is not None and (stored := call.exchange.answer(request)) is not None:
            # It is paid for: what follows is a repair, and it is not to be dropped before it is booked.
            call.flight.depart()
            call.count(stored, batch=True)
            return stored
        await call.flight.board(request.content)
        async with call.slot:
            call.flight.depart()
            started = time.monotonic()
            try:
                async with asyncio.timeout(call.limit):
                    response = await super().send(request, **options)
                call.count(response)
                return response
            except TimeoutError as error:
                raise httpx2.ReadTimeout("the answer took too long", request=request) from error
            finally:
                call.seconds += time.monotonic() - started
