"""The limits of organizations: how many requests, jobs, bytes and streams each may use, over all façades.

Where Postgres does not answer, nothing is refused for a limit; what the request is for will say so by itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from towpath.accounts.limits import JOBS_RETRY_SECONDS, MEANINGS, RATES, WINDOW_SECONDS, LimitName, LimitView
from towpath.accounts.rate_limiter import Limiter, Rate, raise_unless_away
from towpath.accounts.store.usage import add_bytes, count_leases, count_open_jobs, get_own_limits, measure_stored_bytes
from towpath.accounts.types import Principal
from towpath.core.errors import LimitReachedError
from towpath.db.engine import Database

LIMITS_KNOWN_SECONDS = 10.0
BYTES_KNOWN_SECONDS = 5.0
BYTES_RETRY_SECONDS = 60
MAX_KNOWN = 10_000
SHARE_BYTES = 8 << 20
"""A process writes what it has taken in to the database, for the others, from so many bytes on."""
STREAMS = "stream"
"""The kind of the leases."""


MeasureUse = Callable[[str], Awaitable[Mapping[LimitName, int]]]


class Limits:
    """What each organization may use.

    Args:
        defaults: The limits of organizations that have none of their own; 0: none.
        database: Where an organization's own limits and its usage are.
        limiter: Counts requests.
        upkeep: Kinds of jobs that the system starts for itself: they do not count.
        measure_models: Tells what an organization uses of providers of models.
    """

    def __init__(
        self,
        defaults: Mapping[LimitName, int],
        database: Database,
        limiter: Limiter,
        *,
        upkeep: Iterable[str] = (),
        measure_models: MeasureUse | None = None,
    ) -> None:
        self._measure_models = measure_models
        self._defaults = defaults
        self._upkeep = frozenset(upkeep)
        self._database = database
        self._limiter = limiter
        self._own: dict[str, tuple[float, Mapping[LimitName, int]]] = {}
        self._bytes: dict[str, tuple[float, int]] = {}
        self._added: dict[str, int] = {}

    def get(self, organization: str, name: LimitName) -> int:
        """Return a limit, as it was known when the request at hand was counted; 0: none."""
        own = self._own.get(organization, (0.0, {}))[1]
        return own.get(name, self._defaults[name])

    async def count_request(self, organization: str) -> None:
        """Count a request.

        Raises:
            LimitReachedError: The organization has used up its minute.
        """
        await self._learn(organization)
        await self._limiter.hit(self._rate(organization, LimitName.REQUESTS), organization)

    async def count_ai_request(self, caller: Principal) -> None:
        """Count a request of the AI API.

        Raises:
            LimitReachedError: The key has used up its minute.
        """
        await self._limiter.hit(self._rate(caller.organization, LimitName.AI_REQUESTS), _key_of(caller))

    def max_jobs(self, organization: str) -> int:
        """Return how many jobs may be in flight, for whoever creates one; 0: any number."""
        return self.get(organization, LimitName.JOBS)

    async def assert_room_for_job(self, organization: str) -> None:
        """Check that another job may be started, before much is read for it; not within a transaction.

        Raises:
            LimitReachedError: As many are in flight as may be.
        """
        most = self.max_jobs(organization)
        if not most:
            return
        async with self._database.statement() as connection:
            if await count_open_jobs(connection, organization, self._upkeep, most=most) >= most:
                raise LimitReachedError(LimitName.JOBS, most, retry_after=JOBS_RETRY_SECONDS)

    async def assert_room_for_bytes(self, organization: str) -> None:
        """Check that an organization may store more; not within a transaction.

        Raises:
            LimitReachedError: It keeps more than it may.
        """
        most = self.get(organization, LimitName.BYTES)
        if most and await self._stored(organization) >= most:
            raise LimitReachedError(
                LimitName.BYTES, most, retry_after=BYTES_RETRY_SECONDS,
                detail=f"the limit {LimitName.BYTES} is reached: {most:,} bytes are kept; delete what is not needed",
            )  # fmt: skip

    async def note_bytes(self, organization: str, count: int) -> None:
        """Count what was taken in, until the next measurement includes it."""
        added = self._added.get(organization, 0) + count
        self._added[organization] = 0 if added >= SHARE_BYTES else added
        if added >= SHARE_BYTES:
            self._bytes.pop(organization, None)
            await add_bytes(self._database, organization, added)

    async def view(self, caller: Principal) -> list[LimitView]:
        """Return all limits of the caller's organization, with what is used of each."""
        organization = caller.organization
        own = await get_own_limits(self._database, organization)
        self._own[organization] = (time.monotonic() + LIMITS_KNOWN_SECONDS, own)
        async with self._database.statement() as connection:
            jobs = await count_open_jobs(connection, organization, self._upkeep)
        used = {
            LimitName.REQUESTS: await self._limiter.used(self._rate(organization, LimitName.REQUESTS), organization),
            LimitName.AI_REQUESTS: await self._limiter.used(
                self._rate(organization, LimitName.AI_REQUESTS), _key_of(caller)
            ),
            LimitName.JOBS: jobs,
            LimitName.BYTES: await measure_stored_bytes(self._database, organization),
            LimitName.STREAMS: await count_leases(self._database, STREAMS, organization),
        }
        if self._measure_models is not None:
            used.update(await self._measure_models(organization))
        return [
            LimitView(
                name=name, meaning=MEANINGS[name], most=self.get(organization, name) or None, used=used.get(name, 0),
                window_seconds=WINDOW_SECONDS if name in RATES else None, own=name in own,
            )
            for name in LimitName
        ]  # fmt: skip

    def _rate(self, organization: str, name: LimitName) -> Rate:
        # A question to a model takes a statement more or less; a plain request should not.
        return Rate(name, self.get(organization, name), WINDOW_SECONDS, exact=name is LimitName.AI_REQUESTS)

    async def _learn(self, organization: str) -> None:
        """Look the organization's own limits up, now and then."""
        until, before = self._own.get(organization, (0.0, {}))
        if until > time.monotonic():
            return
        if len(self._own) >= MAX_KNOWN:
            self._own.clear()
        # Set first, so that of many requests at once one asks.
        self._own[organization] = (time.monotonic() + LIMITS_KNOWN_SECONDS, before)
        try:
            self._own[organization] = (
                time.monotonic() + LIMITS_KNOWN_SECONDS,
                await get_own_limits(self._database, organization),
            )
        except Exception as error:
            raise_unless_away(error)

    async def _stored(self, organization: str) -> int:
        until, stored = self._bytes.get(organization, (0.0, 0))
        if until <= time.monotonic():
            if len(self._bytes) >= MAX_KNOWN:
                self._bytes.clear()
            try:
                stored = await measure_stored_bytes(self._database, organization)
            except Exception as error:
                raise_unless_away(error)
            self._bytes[organization] = (time.monotonic() + BYTES_KNOWN_SECONDS, stored)
        return stored + self._added.get(organization, 0)


def _key_of(caller: Principal) -> str:
    return str(caller.key_id or caller.user_id or caller.organization)
