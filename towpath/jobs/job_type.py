"""What a kind of job is, in one place: everything that serves all jobs asks this, and branches by no kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from towpath.accounts.types import Principal
from towpath.core.queues import Queue
from towpath.db.engine import Connection
from towpath.db.tables import JobRow
from towpath.jobs.types import JobState

OnCancel = Callable[[Principal, Connection, JobRow], Awaitable[None]]
OnRestart = Callable[[Connection, JobRow], Awaitable[None]]
WebhookFields = Callable[[Connection, JobRow], Awaitable[dict[str, Any]]]
Sweep = Callable[[Connection, int, int], Awaitable[int]]
"""Delete what is older than so many days, so many rows at most, and return how many rows went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobType:
    """One kind of job, as its feature describes it.

    What needs templates or FastAPI stands in `towpath.api.console.panels`, under the same kind.

    Attributes:
        kind: The stored word; also the name of the workflow that runs it, and a part of the workflow's id.
        title: The kind in a heading.
        params: The model of the stored parameters.
        subject: The parameter that says what a job works on, for people who look at lists.
        headline: A parameter that says it better to those who may read the job, such as the question itself.
        shown_params: Parameters that name something the organization keeps, or count: they may be shown to operators
            in the Temporal UI. Any other may hold what a user has typed.
        resource_path: The job in its own API; `{id}` and `{external_id}` are filled in.
        statuses: The word of its own API for each state.
        activities: The names of the activities that its workflow calls, by queue.
        is_personal: Whether a job belongs to the person who asked; one that no person has asked is for keys of the
            organization.
        ends_at_once: Whether a cancel ends the job at once, and drops what its worker still brings.
        counts_in_events: Whether events that all jobs have carry the job's counts as they then are, for readers that
            draw their bars by each event.
        is_busy: What is said where a job cannot run again because another one that excludes it does.
        on_cancel: Called in the transaction of a cancel, also of a job that has ended.
        on_restart: Called in the transaction that sends a job round again.
        webhook_fields: Members of a webhook's body that the job's own API promises, over those of every job.
        sweep: Deletes what jobs of the kind have left behind and nobody needs any more.
    """

    kind: str
    title: str
    params: type[BaseModel]
    subject: str
    resource_path: str
    statuses: Mapping[JobState, str]
    activities: Mapping[Queue, tuple[str, ...]]
    headline: str | None = None
    shown_params: frozenset[str] = field(default=frozenset())
    is_personal: bool = False
    ends_at_once: bool = False
    counts_in_events: bool = False
    is_busy: str = "another job that excludes it is active; wait for it, or cancel it"
    on_cancel: OnCancel | None = None
    on_restart: OnRestart | None = None
    webhook_fields: WebhookFields | None = None
    sweep: Sweep | None = None

    def path_of(self, job: JobRow) -> str:
        """Return where a job is shown in its own API."""
        return self.resource_path.format(id=job.id, external_id=job.external_id)
