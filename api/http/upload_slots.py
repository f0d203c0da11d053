"""Who may upload at the moment: so many at once, and no organization more than its share.

What a slow client sends is first read ahead, up to a bound, by itself: neither a place nor a connection of the
database is held for it. A body that ends there is small, and its place is held as long as the database takes. Only a
body that goes on beyond that holds a place while its client sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Request

from towpath.accounts.service.limits import Limits
from towpath.api.http.body_limit import allow, body_size
from towpath.api.http.uploads import read_ahead
from towpath.core.errors import LimitReachedError, TowpathError, UnavailableError
from towpath.runtime.settings import Settings

RETRY_SECONDS = 5


class UploadSlots:
    """The places of this process.

    Args:
        settings: How many, the share, and how long one waits for them.
        limits: Whether there is room for what comes.
    """

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self._limits = limits
        # Half of the connections at the most: the rest answer everybody else.
        most = min(settings.uploads, max(settings.api_pool_size // 2, 1))
        share = min(settings.uploads_per_organization, most)
        self._large = Slots(most, share, settings.upload_wait_seconds)
        self._small = Slots(most, share, settings.upload_wait_seconds)

    @asynccontextmanager
    async def turn(
        self, request: Request, organization: str, *, limit: int, setting: str | None = None
    ) -> AsyncIterator[None]:
        """Wait for a place to read a body and write what is in it.

        Args:
            request: Whose body it is.
            organization: Who sends it.
            limit: The most bytes as they come.
            setting: The setting that says so.

        Raises:
            LimitReachedError: The organization's share is taken, and stays so; or it stores as much as it may, or has
                as many jobs.
            UnavailableError: All places are.
            TooLargeError: The body says that it is larger.
            SlowBodyError: It does not come.
        """
        await self._limits.assert_room_for_bytes(organization)
        allow(request.scope, limit, setting)
        slots = self._small
        if not await read_ahead(request):
            await self._limits.assert_room_for_job(organization)
            slots = self._large
        async with slots.held(organization):
            yield
        await self._limits.note_bytes(organization, body_size(request.scope))

    @asynccontextmanager
    async def brief(self, organization: str) -> AsyncIterator[None]:
        """Hold the same for a body that has been read."""
        await self._limits.assert_room_for_bytes(organization)
        async with self._small.held(organization):
            yield


class Slots:
    """Places that are shared fairly.

    Args:
        most: All of them.
        share: The most that one organization holds.
        seconds: How long one waits for a place.
    """

    def __init__(self, most: int, share: int, seconds: float) -> None:
        self._all = asyncio.Semaphore(most)
        self._share = share
        self._seconds = seconds
        self._shares: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def held(self, organization: str) -> AsyncIterator[None]:
        """Hold one place.

        Raises:
            LimitReachedError: The share is taken, and stays so.
            UnavailableError: All places are.
        """
        # Its share comes first, so that who has used it up does not wait among the others.
        async with (
            self._own(organization) as own,
            self._one_of(own, lambda: LimitReachedError("uploads", self._share, retry_after=RETRY_SECONDS)),
            self._one_of(self._all, self._full),
        ):
            yield

    @asynccontextmanager
    async def _own(self, organization: str) -> AsyncIterator[asyncio.Semaphore]:
        own, waiting = self._shares.get(organization, (asyncio.Semaphore(self._share), 0))
        self._shares[organization] = (own, waiting + 1)
        try:
            yield own
        finally:
            own, waiting = self._shares.pop(organization)
            if waiting > 1:
                self._shares[organization] = (own, waiting - 1)

    @asynccontextmanager
    async def _one_of(self, places: asyncio.Semaphore, refusal: Callable[[], TowpathError]) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                await places.acquire()
        except TimeoutError as error:
            raise refusal() from error
        try:
            yield
        finally:
            places.release()

    @staticmethod
    def _full() -> UnavailableError:
        return UnavailableError("all places for uploads are taken now; try again", retry_after=RETRY_SECONDS)
