"""Follows the events of jobs, and wakes who waits for new ones: one LISTEN connection a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg

from towpath.db.engine import Connection, Database
from towpath.jobs.store.event_log import listen_for_events, read_events, read_events_in, read_positions
from towpath.jobs.store.jobs import get_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobEvent

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
TAIL_START = 100
TAIL_EVENTS = 1000


class Tail:
    """The newest events of a job that somebody follows: read once for all of its streams.

    Attributes:
        base: Events up to here are not held.
        final: Whether the job had ended before the last look.
        stale: Whether there may be something new.
    """

    def __init__(self) -> None:
        self.events: list[JobEvent] = []
        self.base: int | None = None
        self.final = False
        self.stale = True
        self.lock = asyncio.Lock()

    async def refresh(self, database: Database, job_id: UUID) -> None:
        """Read what is new, if something may be."""
        async with self.lock:
            if not self.stale:
                return
            self.stale = False
            async with database.transaction() as connection:
                # In this order: a job that was final before an empty read has no further events.
                positions = await read_positions(connection, [job_id])
                if self.base is None:
                    newest = positions[0].last_seq if positions else 0
                    self.base = max(0, newest - TAIL_START)
                fresh = await read_events_in(connection, job_id, after=self.position or 0, limit=TAIL_EVENTS)
            # A job that is gone has no further events either.
            self.final = positions[0].state.final if positions else True
            self.stale = len(fresh) == TAIL_EVENTS
            self.events += fresh
            if len(self.events) > TAIL_EVENTS:
                self.base = self.events[-TAIL_EVENTS - 1].seq
                del self.events[:-TAIL_EVENTS]

    @property
    def position(self) -> int | None:
        """Return the number of the newest event that was read; None: nothing was read yet."""
        return self.events[-1].seq if self.events else self.base

    def after(self, seq: int) -> list[JobEvent] | None:
        """Return the events behind a number; None: it lies before what is held."""
        if self.base is None or seq < self.base:
            return None
        return self.events[bisect_right(self.events, seq, key=lambda event: event.seq) :]


class EventHub:
    """Wakes who waits for a job's events, and reads them once for all who follow.

    Notifications are only a hint that there is something to read: a lost one costs at most a poll's time.

    Args:
        database: Where the events are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._tails: dict[UUID, Tail] = {}
        self._listener: asyncio.Task[None] | None = None
        self.closing = asyncio.Event()

    async def start(self) -> None:
        """Begin to listen."""
        self._listener = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening and wake everyone, so that streams end."""
        self.closing.set()
        self._wake_all()
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener

    async def _listen(self) -> None:
        while True:
            try:
                async with await self._database.listen() as connection:
                    await listen_for_events(connection)
                    # What came while nobody listened is found by reading.
                    self._wake_all()
                    await self._relay(connection)
            except psycopg.OperationalError as error:
                logger.warning("the event listener lost its connection: %s", error)
                self._wake_all()
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _relay(self, connection: Connection) -> None:
        while True:
            async for notice in connection.notifies(timeout=POLL_SECONDS):
                self._wake(UUID(notice.payload))
            await self._wake_behind()

    async def _wake_behind(self) -> None:
        """Wake those whose job has moved on unheard: one statement, however many wait."""
        async with self._database.statement() as connection:
            positions = await read_positions(connection, self._waiting)
        for now in positions:
            tail = self._tails.get(now.job_id)
            if tail is None or tail.position != now.last_seq or (now.state.final and not tail.final):
                self._wake(now.job_id)
        for job_id in self._waiting.keys() - {now.job_id for now in positions}:
            self._wake(job_id)

    def _wake(self, job_id: UUID) -> None:
        if tail := self._tails.get(job_id):
            tail.stale = True
        for event in self._waiting.get(job_id, ()):
            event.set()

    def _wake_all(self) -> None:
        for job_id in list(self._waiting):
            self._wake(job_id)

    @asynccontextmanager
    async def subscribed(self, job_id: UUID) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set whenever the job may have news; clear it before reading."""
        event = asyncio.Event()
        self._waiting[job_id].add(event)
        self._tails.setdefault(job_id, Tail())
        try:
            yield event
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]
                del self._tails[job_id]

    async def follow(self, job_id: UUID, *, after: int, seconds: float) -> AsyncIterator[list[JobEvent]]:
        """Yield a job's events from behind a number on, some at a time, until it has ended or the time is over.

        The caller has checked whose job it is.
        """
        ends = time.monotonic() + seconds
        async with self.subscribed(job_id) as news:
            tail = self._tails[job_id]
            while not self.closing.is_set() and time.monotonic() < ends:
                news.clear()
                await tail.refresh(self._database, job_id)
                final, events = tail.final, tail.after(after)
                if events is None:
                    events = await read_events(self._database, job_id, after=after)
                if events:
                    after = events[-1].seq
                    yield events
                elif final:
                    return
                else:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(max(ends - time.monotonic(), 0)):
                            await news.wait()

    async def wait_for_end(self, job: JobRow, *, seconds: float) -> JobRow:
        """Wait until a job has ended, for at most so many seconds.

        Returns:
            The job as it is then.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self.subscribed(job.id) as news:
                while not (job := await get_job(self._database, job.organization, job.id)).state.final:
                    await news.wait()
                    news.clear()
        return job
