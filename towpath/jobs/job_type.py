"""The descriptor of a kind of job: everything that serves all jobs asks it, and branches by no kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from towpath.accounts.types import Principal
from towpath.core.queues import Queue
from towpath.db.engine import Connection, Database
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState

OnCancel = Callable[[Principal, Connection, JobRow], Awaitable[None]]
OnRestart = Callable[[Connection, JobRow], Awaitable[None]]
WebhookFields = Callable[[Connection, JobRow], Awaitable[dict[str, Any]]]
LoadResult = Callable[[Database, JobRow], Awaitable[dict[str, Any]]]
Sweep = Callable[[Connection, int, int], Awaitable[int]]
"""Delete what is older than so many days, so many rows at most, and return how many rows went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventVocabulary:
    """The words of a kind's own API for the events of its jobs, in the stream `/api/llm/stream/{id}`.

    Attributes:
        hidden: Events that are left out.
        prefix: What the name of an event loses.
        members: By event: other names of members of its data.
        has_summary: Whether a message that sums up the whole comes before those of the end.
    """

    hidden: frozenset[str] = frozenset()
    prefix: str = ""
    members: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    has_summary: bool = False

    def name_of(self, event: str) -> str:
        """Return the name of an event."""
        return event.removeprefix(self.prefix)

    def data_of(self, event: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data of an event, its members renamed."""
        names = self.members.get(event, {})
        return {names.get(name, name): value for name, value in data.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobType:
    """One kind of job, as its feature describes it.

    What needs templates or FastAPI stands in `towpath.api.console.panels`, for nothing here may know either.

    Attributes:
        kind: The stored word; also the name of the workflow that runs it, and a part of the workflow's id.
        title: The kind in a heading.
        params: The model of the stored parameters.
        subject: The parameter that says what a job works on, for people who look at lists; `document.file_name` is a
            member of a parameter.
        headline: A parameter that says it better to those who may read the job, such as the question itself.
        shown_params: Parameters that name something the organization keeps, or count: they may be shown to operators
            in the Temporal UI. Any other may hold what a user has typed.
        resource_path: The job in its own API; `{id}` and `{external_id}` are filled in.
        statuses: The status in its own API for each state.
        events: The names of events in the stream of its own API.
        activities: The names of the activities that its workflow calls, by queue; no other is served.
        is_personal: Whether a job belongs to the person who asked; one that no person has asked is for keys of the
            organization. It is what `towpath.jobs.policy.may` decides by.
        is_upkeep: Whether the system starts such jobs for itself: lists show them to who asks for them, no webhook
            tells of them, and they do not count as jobs that an organization has in flight.
        cancels_immediately: Whether a cancel ends the job at once, and drops what its worker still brings.
        has_counts_in_events: Whether events that all jobs have carry the job's counts as they then are, for readers
            that draw their bars by each event.
        conflict: Why a job cannot run again, where another one that excludes it is active.
        on_cancel: Called in the transaction of a cancel, also of a job that has ended.
        on_restart: Called in the transaction that sets a job back for its next attempt.
        webhook_fields: Members of a webhook's body that the job's own API promises, over those of every job.
        load_result: Loads what a job has brought, where that is more than the small result in its row.
        sweep: Deletes what jobs of the kind have left behind after their retention.
    """

    kind: str
    title: str
    params: type[BaseModel]
    subject: str
    resource_path: str
    statuses: Mapping[JobState, str]
    activities: Mapping[Queue, tuple[str, ...]]
    events: EventVocabulary = EventVocabulary()
    headline: str | None = None
    shown_params: frozenset[str] = field(default=frozenset())
    is_personal: bool = False
    is_upkeep: bool = False
    cancels_immediately: bool = False
    has_counts_in_events: bool = False
    conflict: str = "another job that excludes it is active; wait for it, or cancel it"
    on_cancel: OnCancel | None = None
    on_restart: OnRestart | None = None
    webhook_fields: WebhookFields | None = None
    load_result: LoadResult | None = None
    sweep: Sweep | None = None

    def path_of(self, job: JobRow) -> str:
        """Return where a job is shown in its own API."""
        return self.resource_path.format(id=job.id, external_id=job.external_id)

    def status_of(self, job: JobRow) -> str:
        """Return the status of a job in its own API."""
        return self.statuses[job.state]
