"""The limits of organizations: how many requests, jobs, bytes and streams each may use, over all façades.

Where Postgres does not answer, nothing is refused for a limit; what the request is for will say so by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.types import Scope

from towpath.accounts.limits import MEANINGS, RATES, WINDOW_SECONDS, LimitName, LimitView
from towpath.accounts.store.usage import add_bytes, count_leases, count_open_jobs, own_limits, stored_bytes
from towpath.accounts.types import Principal
from towpath.api.http.limiter import Limiter, Rate, pass_over
from towpath.core.errors import LimitReachedError
from towpath.db.engine import Database
from towpath.jobs.store.jobs import JOBS_RETRY
from towpath.runtime.settings import Settings

COUNTED = "towpath.counted"
KNOWN_SECONDS = 10.0
BYTES_KNOWN_SECONDS = 5.0
BYTES_RETRY = 60
MAX_KNOWN = 10_000
TOLD_BYTES = 8 << 20
"""What a process has taken in is told to the others from so much on."""
STREAMS = "stream"
"""The kind of the leases."""


class Limits:
    """What each organization may use.

    Args:
        settings: The limits of those that have none of their own.
        database: Where those are.
        limiter: Counts requests.
    """

    def __init__(self, settings: Settings, database: Database, limiter: Limiter) -> None:
        self._defaults = {
            LimitName.REQUESTS: settings.limit_requests,
            LimitName.AI_REQUESTS: settings.ai_rate,
            LimitName.JOBS: settings.limit_jobs,
            LimitName.BYTES: settings.limit_bytes,
            LimitName.STREAMS: settings.limit_streams,
        }
        self._database = database
        self._limiter = limiter
        self._own: dict[str, tuple[float, Mapping[LimitName, int]]] = {}
        self._bytes: dict[str, tuple[float, int]] = {}
        self._added: dict[str, int] = {}

    def most(self, organization: str, name: LimitName) -> int:
        """A limit, as it was known when the request at hand was counted; 0: none."""
        own = self._own.get(organization, (0.0, {}))[1]
        return own.get(name, self._defaults[name])

    async def count_request(self, scope: Scope, organization: str) -> None:
        """Count a request, once however often its caller is looked up.

        Raises:
            LimitReachedError: The organization has used up its minute.
        """
        if scope.get(COUNTED):
            return
        scope[COUNTED] = True
        await self._learn(organization)
        await self._limiter.hit(self._rate(organization, LimitName.REQUESTS), organization)

    async def count_ai_request(self, caller: Principal) -> None:
        """Count a request of the AI API.

        Raises:
            LimitReachedError: The key has used up its minute.
        """
        await self._limiter.hit(self._rate(caller.organization, LimitName.AI_REQUESTS), _key_of(caller))

    def most_jobs(self, organization: str) -> int:
        """How many jobs may be in flight, for whoever creates one; 0: any number."""
        return self.most(organization, LimitName.JOBS)

    async def room_for_job(self, organization: str) -> None:
        """Look whether another job may be started, before much is read for it; not within a transaction.

        Raises:
            LimitReachedError: As many are in flight as may be.
        """
        most = self.most_jobs(organization)
        if not most:
            return
        async with self._database.statement() as connection:
            if await count_open_jobs(connection, organization, most=most) >= most:
                raise LimitReachedError(LimitName.JOBS, most, retry_after=JOBS_RETRY)

    async def room_for_bytes(self, organization: str) -> None:
        """Look whether an organization may store anything more; not within a transaction.

        Raises:
            LimitReachedError: It keeps more than it may.
        """
        most = self.most(organization, LimitName.BYTES)
        if most and await self._stored(organization) >= most:
            raise LimitReachedError(
                LimitName.BYTES, most, retry_after=BYTES_RETRY,
                detail=f"the limit {LimitName.BYTES} is reached: {most:,} bytes are kept; delete what is not needed",
            )  # fmt: skip

    async def note_bytes(self, organization: str, count: int) -> None:
        """Count what was taken in, until it is measured."""
        added = self._added.get(organization, 0) + count
        self._added[organization] = 0 if added >= TOLD_BYTES else added
        if added >= TOLD_BYTES:
            self._bytes.pop(organization, None)
            await add_bytes(self._database, organization, added)

    async def view(self, caller: Principal) -> list[LimitView]:
        """All limits, with what is used."""
        organization = caller.organization
        own = await own_limits(self._database, organization)
        self._own[organization] = (time.monotonic() + KNOWN_SECONDS, own)
        async with self._database.statement() as connection:
            jobs = await count_open_jobs(connection, organization)
        used = {
            LimitName.REQUESTS: await self._limiter.used(self._rate(organization, LimitName.REQUESTS), organization),
            LimitName.AI_REQUESTS: await self._limiter.used(
                self._rate(organization, LimitName.AI_REQUESTS), _key_of(caller)
            ),
            LimitName.JOBS: jobs,
            LimitName.BYTES: await stored_bytes(self._database, organization),
            LimitName.STREAMS: await count_leases(self._database, STREAMS, organization),
        }
        return [
            LimitView(
                name=name, meaning=MEANINGS[name], most=self.most(organization, name) or None, used=used[name],
                window_seconds=WINDOW_SECONDS if name in RATES else None, own=name in own,
            )
            for name in LimitName
        ]  # fmt: skip

    def _rate(self, organization: str, name: LimitName) -> Rate:
        # A question to a model takes a statement more or less; a plain request should not.
        return Rate(name, self.most(organization, name), WINDOW_SECONDS, exact=name is LimitName.AI_REQUESTS)

    async def _learn(self, organization: str) -> None:
        """Look the organization's own limits up, now and then."""
        until, before = self._own.get(organization, (0.0, {}))
        if until > time.monotonic():
            return
        if len(self._own) >= MAX_KNOWN:
            self._own.clear()
        # Set first, so that of many requests at once one asks.
        self._own[organization] = (time.monotonic() + KNOWN_SECONDS, before)
        try:
            self._own[organization] = (
                time.monotonic() + KNOWN_SECONDS,
                await own_limits(self._database, organization),
            )
        except Exception as error:
            pass_over(error)

    async def _stored(self, organization: str) -> int:
        until, known = self._bytes.get(organization, (0.0, 0))
        if until <= time.monotonic():
            if len(self._bytes) >= MAX_KNOWN:
                self._bytes.clear()
            try:
                known = await stored_bytes(self._database, organization)
            except Exception as error:
                pass_over(error)
            self._bytes[organization] = (time.monotonic() + BYTES_KNOWN_SECONDS, known)
        return known + self._added.get(organization, 0)


def _key_of(caller: Principal) -> str:
    return str(caller.key_id or caller.user_id or caller.organization)
