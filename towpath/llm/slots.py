"""How many calls a provider gets at once: a slot is held from the request's first byte to the answer's last.

What the SDK and instructor do before and after needs no slot; so a slow loop does not idle the provider.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpx2
from openai import DefaultAsyncHttpxClient

from towpath.llm.batches.exchange import Exchange


@dataclass(slots=True)
class Call:
    """One question, with all of its repairs.

    Attributes:
        slot: Of the provider and organization.
        limit: Longest time of one request, in seconds.
        seconds: What all requests took so far, without the wait for slots.
        exchange: Answers in the provider's place, where a batch has made or will make the request.
    """

    slot: asyncio.Semaphore
    limit: float
    seconds: float = 0.0
    exchange: Exchange | None = None


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
            return stored
        async with call.slot:
            started = time.monotonic()
            try:
                async with asyncio.timeout(call.limit):
                    return await super().send(request, **options)
            except TimeoutError as error:
                raise httpx2.ReadTimeout("the answer took too long", request=request) from error
            finally:
                call.seconds += time.monotonic() - started
