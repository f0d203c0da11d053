"""What a workflow does to the row of its job: begin, phases, holds, retries, the end."""

from __future__ import annotations

import logging

from towpath.db.engine import Database
from towpath.jobs.registry import job_type
from towpath.jobs.store import jobs as store
from towpath.jobs.store import retries
from towpath.jobs.store.ends import finish_job
from towpath.jobs.store.events import hold_job
from towpath.jobs.types import Finish, Hold, JobOutcome, JobRef, JobState, PhaseChange, Retrying, Started

logger = logging.getLogger(__name__)


class JobRuns:
    """The runs of jobs.

    Args:
        database: Where the jobs are.
        full_details: Whether the Temporal UI shows questions and file names too.
    """

    def __init__(self, database: Database, *, full_details: bool = False) -> None:
        self._database = database
        self._full_details = full_details

    async def begin(self, ref: JobRef) -> Started:
        """Move a job to RUNNING, unless it was paused or cancelled before it began."""
        return await store.begin_job(self._database, ref)

    async def enter_phase(self, change: PhaseChange) -> None:
        """Show what a job does now."""
        await store.enter_phase(self._database, change)

    async def hold(self, hold: Hold) -> bool:
        """Show a job as waiting for a person; false: it was continued already."""
        return await hold_job(self._database, hold)

    async def finish(self, finish: Finish) -> JobOutcome:
        """End a run in its row and its stream, and queue its deliveries; a second call changes nothing."""
        outcome = await finish_job(self._database, finish, full=self._full_details)
        if outcome.state is JobState.FAILED and job_type(finish.ref.kind).is_upkeep:
            # No list shows it and no webhook tells of it.
            reason = outcome.error.message if outcome.error else "no reason is known"
            logger.warning("upkeep %s failed: %s", finish.ref.workflow_id, reason)
        return outcome

    async def note_retry(self, ref: JobRef, key: str, retry: Retrying) -> bool:
        """Show that a step has failed and is tried again.

        Args:
            ref: The run that the step belongs to.
            key: Tells the step from others of the run.
            retry: What is shown.

        Returns:
            Whether it is shown; not: the run has ended, or is being cancelled.
        """
        return await retries.note_retry(self._database, ref, key, retry)

    async def note_lost(self, ref: JobRef, key: str, retry: Retrying) -> bool:
        """Show that an attempt was lost: its worker died, or its time was over. See `note_retry`."""
        return await retries.note_lost(self._database, ref, key, retry)

    async def clear_retry(self, ref: JobRef, key: str) -> None:
        """Take back what `note_retry` has shown: the step has succeeded."""
        await retries.clear_retry(self._database, ref, key)
