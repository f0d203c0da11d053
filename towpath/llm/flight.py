"""One question on its way to a provider, with all of its repairs: what it was paid so far, and whether it may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from towpath.core.usage import Usage

Admit = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class Flight:
    """A question on its way.

    Attributes:
        admit: Asked before each further request, with its body, whether there is money for it; it raises where there
            is none.
        usage: What the provider was paid so far, whatever became of its answers.
        requests: How many requests were sent.
        is_sent: Whether a request is with the provider, who will be paid for it, or has come back and is being read.
        is_stopped: Whether nobody waits for the answer any more: nothing further is sent.
        is_over: Whether the last request has come back, and only the books are left to be written.
    """

    admit: Admit | None = None
    usage: Usage = field(default_factory=Usage)
    requests: int = 0
    is_sent: bool = False
    is_stopped: bool = False
    is_over: bool = False

    @property
    def is_waiting(self) -> bool:
        """Return whether it can be given up without a loss: nothing is with the provider, and nothing to be booked."""
        return not (self.is_sent or self.is_over)

    async def board(self, body: bytes) -> None:
        """Ask whether a request may be sent.

        Args:
            body: Of the request.

        Raises:
            CancelledError: Nobody waits for the answer any more.
            ModelError: There is no money for it.
        """
        self.is_sent = False
        if self.is_stopped:
            raise asyncio.CancelledError
        if self.requests and self.admit is not None:
            await self.admit(body)

    def depart(self) -> None:
        """Note that a request is sent now.

        Raises:
            CancelledError: Nobody waits for the answer any more.
        """
        if self.is_stopped:
            raise asyncio.CancelledError
        self.requests += 1
        self.is_sent = True

    def return_unpaid(self) -> None:
        """Note that a request has come back undone, and waits to be sent anew."""
        self.requests -= 1
        self.is_sent = False
