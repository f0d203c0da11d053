"""How long a provider's outage is waited out: a call that fails is tried again until its patience is over.

A provider is whoever answers a call of a job: a language model, an embedding endpoint, a user's database, the server
of a document. Temporal repeats the activity; since when the call fails is kept in Postgres, so that neither a worker
that is killed nor the next attempt of the activity begins to wait anew. A job's deadline ends the wait by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from temporalio import activity

from towpath.core.errors import ErrorCode, ModelError, TowpathError
from towpath.core.texts import format_utc
from towpath.db.engine import Database
from towpath.jobs.backoff import backoff_after
from towpath.jobs.store.events import append_run_event
from towpath.jobs.store.outages import Outage, forget_failure, note_failure
from towpath.jobs.types import EventType, JobRef

MAX_TRIES_COUNTED = 1000
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)


class Patience:
    """Judges failures that a retry may get over.

    Args:
        database: Where it is kept since when a call fails.
        seconds: How long a provider is waited for.
        clock: Tells the time.
    """

    def __init__(self, database: Database, *, seconds: float, clock: Clock = utc_now) -> None:
        self._database = database
        self._seconds = seconds
        self._clock = clock

    @property
    def max_tries(self) -> int:
        """Return how many tries of an activity there is room for, with Temporal's own back-off alone between them."""
        tries, waited = 1, 0.0
        while waited < self._seconds and tries < MAX_TRIES_COUNTED:
            waited += backoff_after(tries).total_seconds()
            tries += 1
        return tries

    async def judge(self, ref: JobRef, provider: str, call: bytes | str, error: TowpathError) -> TowpathError:
        """Note a failure that a retry may get over, and append an event of it.

        Args:
            ref: The job.
            provider: Who does not answer, for people.
            call: Names the call within the job.
            error: What it raised.

        Returns:
            What to raise: the error itself, and the activity is tried again; or, when the patience is over or the
            provider asks for more time than is left, the same as one that is final.
        """
        if not error.retryable:
            return error
        now = self._clock()
        if error.code is ErrorCode.RATE_LIMITED and error.retry_after and error.retry_after <= self._seconds:
            # A provider that says when it goes on is not away, however often it says so.
            outage = Outage(since=now, tries=1)
            wait, until = float(error.retry_after), now + timedelta(seconds=self._seconds)
            await self._append_event(ref, provider, error, outage, now, wait, until)
            return error
        async with self._database.transaction() as connection:
            outage = await note_failure(connection, ref, _digest(call), now)
        until = outage.since + timedelta(seconds=self._seconds)
        wait = float(error.retry_after or backoff_after(activity.info().attempt).total_seconds())
        if now >= until:
            return _final(error, outage, now)
        if error.retry_after and now + timedelta(seconds=wait) > until:
            return _final(error, outage, now, asks=error.retry_after)
        await self._append_event(ref, provider, error, outage, now, wait, until)
        return error

    async def note_answer(self, ref: JobRef, call: bytes | str) -> None:
        """Note that a call which comes again under the same name was answered: its next failure is a new outage."""
        if activity.info().attempt == 1:
            return
        async with self._database.transaction() as connection:
            await forget_failure(connection, ref, _digest(call))

    async def _append_event(
        self,
        ref: JobRef,
        provider: str,
        error: TowpathError,
        outage: Outage,
        now: datetime,
        wait: float,
        until: datetime,
    ) -> None:
        """Append one event for each provider and try of an activity, however many of its calls fail."""
        info = activity.info()
        data = {
            "provider": provider,
            "attempt": info.attempt,
            "code": error.code,
            "message": error.detail,
            "since": format_utc(outage.since),
            "nextAttemptAt": format_utc(now + timedelta(seconds=wait)),
            "givesUpAt": format_utc(until),
        }
        # The run too: one that was continued as new counts its activities from 1 again.
        key = f"{info.workflow_run_id}:{info.activity_id}:{info.attempt}:away:{provider}"
        async with self._database.transaction() as connection:
            await append_run_event(connection, ref, EventType.PROVIDER_AWAY, data, key)


def _final(error: TowpathError, outage: Outage, now: datetime, *, asks: int | None = None) -> TowpathError:
    lasted = _span((now - outage.since).total_seconds())
    tried = "once" if outage.tries == 1 else f"{outage.tries} times in {lasted}"
    ask = "" if asks is None else f", and it asks to wait {_span(asks)} more"
    message = f"{error.detail} (tried {tried}{ask})"
    if isinstance(error, ModelError):
        return ModelError(message, code=error.code, usage=error.usage)
    return TowpathError(message, code=error.code)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _digest(call: bytes | str) -> bytes:
    return call if isinstance(call, bytes) else hashlib.sha256(call.encode()).digest()
