"""What a list of jobs is asked for, and what a page of it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobStatus, ReviewStatus


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows; all that is given must hold, and an empty list asks for nothing in particular.

    Attributes:
        kinds: Any of these kinds; without any, all but upkeep.
        statuses: Any of these public statuses.
        review_statuses: Any of these.
        template_id: Jobs of this template.
        created_after: Created at that moment or later.
        created_before: Created earlier.
        user_id: Only jobs that this person sees (`towpath.jobs.policy`). The person's own are counted one by one,
            which is quick up to some ten thousand; everything else is equally quick at any number.
    """

    kinds: Sequence[str] = ()
    statuses: Sequence[JobStatus] = ()
    review_statuses: Sequence[ReviewStatus] = ()
    template_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    user_id: UUID | None = None


@dataclass(frozen=True)
class JobListPage:
    """A page, newest first, and how many jobs match in all; beyond the last page there are no jobs."""

    jobs: list[JobRow]
    total: int
