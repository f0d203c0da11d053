"""The only place that moves jobs in Temporal on behalf of a request: start, pause, resume, cancel, restart.

It starts a workflow by the name of its kind, and knows none of them.

The job's row is committed before Temporal is asked to start its workflow. If Temporal is away, or this
process dies between the two, the reconciler starts it; so an accepted job is never lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from towpath.core.errors import ConflictError, UnavailableError
from towpath.db.engine import Connection, Database
from towpath.jobs.idempotency import Slot
from towpath.jobs.registry import job_type
from towpath.jobs.rows import is_held_for_review, ref_of
from towpath.jobs.starting import start_options
from towpath.jobs.store import jobs as store
from towpath.jobs.store.control import mark_cancelling, mark_paused, mark_restart
from towpath.jobs.store.ends import cancel_now
from towpath.jobs.store.starts import start_of
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import DELIVER

logger = logging.getLogger(__name__)

RPC_TIMEOUT = timedelta(seconds=5)
Prepare = Callable[[Connection, JobRow], Awaitable[None]]


class Gateway:
    """Moves jobs: first in Postgres, then in Temporal.

    Args:
        database: Where the jobs are.
        client: Temporal.
        full_details: Whether the Temporal UI shows questions and file names too.
    """

    def __init__(self, database: Database, client: Client, *, full_details: bool = False) -> None:
        self._database = database
        self._full = full_details
        self._client = client
        self._starting: set[asyncio.Task[None]] = set()

    def start_soon(self, job: JobRow) -> None:
        """Start the workflow of a committed job without making the caller wait."""
        self.run_soon(self._start_or_leave(job))

    async def drain(self) -> None:
        """Wait for the starts under way; at shutdown."""
        if self._starting:
            await asyncio.wait(self._starting, timeout=RPC_TIMEOUT.total_seconds())

    async def _start_or_leave(self, job: JobRow) -> None:
        try:
            await self.start(job)
        except (RPCError, RuntimeError) as error:
            logger.warning("job %s waits for the reconciler: %s", job.id, error)

    async def start(self, job: JobRow, *, signal: str | None = None) -> None:
        """Start the workflow of a committed job; one that runs already is left alone."""
        start = start_of(job, full=self._full)
        try:
            await self._client.start_workflow(
                job.kind, start.input, start_signal=signal, rpc_timeout=RPC_TIMEOUT, **start_options(start)
            )
        except WorkflowAlreadyStartedError:
            logger.info("job %s attempt %d runs already", job.id, job.attempt)

    def run_soon(self, step: Coroutine[Any, Any, None]) -> None:
        """Do something with Temporal without making the caller wait; `drain` waits for it."""
        task = asyncio.create_task(step)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def pause(self, organization: str, job_id: UUID) -> JobRow:
        """Pause a job; chunks in flight run to their end."""
        async with self._database.transaction() as connection:
            job = await store.lock_job(connection, organization, job_id)
            job = await mark_paused(connection, job, paused=True)
            await self._signal(job, "pause")
        return job

    async def resume(self, organization: str, job_id: UUID, *, prepare: Prepare | None = None) -> JobRow:
        """Let a paused job continue.

        Args:
            organization: Whose job.
            job_id: The job.
            prepare: Runs in the same transaction, before the job continues.

        Raises:
            ConflictError: The job has ended, is being cancelled, or is held for a review that `prepare` leaves open.
        """
        async with self._database.transaction() as connection:
            job = await store.lock_job(connection, organization, job_id)
            if prepare is not None:
                await prepare(connection, job)
                job = await store.lock_job(connection, organization, job_id)
            if is_held_for_review(job):
                raise ConflictError("the job waits for its review; decide it, and the job goes on")
            job = await mark_paused(connection, job, paused=False)
            await self._signal(job, "continue")
        return job

    async def decide(self, organization: str, job_id: UUID, settle: Prepare) -> JobRow:
        """Decide the review of a job; one that is held for it continues.

        Args:
            organization: Whose job.
            job_id: The job.
            settle: Writes the decision, in the same transaction.

        Raises:
            ConflictError: The job is held and is being cancelled.
        """
        async with self._database.transaction() as connection:
            job = await store.lock_job(connection, organization, job_id)
            await settle(connection, job)
            held = is_held_for_review(job)
            job = await store.lock_job(connection, organization, job_id)
            if held:
                job = await mark_paused(connection, job, paused=False)
                await self._signal(job, "continue")
        return job

    async def cancel(self, organization: str, job_id: UUID, *, prepare: Prepare | None = None) -> JobRow:
        """Stop a job; what is finished stays. One that has ended, or is being delivered, answers its state.

        Args:
            organization: Whose job.
            job_id: The job.
            prepare: Runs in the same transaction, before the job is stopped; also where it has ended.
        """
        async with self._database.transaction() as connection:
            job = await store.lock_job(connection, organization, job_id)
            if prepare is not None:
                await prepare(connection, job)
                job = await store.lock_job(connection, organization, job_id)
            if job.state.final or job.phase == DELIVER:
                return job
            if job_type(job.kind).cancels_immediately:
                job = await cancel_now(connection, job, ref_of(job))
            else:
                job = await mark_cancelling(connection, job)
        # After the commit: the chunks that the cancel interrupts look at the row.
        try:
            await self._client.get_workflow_handle(ref_of(job).workflow_id).cancel(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                logger.warning("the cancel of job %s waits for the reconciler: %s", job.id, error)
            else:
                # It was never started: its first step reads the request in the row and ends it.
                self.start_soon(job)
        return job

    async def restart(
        self,
        organization: str,
        job_id: UUID,
        *,
        prepare: Prepare | None = None,
        slot: Slot | None = None,
        deadline: datetime | None = None,
    ) -> JobRow:
        """Run a job once more, as the next attempt; by default what has not succeeded.

        Args:
            organization: Whose job.
            job_id: The job.
            prepare: Runs in the same transaction; None: what the kind of job does.
            slot: The place of the request's `Idempotency-Key`: a repeat restarts nothing.
            deadline: The new deadline; None: the one it has, if that is still to come.

        Raises:
            ConflictError: The job runs and is not being cancelled.
        """
        async with self._database.transaction() as connection:
            if slot is not None and await slot.claim(connection):
                return await store.lock_job(connection, organization, job_id)
            job = await store.lock_job(connection, organization, job_id)
            when = await mark_restart(connection, job, deadline=deadline)
            if slot is not None:
                await slot.save(connection, b"", 200, {"job": str(job_id)})
            prepare = prepare or job_type(job.kind).on_restart
            if prepare is not None:
                await prepare(connection, job)
        job = await store.get_job(self._database, organization, job_id)
        if when == "now":
            self.start_soon(job)
        return job

    async def _signal(self, job: JobRow, signal: str) -> None:
        """Tell the workflow, starting it first if it never was; inside the transaction that shows the new state.

        Raises:
            UnavailableError: Temporal does not answer; the transaction rolls back.
        """
        try:
            await self._client.get_workflow_handle(ref_of(job).workflow_id).signal(signal, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise UnavailableError("Temporal does not answer; nothing was changed", retry_after=5) from error
            await self.start(job, signal=signal)
