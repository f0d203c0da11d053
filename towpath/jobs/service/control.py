"""Moves a job for a caller: the one way behind every API, page and command.

What the caller may do is decided by `towpath.jobs.policy`; what a kind of job does besides, its `JobType` says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from functools import partial
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.core.json_values import parse_json
from towpath.db.engine import Connection, Database
from towpath.jobs.event_hub import EventHub
from towpath.jobs.gateway import Gateway, Prepare
from towpath.jobs.idempotency import Slot
from towpath.jobs.policy import JobAction
from towpath.jobs.registry import job_type
from towpath.jobs.service.reading import JobReader
from towpath.jobs.store import jobs as store
from towpath.jobs.store.tables import JobRow


class JobService(JobReader):
    """Reads and moves jobs of any kind.

    Args:
        database: Where the jobs are.
        gateway: Moves them.
        events: Tells when they end.
        cancel_wait_seconds: For how long a caller who waits for the end of a cancelled job does so.
    """

    def __init__(self, database: Database, gateway: Gateway, events: EventHub, *, cancel_wait_seconds: float) -> None:
        super().__init__(database)
        self._gateway = gateway
        self._events = events
        self._cancel_wait = cancel_wait_seconds

    def start_soon(self, job: JobRow) -> None:
        """Start the workflow of a committed job without making the caller wait."""
        self._gateway.start_soon(job)

    async def accept_once(
        self,
        slot: Slot,
        digest: bytes,
        job: JobRow,
        create: Callable[[Connection, JobRow], Awaitable[object]],
    ) -> JobRow:
        """Store a job and start it, or return the job that the first request with the key has made.

        Args:
            slot: The place of the request's `Idempotency-Key`.
            digest: Of the request.
            job: The job, not stored yet.
            create: Stores it, in the transaction of the key.

        Raises:
            UnprocessableError: The key came with another request.
        """
        async with self._database.transaction() as connection:
            job_id = job.id
            if first := await slot.claim(connection):
                first.check(digest)
                job_id = UUID(parse_json(first.body)["job"])
            else:
                await create(connection, job)
                await slot.save(connection, digest, 200, {"job": str(job.id)})
            stored = await store.lock_job(connection, job.organization, job_id)
        if not stored.state.final:
            self.start_soon(stored)
        return stored

    async def pause(self, caller: Principal, job_id: UUID) -> JobRow:
        """Start no further chunk of a job.

        Raises:
            ConflictError: It has ended, or is being cancelled.
        """
        await self.find(caller, job_id, JobAction.PAUSE)
        return await self._gateway.pause(caller.organization, job_id)

    async def resume(self, caller: Principal, job_id: UUID, *, prepare: Prepare | None = None) -> JobRow:
        """Let a paused job continue.

        Args:
            caller: Who asks.
            job_id: The job.
            prepare: Runs in the same transaction, before the job continues.

        Raises:
            ConflictError: It has ended, is being cancelled, or is held for its review.
        """
        await self.find(caller, job_id, JobAction.CONTINUE)
        return await self._gateway.resume(caller.organization, job_id, prepare=prepare)

    async def cancel(
        self, caller: Principal, job_id: UUID, *, kinds: Collection[str] | None = None, wait: bool = False
    ) -> JobRow:
        """Stop a job; what is finished stays, and a review that waits is withdrawn.

        Args:
            caller: Who asks.
            job_id: The job.
            kinds: Which kinds of job are served here; None: all.
            wait: Whether its end is waited for, for `TOWPATH_CANCEL_WAIT_SECONDS` at most.
        """
        known = await self.find(caller, job_id, JobAction.CANCEL, kinds=kinds)
        on_cancel = job_type(known.kind).on_cancel
        prepare = None if on_cancel is None else partial(on_cancel, caller)
        job = await self._gateway.cancel(caller.organization, job_id, prepare=prepare)
        if wait and not job.state.final:
            job = await self._events.wait_for_end(job, seconds=self._cancel_wait)
        return job

    async def restart(
        self,
        caller: Principal,
        job_id: UUID,
        *,
        slot: Slot | None = None,
        deadline: datetime | None = None,
        prepare: Prepare | None = None,
    ) -> JobRow:
        """Run what has not succeeded once more.

        Args:
            caller: Who asks.
            job_id: The job.
            slot: The place of the request's `Idempotency-Key`.
            deadline: The new deadline; None: the one it has, if that is still to come.
            prepare: Runs in the same transaction; None: what the kind of job does.

        Raises:
            ConflictError: It runs, and is not being cancelled.
        """
        await self.find(caller, job_id, JobAction.RESTART)
        return await self._gateway.restart(caller.organization, job_id, slot=slot, deadline=deadline, prepare=prepare)

    async def decide(self, caller: Principal, job_id: UUID, settle: Prepare) -> JobRow:
        """Decide the review of a job; one that is held for it continues.

        Args:
            caller: Who decides.
            job_id: The job.
            settle: Writes the decision, in the same transaction.

        Raises:
            ConflictError: The job is held and is being cancelled.
        """
        await self.find(caller, job_id, JobAction.REVIEW)
        return await self._gateway.decide(caller.organization, job_id, settle)
