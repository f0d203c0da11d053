"""Reading a job's events, and being woken when there are new ones: one LISTEN connection a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg

from contracts.jobs import JobEvent
from stores.db import Connection, Database
from stores.jobs import EVENT_CHANNEL, get_job
from stores.tables import JobRow

logger = logging.getLogger(__name__)

POLL_SECONDS = 5.0
RECONNECT_SECONDS = 1.0


async def read_events(database: Database, job_id: UUID, *, after: int, limit: int = 500) -> list[JobEvent]:
    """Events of a job with a number above `after`, rising. The caller has checked whose job it is."""
    async with database.transaction() as connection:
        found = await connection.execute(
            "SELECT seq, at, type, data FROM job_events WHERE job_id = %s AND seq > %s ORDER BY seq LIMIT %s",
            (job_id, after, limit),
        )
        rows = await found.fetchall()
    return [JobEvent(seq=seq, at=at, type=kind, data=data) for seq, at, kind, data in rows]


class EventHub:
    """Wakes who waits for a job's events.

    Notifications are only a hint that there is something to read: a lost one costs at most a poll's time.

    Args:
        database: Where the events are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[UUID, set[asyncio.Event]] = defaultdict(set)
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
                    await connection.execute(f"LISTEN {EVENT_CHANNEL}")
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
                for event in self._waiting.get(UUID(notice.payload), ()):
                    event.set()
            self._wake_all()

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()

    @asynccontextmanager
    async def subscribed(self, job_id: UUID) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the job may have news; clear it before reading."""
        event = asyncio.Event()
        self._waiting[job_id].add(event)
        try:
            yield event
        finally:
            self._waiting[job_id].discard(event)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

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
