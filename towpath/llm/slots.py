"""When a request to a provider is sent: in its turn, which lasts from the request's first byte to the answer's last.

What the SDK and instructor do before and after needs no turn; so a slow loop does not idle the provider. The time in
the queue does not count as the call's. A request that was one too many goes back into the queue.
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
from towpath.llm.limiter.headers import read_room, read_wait
from towpath.llm.limiter.pool import MAX_HELD_SECONDS, MAX_WAIT_SECONDS, Outcome, Pool
from towpath.llm.meter import read_usage

TOO_MANY = 429
HOLDING = frozenset({TOO_MANY, 503, 529})
"""Statuses whose `Retry-After` is meant for everybody with the same key."""


@dataclass(slots=True)
class Call:
    """One question, with all of its repairs.

    Attributes:
        pool: Of the provider and its key.
        organization: Whose question.
        limit: Longest time of one request, in seconds.
        price: Gives a request's tokens their price.
        flight: What the provider was paid so far, and whether the question may go on.
        seconds: What all requests took so far, without the wait for their turns.
        exchange: Answers in the provider's place, where a batch has made or will make the request.
        batch_price: Gives the tokens of such an answer their price.
    """

    pool: Pool
    organization: str
    limit: float
    price: Callable[[Usage], Usage]
    flight: Flight = field(default_factory=Flight)
    seconds: float = 0.0
    exchange: Exchange | None = None
    batch_price: Callable[[Usage], Usage] | None = None

    def count(self, response: httpx2.Response, *, batch: bool = False) -> float | None:
        """Count what a response says that it is paid for: before the SDK or instructor reads, or rejects it.

        Returns:
            The tokens that count against the provider's limit; None: it does not say.
        """
        used = read_usage(response.content) if response.is_success else None
        if used is None:
            return 0.0 if response.status_code == TOO_MANY else None
        price = self.batch_price if batch and self.batch_price is not None else self.price
        self.flight.usage += price(used)
        return float(used.input_tokens - used.cache_read_tokens + used.output_tokens)


CURRENT: ContextVar[Call] = ContextVar("towpath_llm_call")


class SlotClient(DefaultAsyncHttpxClient):
    """Sends each request of the current call in its turn."""

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send it, and read the answer.

        A request that the provider refuses as one too many, saying when there is room again, waits until then with all
        others of its key, and is sent anew.

        Raises:
            httpx2.ReadTimeout: The whole answer was not there in time, however it trickled.
            RateLimitedError: Its turn does not come soon enough; Temporal waits better than a worker.
        """
        call = CURRENT.get(None)
        if call is None:
            # No job's: nobody's budget is known.
            return await super().send(request, **options)
        if call.exchange is not None and (stored := call.exchange.answer(request)) is not None:
            # It is paid for: what follows is a repair, and it is not to be dropped before it is booked.
            call.flight.depart()
            call.count(stored, batch=True)
            return stored
        await call.flight.board(request.content)
        until = time.monotonic() + MAX_WAIT_SECONDS
        while True:
            response, wait = await self._send_in_turn(call, request, options)
            is_short = wait is not None and wait <= MAX_HELD_SECONDS and time.monotonic() + wait < until
            if response.status_code != TOO_MANY or not is_short:
                return response
            # It is paid for nothing, and can be given up while it waits once more.
            call.flight.return_unpaid()

    async def _send_in_turn(
        self, call: Call, request: httpx2.Request, options: dict[str, Any]
    ) -> tuple[httpx2.Response, float | None]:
        """Send it once; return the answer, and how long the provider asks to wait."""
        outcome = Outcome(size=int(request.headers.get("content-length") or 0))
        permit = await call.pool.enter(call.organization, outcome.size)
        started = time.monotonic()
        try:
            call.flight.depart()
            async with asyncio.timeout(call.limit):
                response = await super().send(request, **options)
            outcome.tokens = call.count(response)
            outcome.is_answered = response.is_success
            outcome.is_refused = response.status_code == TOO_MANY
            outcome.hold = read_wait(response.headers) if response.status_code in HOLDING else None
            outcome.room = read_room(response.headers, busy=call.pool.busy)
            return response, outcome.hold
        except TimeoutError as error:
            raise httpx2.ReadTimeout("the answer took too long", request=request) from error
        finally:
            call.seconds += time.monotonic() - started
            call.pool.leave(call.organization, permit, outcome)
