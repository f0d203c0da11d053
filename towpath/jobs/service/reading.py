"""Reads jobs for a caller: lists, counts, failed items, events. Each shows what the caller may see, and no more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.core.errors import NotFoundError
from towpath.db.engine import Database
from towpath.jobs.lists import JobFilter, JobListPage
from towpath.jobs.policy import JobAction, assert_may, may, seer_of
from towpath.jobs.store import jobs as store
from towpath.jobs.store.event_log import read_events
from towpath.jobs.store.listing import list_page, totals_by_status
from towpath.jobs.store.staging import read_failures
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import FailedItem, JobEvent, JobState, JobStatus, ReviewStatus

Cursor = tuple[datetime, UUID]
"""The place of a job in the list: when it was created, and its id."""


@dataclass(frozen=True, slots=True)
class JobSlice:
    """Some jobs, newest first.

    Attributes:
        jobs: The jobs.
        next: Where the next slice begins; None: there are no more.
    """

    jobs: list[JobRow]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Failures:
    """Some of the failed items of a job, and how many there are."""

    items: list[FailedItem]
    total: int


class JobReader:
    """What can be read of jobs.

    Args:
        database: Where the jobs are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

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

    async def load(self, organization: str, job_id: UUID) -> JobRow:
        """Load a job for who has been let in already, such as the bearer of its stream token.

        Raises:
            NotFoundError: It is not there, or another organization's.
        """
        return await store.get_job(self._database, organization, job_id)

    async def list_newest(
        self,
        caller: Principal,
        *,
        kind: str | None = None,
        state: JobState | None = None,
        external_id: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        before: Cursor | None = None,
        has_upkeep: bool = False,
        limit: int,
    ) -> JobSlice:
        """List jobs, newest first; a slice is stable while new jobs come in.

        Args:
            caller: Who asks.
            kind: Only jobs of this kind.
            state: Only jobs in this state.
            external_id: Only jobs that their client calls so.
            created_after: Only jobs created at that moment or later.
            created_before: Only jobs created earlier.
            before: Where the slice begins; None: with the newest.
            has_upkeep: Whether the jobs that the system starts for itself are listed too; they are if their kind is
                asked for.
            limit: How many at most.
        """
        rows = await store.list_jobs(
            self._database,
            caller.organization,
            kind=kind,
            state=state,
            user_id=seer_of(caller),
            external_id=external_id,
            created_after=created_after,
            created_before=created_before,
            before=before,
            has_upkeep=has_upkeep,
            limit=limit + 1,
        )
        jobs = rows[:limit]
        return JobSlice(jobs, (jobs[-1].created_at, jobs[-1].id) if len(rows) > limit else None)

    async def list_page(self, caller: Principal, chosen: JobFilter, *, page: int, size: int) -> JobListPage:
        """List a numbered page of jobs, newest first, with an exact total.

        Args:
            caller: Who asks: beside the filter, it holds what they may see.
            chosen: Which jobs.
            page: From 1.
            size: Jobs a page.
        """
        visible = replace(chosen, user_id=seer_of(caller))
        return await list_page(self._database, caller.organization, visible, page=page, size=size)

    async def count_by_status(self, caller: Principal) -> dict[JobStatus, int]:
        """Count the jobs of each public status."""
        return await totals_by_status(self._database, caller.organization, user_id=seer_of(caller))

    async def count_pending_reviews(self, caller: Principal) -> int:
        """Count the jobs whose review the caller could decide."""
        pending = JobFilter(review_statuses=[ReviewStatus.PENDING])
        return (await self.list_page(caller, pending, page=1, size=1)).total

    async def find_by_any_id(self, caller: Principal, text: str, *, limit: int) -> list[JobRow]:
        """Find the job that has an id of ours, and those that their clients call so.

        Args:
            caller: Who asks.
            text: The whole id.
            limit: How many jobs of clients at most.
        """
        if "\x00" in text:
            return []
        named = (await self.list_newest(caller, external_id=text, limit=limit)).jobs
        try:
            job = await store.get_job(self._database, caller.organization, UUID(text))
        except (ValueError, NotFoundError):
            return named
        if not may(caller, JobAction.SEE, job):
            return named
        return [job, *(other for other in named if other.id != job.id)]

    async def load_failures(self, job: JobRow, *, limit: int, offset: int = 0) -> Failures:
        """Load failed items of a job that was found, by their position in the request."""
        items, total = await read_failures(self._database, job.id, limit=limit, offset=offset)
        return Failures(items, total)

    async def load_events(self, job: JobRow, *, after: int, limit: int) -> list[JobEvent]:
        """Load events of a job that was found, behind a number, rising."""
        return await read_events(self._database, job.id, after=after, limit=limit)
