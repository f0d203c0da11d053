"""Reads the events of an index: a page of them, or all that come, as they come."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.entities.group_types import IndexEvent, IndexEventPage
from towpath.entities.store.events import (
    IndexEventRow,
    event_key,
    find_last_number,
    read_index_events,
)
from towpath.entities.store.groups import read_groups
from towpath.entities.store.indexes import Index, find_index
from towpath.entities.views import group_name, read_group_id
from towpath.jobs.event_hub import EventHub

EVENTS_A_LOOK = 500


class IndexEventService:
    """Reads events.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self, organization: str, name: str) -> None:
        """Make sure that there is such an index.

        Raises:
            NotFoundError: There is none.
        """
        async with self._database.transaction() as connection:
            await find_index(connection, organization, name)

    async def read_page(
        self, organization: str, name: str, *, after: int, limit: int, group_id: str | None
    ) -> IndexEventPage:
        """Read events behind a number, those of one group or of all.

        Raises:
            NotFoundError: No such index, or it has never had such a group.
        """
        async with self._database.transaction() as connection:
            index = await find_index(connection, organization, name)
            if group_id is not None:
                await _assert_known(connection, index, group_id)
            rows = await read_index_events(
                connection, organization, name, after=after, limit=limit,
                group_uid=None if group_id is None else read_group_id(group_id),
            )  # fmt: skip
            last = await find_last_number(connection, organization, name)
        events = [index_event(name, row) for row in rows]
        return IndexEventPage(events=events, next_after=rows[-1].seq if rows else after, last=last)

    async def follow(
        self, hub: EventHub, organization: str, name: str, *, after: int, seconds: float
    ) -> AsyncIterator[list[IndexEvent]]:
        """Yield events from behind a number on, some at a time, until the time is over or the process ends.

        Args:
            hub: Wakes who waits.
            organization: Whose index; the caller has checked that it is there.
            name: Its name.
            after: The last event that the reader has.
            seconds: How long.
        """
        ends = time.monotonic() + seconds
        async with hub.subscribed(event_key(organization, name)) as news:
            while not hub.closing.is_set() and time.monotonic() < ends:
                news.clear()
                async with self._database.transaction() as connection:
                    rows = await read_index_events(connection, organization, name, after=after, limit=EVENTS_A_LOOK)
                if rows:
                    after = rows[-1].seq
                    yield [index_event(name, row) for row in rows]
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(ends - time.monotonic(), 0)):
                        await news.wait()


async def _assert_known(connection: Connection, index: Index, group_id: str) -> None:
    group = read_group_id(group_id)
    if await read_groups(connection, index.index_no, [group]):
        return
    of = connection, index.organization, index.name
    if not await read_index_events(*of, after=0, limit=1, group_uid=group):
        raise NotFoundError(f"no group {group_id} in index {index.name}")


def index_event(name: str, row: IndexEventRow) -> IndexEvent:
    """Show an event."""
    return IndexEvent.model_validate(
        {
            "seq": row.seq,
            "at": row.at,
            "type": row.type,
            "indexName": name,
            "groupId": group_name(row.group_uid),
            "cause": row.cause,
            "jobId": row.job_id,
            **row.data,
        }
    )
