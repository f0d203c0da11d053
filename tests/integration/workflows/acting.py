"""A job whose activities the test plays: they record what they are called with and wait where the test says.

The workflows, the worker and the server are real. What is asserted is what stands in the history: its order tells
how many chunks were in flight, whatever the machine's pace.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from temporalio import activity
from temporalio.api.enums.v1 import EventType as Kind
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from tests.support.waiting import eventually
from towpath.core.queues import Queue
from towpath.extraction.types import ExtractionOutcome, PageShare, ReadPlan
from towpath.jobs.types import (
    DeliveryRef,
    Finish,
    Hold,
    JobInput,
    JobOutcome,
    JobRef,
    JobStart,
    JobState,
    PagePlan,
    PageTask,
    PhaseChange,
    Progress,
    Started,
)
from towpath.vectors.types import VECTOR_DELETION
from towpath.webhooks.types import AttemptOutcome, DeliveryState, FirstAttemptsInput

BEAT = 0.05
CHUNKS = {"delete_page", "read_share"}
ENDS = {
    Kind.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: "activity_task_completed_event_attributes",
    Kind.EVENT_TYPE_ACTIVITY_TASK_FAILED: "activity_task_failed_event_attributes",
    Kind.EVENT_TYPE_ACTIVITY_TASK_CANCELED: "activity_task_canceled_event_attributes",
    Kind.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: "activity_task_timed_out_event_attributes",
}
TASK_ENDS = {
    Kind.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    Kind.EVENT_TYPE_WORKFLOW_TASK_FAILED,
    Kind.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of an activity.

    Attributes:
        label: Its name; of a chunk `page` and the page.
        job_attempt: Of which run of the job.
        given: Its input.
    """

    label: str
    job_attempt: int
    given: Any


@dataclass(frozen=True, slots=True)
class Chunks:
    """What a history says of the chunks.

    Attributes:
        scheduled: Their pages, in the order in which the workflow asked for them.
        ended: Those that have ended, however they did.
        peak: How many were in flight at once, at the most.
    """

    scheduled: list[int]
    ended: list[int]
    peak: int

    @property
    def in_flight(self) -> set[int]:
        """Those that were asked for and have not ended."""
        return set(self.scheduled) - set(self.ended)


@dataclass(eq=False)
class Job:
    """A job, and what its activities do.

    Attributes:
        kind: The workflow.
        chunks: How many the plan has.
        begin: What `begin_job` answers.
        closed: Labels, or `page` for all chunks, at which an activity waits until it is let through.
        faults: What the attempts of a label raise, one each.
        review: What the extracting activity answers.
        held: What `hold_job` answers; false: the job was let go on already.
        shares: Of pages, in an extraction's plan; none: one a chunk.
        verdict: What `finish_job` answers instead of the state that it is asked for.
        following: The next attempt, which `finish_job` gives to the first.
        deliveries: Notices, which `finish_job` gives.
        deaf: Temporal is not asked for the cancel that the workflow wants.
    """

    environment: WorkflowEnvironment
    client: Client
    kind: str = VECTOR_DELETION
    organization: str = "acme"
    chunks: int = 3
    begin: Started = field(default_factory=lambda: Started(window=2))
    closed: set[str] = field(default_factory=set)
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    review: ExtractionOutcome = field(default_factory=ExtractionOutcome)
    held: bool = True
    shares: list[list[int]] = field(default_factory=list)
    verdict: JobOutcome | None = None
    following: JobStart | None = None
    deliveries: list[DeliveryRef] = field(default_factory=list)
    deaf: bool = False
    identity: UUID = field(default_factory=uuid4)
    calls: list[Call] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)

    @property
    def ref(self) -> JobRef:
        """The first attempt."""
        return JobRef(organization=self.organization, kind=self.kind, job_id=self.identity)

    @property
    def input(self) -> JobInput:
        """The input of the first attempt."""
        return JobInput(ref=self.ref)

    @property
    def handle(self) -> WorkflowHandle[Any, JobOutcome]:
        """The latest run of the first attempt."""
        return self.handle_of(self.ref)

    def handle_of(self, ref: JobRef) -> WorkflowHandle[Any, JobOutcome]:
        """The latest run of an attempt."""
        return self.client.get_workflow_handle(ref.workflow_id, result_type=JobOutcome)

    async def start(self, *, deadline: datetime | None = None, window: int | None = None, **options: Any) -> None:
        """Start the first attempt.

        Args:
            deadline: The job's.
            window: What the job asks for.
            options: Of Temporal.
        """
        given = self.input.model_copy(update={"deadline": deadline, "window": window})
        await self.client.start_workflow(self.kind, given, id=self.ref.workflow_id, task_queue=Queue.ENGINE, **options)

    def let(self, *labels: str) -> None:
        """Let activities through that wait, now or later; without labels all."""
        if labels:
            self._opened.update(labels)
        else:
            self.closed.clear()
        for event in self._events:
            event.set()

    async def strike(self) -> None:
        """Leave nothing behind: the server's clock would wait for an activity."""
        self.let()
        with suppress(RPCError):
            await self.handle.terminate()
        await eventually(lambda: not self._events, "rest of the activities")

    async def end(self, *pages: int) -> Chunks:
        """Let the chunks of some pages end, and wait until the workflow has done all that follows."""
        self.let(*(f"page {page}" for page in pages))
        return await self.settled(lambda chunks: set(pages) <= set(chunks.ended), f"end of pages {pages}")

    async def settled(self, holds: Any = lambda _: True, what: str = "rest") -> Chunks:
        """Wait until something holds of the chunks and the workflow has nothing left to do."""

        async def look() -> Chunks | None:
            events = await self.history()
            begun = sum(event.event_type == Kind.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED for event in events)
            idle = begun == sum(event.event_type in TASK_ENDS for event in events)
            chunks = chunks_of(events)
            return chunks if idle and holds(chunks) else None

        found = await eventually(look, what)
        assert found is not None
        return found

    async def called(self, label: str, times: int = 1) -> None:
        """Wait until an activity was called so often."""
        await eventually(lambda: self.labels.count(label) >= times, f"call of {label}")

    async def stopped(self, *labels: str) -> None:
        """Wait until activities have got their cancel."""
        await eventually(lambda: set(labels) <= set(self.cancelled), f"cancel of {labels}")

    async def until_runs(self, number: int) -> None:
        """Wait until the workflow has continued as new."""

        async def look() -> bool:
            return len(await self.runs()) >= number

        await eventually(look, f"run {number}")

    async def history(self, run: str | None = None) -> list[HistoryEvent]:
        """The events of a run; None: of the latest."""
        handle = self.client.get_workflow_handle(self.ref.workflow_id, run_id=run)
        return [event async for event in handle.fetch_history_events()]

    async def runs(self) -> list[list[HistoryEvent]]:
        """The events of all runs, the first one first."""
        runs = [await self.history()]
        while before := runs[0][0].workflow_execution_started_event_attributes.continued_execution_run_id:
            runs.insert(0, await self.history(before))
        return runs

    async def details(self) -> str:
        """What the Temporal UI shows."""
        found = await self.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
        return found.current_details

    async def status(self) -> WorkflowExecutionStatus | None:
        """Of the workflow, in Temporal."""
        return (await self.handle.describe()).status

    @property
    def labels(self) -> list[str]:
        """Of all calls, in their order."""
        return [call.label for call in self.calls]

    @property
    def finishes(self) -> list[Finish]:
        """What `finish_job` was called with."""
        return [call.given for call in self.calls if call.label == "finish_job"]

    @property
    def finish(self) -> Finish:
        """How the first attempt ended; it is written twice where Temporal refused the end for what came meanwhile."""
        first, *again = [finish for finish in self.finishes if finish.ref.attempt == 1]
        assert all(one == first for one in again), "the same end each time"
        return first

    def __post_init__(self) -> None:
        self._opened: set[str] = set()
        self._events: set[asyncio.Event] = set()

    def _waits(self, label: str) -> bool:
        closed = label in self.closed or label.partition(" ")[0] in self.closed
        return closed and label not in self._opened

    async def play(self, ref: JobRef, given: Any, page: int | None = None) -> None:
        """Record a call, wait where the test says, raise what it says."""
        info = activity.info()
        label = info.activity_type if page is None else f"page {page}"
        self.calls.append(Call(label, ref.attempt, given))
        event = asyncio.Event()
        self._events.add(event)
        try:
            while self._waits(label):
                if not info.is_local:
                    # The answer carries a cancel.
                    activity.heartbeat()
                event.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), BEAT)
        except asyncio.CancelledError:
            self.cancelled.append(label)
            raise
        finally:
            self._events.discard(event)
        faults = self.faults.get(label, [])
        if info.attempt <= len(faults):
            raise faults[info.attempt - 1]


def chunks_of(events: list[HistoryEvent]) -> Chunks:
    """Read a history."""
    pages: dict[int, int] = {}
    ended: list[int] = []
    peak = 0
    for event in events:
        if event.event_type == Kind.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name in CHUNKS:
                given = json.loads(scheduled.input.payloads[0].data)
                pages[event.event_id] = given["pages"][0] if "page" not in given else given["page"]
                peak = max(peak, len(pages) - len(ended))
        elif event.event_type in ENDS:
            place = getattr(event, ENDS[event.event_type]).scheduled_event_id
            if place in pages:
                ended.append(pages[place])
    return Chunks(list(pages.values()), ended, peak)


class Stage:
    """The activities of all jobs of the tests, under their real names and types."""

    def __init__(self) -> None:
        self.jobs: dict[UUID, Job] = {}

    def serve(self, queue: Queue) -> list[Any]:
        """What a queue's worker serves."""
        projections = [self.begin_job, self.enter_phase, self.hold_job, self.finish_job, self.cancel_workflow]
        computing = [self.plan_task, self.delete_page, self.open_document, self.read_share]
        reviews = [self.show_review, self.settle_review]
        return {
            Queue.ENGINE: projections,
            Queue.COMPUTE: [*computing, *reviews],
            Queue.LLM: [self.extract_fields],
            Queue.IO: [self.try_first],
        }[queue]

    async def _play(self, ref: JobRef, given: Any, page: int | None = None) -> Job:
        job = self.jobs[ref.job_id]
        await job.play(ref, given, page)
        return job

    @activity.defn(name="begin_job")
    async def begin_job(self, ref: JobRef) -> Started:
        return (await self._play(ref, ref)).begin

    @activity.defn(name="enter_phase")
    async def enter_phase(self, change: PhaseChange) -> None:
        await self._play(change.ref, change)

    @activity.defn(name="hold_job")
    async def hold_job(self, hold: Hold) -> bool:
        return (await self._play(hold.ref, hold)).held

    @activity.defn(name="finish_job")
    async def finish_job(self, finish: Finish) -> JobOutcome:
        job = await self._play(finish.ref, finish)
        first = finish.ref.attempt == 1
        if first and job.verdict is not None:
            return job.verdict
        # The row keeps the first end.
        written = next(one for one in job.finishes if one.ref.attempt == finish.ref.attempt)
        return JobOutcome(
            state=JobState(written.state),
            progress=Progress(),
            error=written.error,
            following=job.following if first else None,
            deliveries=job.deliveries if first else [],
        )

    @activity.defn(name="cancel_workflow")
    async def cancel_workflow(self, ref: JobRef) -> None:
        job = await self._play(ref, ref)
        if not job.deaf:
            await job.handle_of(ref).cancel()

    @activity.defn(name="plan_task")
    async def plan_task(self, ref: JobRef) -> PagePlan:
        return PagePlan(pages=list(range((await self._play(ref, ref)).chunks)))

    @activity.defn(name="delete_page")
    async def delete_page(self, task: PageTask) -> None:
        await self._play(task.ref, task, task.page)

    @activity.defn(name="open_document")
    async def open_document(self, ref: JobRef) -> ReadPlan:
        job = await self._play(ref, ref)
        return ReadPlan(shares=job.shares or [[page] for page in range(job.chunks)], total=job.chunks)

    @activity.defn(name="read_share")
    async def read_share(self, share: PageShare) -> None:
        await self._play(share.ref, share, share.pages[0])

    @activity.defn(name="extract_fields")
    async def extract_fields(self, ref: JobRef) -> ExtractionOutcome:
        return (await self._play(ref, ref)).review

    @activity.defn(name="show_review")
    async def show_review(self, ref: JobRef) -> list[DeliveryRef]:
        await self._play(ref, ref)
        return []

    @activity.defn(name="settle_review")
    async def settle_review(self, ref: JobRef) -> None:
        await self._play(ref, ref)

    @activity.defn(name="try_first")
    async def try_first(self, given: FirstAttemptsInput) -> list[AttemptOutcome]:
        for ref in given.refs:
            job = next(job for job in self.jobs.values() if ref in job.deliveries)
            job.calls.append(Call("try_first", 1, ref))
        return [AttemptOutcome(state=DeliveryState.DELIVERED) for _ in given.refs]


def phases(job: Job) -> Iterator[str]:
    """The phases that the row was told, in their order."""
    return (call.given.phase for call in job.calls if call.label == "enter_phase")
