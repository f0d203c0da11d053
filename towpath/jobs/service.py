"""Finds a job for a caller, and moves it: the one way behind every API, page, command and stream.

What the caller may do is decided by `towpath.jobs.policy`; what a kind of job does besides, its `JobType` says.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.core.errors import NotFoundError
from towpath.db.engine import Database
from towpath.jobs.event_hub import EventHub
from towpath.jobs.gateway import Gateway, Prepare
from towpath.jobs.idempotency import Slot
from towpath.jobs.policy import JobAction, assert_may
from towpath.jobs.registry import job_type
from towpath.jobs.store import jobs as store
from towpath.jobs.store.tables import JobRow


class JobService:
    """The use cases of a job of any kind.

    Args:
        database: Where the jobs are.
        gateway: Moves them.
        events: Tells when they end.
        cancel_wait_seconds: For how long a caller who waits for the end of a cancelled job does so.
    """

    def __init__(self, database: Database, gateway: Gateway, events: EventHub, *, cancel_wait_seconds: float) -> None:
        self._database = database
        self._gateway = gateway
        self._events = events
        self._cancel_wait = cancel_wait_seconds

    def start_soon(self, job: JobRow) -> None:
        """Start the workflow of a committed job without making the caller wait."""
        self._gateway.start_soon(job)

    async def find(
        self,
        caller: Principal,
        job_id: UUID,
        action: JobAction = JobAction.SEE,
        *,
        kinds: Collection[str] | None = None,
    ) -> JobRow:
        """Find a job that the caller may see, or do something to.

        Args:
            caller: Who asks.
            job_id: The job.
            action: What for.
            kinds: Which kinds of job are served here; None: all.

        Raises:
            NotFoundError: It is not there, not to be seen, or of a kind that is not served here.
            ForbiddenError: It is seen, and not the caller's to move.
        """
        job = await store.get_job(self._database, caller.organization, job_id)
        assert_may(caller, action, job)
        if kinds is not None and job.kind not in kinds:
            raise NotFoundError(f"no job {job_id} of this kind")
        return job

    async def pause(self, caller: Principal, job_id: UUID) -> JobRow:
        """Start no further chunk of a job.

        Raises:
            ConflictError: It has ended, or is being cancelled.
        """
        await self.find(caller, job_id, JobAction.PAUSE)
        return await self._gateway.pause(caller.organization, job_id)

    async def resume(self, caller: Principal, job_id: UUID, *, prepare: Prepare | None = None) -> JobRow:
        """Let a paused job go on.

        Args:
            caller: Who asks.
            job_id: The job.
            prepare: Runs in the same transaction, before the job goes on.

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
        """Decide the review of a job; one that is held for it goes on.

        Args:
            caller: Who decides.
            job_id: The job.
            settle: Writes the decision, in the same transaction.

        Raises:
            ConflictError: The job is held and is being cancelled.
        """
        await self.find(caller, job_id, JobAction.REVIEW)
        return await self._gateway.decide(caller.organization, job_id, settle)
