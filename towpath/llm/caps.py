"""Caps on what jobs may cost: before a call, the most that it can cost is set aside in Postgres, for all workers.

What is set aside is freed with the booking of what was paid, or lapses some time after its worker has died. A call that
finds no room waits while others are in flight, for they cost less than was set aside for them; once none is, there
is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import orjson

from towpath.core.errors import AnswerAwaitedError, CostLimitError
from towpath.db.engine import Connection, Database
from towpath.jobs.store.writer import JobWriter
from towpath.jobs.types import JobRef
from towpath.llm.bounds import FRAME_TOKENS, least_price, max_price
from towpath.llm.catalog import Catalog
from towpath.llm.flight import Flight
from towpath.llm.limits import room_of
from towpath.llm.store.reservations import free_reservation, read_room, renew_reservations, write_reservation
from towpath.llm.types import Prompt

Result = TypeVar("Result")
logger = logging.getLogger("towpath.llm")

LEASE_SECONDS = 90.0
"""So long after its worker's death what a call has set aside is free again."""
BATCH_LEASE_SECONDS = 30.0 * 3600
"""Providers give a batch 24 hours."""
POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Hold:
    """What is set aside for a call.

    Attributes:
        id: The reservation; None: the job has no cap.
        job_id: The job.
        prompt: What is to be asked, its answer no longer than there is money for.
    """

    id: UUID | None
    job_id: UUID
    prompt: Prompt


class Caps:
    """Sets aside what calls may cost.

    Args:
        database: Where it is set aside.
        writer: Takes the locks of jobs.
        catalog: The prices.
    """

    def __init__(self, database: Database, writer: JobWriter, catalog: Catalog) -> None:
        self._database = database
        self._writer = writer
        self._catalog = catalog
        self._held: dict[UUID, UUID] = {}
        self._freed: dict[UUID, asyncio.Event] = {}
        self._renewer: asyncio.Task[None] | None = None

    async def reserve(
        self, ref: JobRef, model: str, prompt: Prompt, reservation: UUID, *, least: int | None = None
    ) -> Hold:
        """Set aside what a call may cost at most; waits while others of the job are in flight.

        Args:
            ref: The job.
            model: Who is asked.
            prompt: What is asked.
            reservation: Its name; one of that name is replaced.
            least: How short the answer's room may be made where there is no money for more; None: it is as asked.

        Raises:
            CostLimitError: There is no room for it, and none will come.
        """

        async def set_aside(connection: Connection) -> Hold | CostLimitError | None:
            room = await read_room(connection, ref.job_id, but=reservation)
            if room is None:
                return Hold(None, ref.job_id, prompt)
            shortened = None
            needed = least_price(self._catalog, model, prompt, least)
            full = max_price(self._catalog, model, prompt)
            if full > room.left:
                if room.reserved > 0:
                    return None
                if needed > room.left:
                    return _refusal(model, room.left, needed)
                shortened = {"most_tokens": self._affordable(model, prompt, room.left), "exact_room": True}
                full = room.left
            await write_reservation(connection, reservation, ref.job_id, full, LEASE_SECONDS)
            return Hold(reservation, ref.job_id, prompt.model_copy(update=shortened))

        while True:
            freed = self._freed.setdefault(ref.job_id, asyncio.Event())
            outcome = await self._write(ref.job_id, reservation, set_aside)
            if isinstance(outcome, Hold):
                if outcome.id is not None:
                    self._hold(outcome.id, ref.job_id)
                return outcome
            if isinstance(outcome, CostLimitError):
                raise outcome
            # Another worker's calls are seen by looking again.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(freed.wait(), POLL_SECONDS)

    async def _write(
        self, job_id: UUID, reservation: UUID, effect: Callable[[Connection], Awaitable[Result]]
    ) -> Result:
        try:
            return await self._writer.write(job_id, effect)
        except asyncio.CancelledError:
            # It may be committed all the same: what is written next is written after it.
            await self._writer.write(job_id, lambda connection: free_reservation(connection, reservation))
            raise

    async def reserve_for_batch(self, ref: JobRef, model: str, prompt: Prompt, reservation: UUID) -> None:
        """Set aside what a call may cost that is to go into a batch; its booking frees it, hours later.

        Raises:
            AnswerAwaitedError: There is no room as long as others are in flight.
            CostLimitError: There is no room for it, and none will come.
        """

        async def set_aside(connection: Connection) -> CostLimitError | AnswerAwaitedError | None:
            room = await read_room(connection, ref.job_id, but=reservation)
            needed = max_price(self._catalog, model, prompt)
            if room is not None and needed > room.left:
                if room.reserved > 0:
                    return AnswerAwaitedError(f"{model} is asked when others have been answered")
                return _refusal(model, room.left, needed)
            await write_reservation(connection, reservation, ref.job_id, needed, BATCH_LEASE_SECONDS)
            return None

        refusal = await self._writer.write(ref.job_id, set_aside)
        if refusal is not None:
            raise refusal

    async def admit(self, hold: Hold, model: str, flight: Flight, body: bytes) -> None:
        """Set aside what a further request may cost, in place of what was set aside for the one before it.

        It does not wait: those who hold something and wait for more would wait for each other.

        Raises:
            CostLimitError: There is no room for it.
        """
        reservation = hold.id
        if reservation is None:
            return
        request = orjson.loads(body)
        most = max(int(request.get(name) or 0) for name in ("max_tokens", "max_completion_tokens"))
        bound = self._catalog.price(model, len(body) + FRAME_TOKENS, most or hold.prompt.most_tokens)

        async def extend(connection: Connection) -> CostLimitError | None:
            room = await read_room(connection, hold.job_id, but=reservation)
            if room is not None and flight.usage.usd + bound > room.left:
                return _refusal(model, room.left - flight.usage.usd, bound)
            await write_reservation(connection, reservation, hold.job_id, flight.usage.usd + bound, LEASE_SECONDS)
            return None

        refusal = await self._writer.write(hold.job_id, extend)
        if refusal is not None:
            raise refusal

    async def free(self, hold: Hold) -> None:
        """Free what was set aside for a call that was paid nothing."""
        if hold.id is not None:
            try:
                async with self._database.statement() as connection:
                    await free_reservation(connection, hold.id)
            finally:
                self.note_freed(hold)

    def note_freed(self, hold: Hold) -> None:
        """Note that a call is booked, and what was set aside for it is free."""
        if hold.id is not None:
            self._held.pop(hold.id, None)
            # Whoever waits looks anew; the next one to wait does so for the next one to be freed.
            self._freed.pop(hold.job_id, asyncio.Event()).set()

    def _hold(self, reservation: UUID, job_id: UUID) -> None:
        self._held[reservation] = job_id
        if self._renewer is None or self._renewer.done():
            self._renewer = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        while self._held:
            await asyncio.sleep(LEASE_SECONDS / 3)
            try:
                await renew_reservations(self._database, list(self._held), LEASE_SECONDS)
            except Exception:
                logger.warning("reservations were not renewed; they lapse in %.0f s", LEASE_SECONDS, exc_info=True)

    async def close(self) -> None:
        """Stop renewing."""
        if self._renewer is not None:
            self._renewer.cancel()
            await asyncio.gather(self._renewer, return_exceptions=True)

    def _affordable(self, model: str, prompt: Prompt, usd: float) -> int:
        """Return how long an answer may be for less than the longest one can cost, thoughts included."""
        inputs = max_price(self._catalog, model, prompt, 0)
        longest = max_price(self._catalog, model, prompt)
        return int(room_of(self._catalog, model, prompt) * (usd - inputs) / (longest - inputs))


def _refusal(model: str, left: float, needed: float) -> CostLimitError:
    return CostLimitError(
        f"{max(left, 0.0):.6f} US dollars are left of the job's cap, and a request to {model} may take {needed:.6f}"
    )
