"""Counts the event streams that are open, over all façades: each states in Postgres how many it has, for a minute.

A façade that is killed leaves nothing behind: what it held is not renewed and counts no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from towpath.accounts.limits import LimitName
from towpath.accounts.rate_limiter import raise_unless_away
from towpath.accounts.service.limits import STREAMS, Limits
from towpath.accounts.store.usage import drop_leases, hold_lease, renew_leases
from towpath.core.errors import LimitReachedError
from towpath.core.turns import Turns
from towpath.db.engine import Database

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
RENEW_SECONDS = 20.0
REPORT_SECONDS = 1.0
RETRY_SECONDS = 30


class StreamLeases:
    """The streams that this process has open.

    Args:
        database: Where leases are kept.
        limits: How many each organization may have open.
    """

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits
        self._holder = uuid4()
        self._held: Counter[str] = Counter()
        self._turns = Turns()
        self._changed: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to renew."""
        self._task = asyncio.create_task(self._renew())

    async def close(self) -> None:
        """Give everything back."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        try:
            await drop_leases(self._database, STREAMS, self._holder)
        except Exception as error:
            raise_unless_away(error)

    @asynccontextmanager
    async def held(self, organization: str) -> AsyncIterator[None]:
        """Hold one stream.

        Raises:
            LimitReachedError: The organization has as many open as it may.
        """
        await self._take(organization)
        try:
            yield
        finally:
            self._held[organization] -= 1
            self._changed.add(organization)

    async def _take(self, organization: str) -> None:
        limit = self._limits.get(organization, LimitName.STREAMS)
        # One after the other, for each states the number including itself; one that waits does not count yet.
        async with self._turns.of(organization):
            is_granted = True
            try:
                is_granted = await hold_lease(
                    self._database, STREAMS, organization, self._holder,
                    held=self._held[organization] + 1, most=limit, seconds=LEASE_SECONDS,
                )  # fmt: skip
            except Exception as error:
                raise_unless_away(error)
            if is_granted:
                self._held[organization] += 1
        if not is_granted:
            raise LimitReachedError(LimitName.STREAMS, limit, retry_after=RETRY_SECONDS)

    async def _renew(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            rounds += 1
            reported = set(self._changed)
            if rounds % (RENEW_SECONDS // REPORT_SECONDS) == 0:
                reported |= set(self._held)
            if not reported:
                continue
            self._changed -= reported
            try:
                for organization in sorted(reported):
                    # In turn with those that open one, so that no older number is stored after a newer.
                    async with self._turns.of(organization):
                        count = self._held[organization]
                        await renew_leases(
                            self._database, STREAMS, self._holder, {organization: count}, seconds=LEASE_SECONDS
                        )
                        if not self._held[organization]:
                            del self._held[organization]
            except Exception:
                # Reported again in the next round; until then the leases hold.
                self._changed |= reported
                logger.warning("leases of streams could not be renewed", exc_info=True)
