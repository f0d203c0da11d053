"""The job model that all systems share: states, the view, the events, and what workflows carry."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, field_validator

from towpath.core.errors import ErrorCode
from towpath.core.values import storable_text
from towpath.core.wire import Wire
from towpath.core.words import Word


class JobState(Word):
    """Where a job is. The last three are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """Whether nothing more happens without a restart."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class JobKind(Word):
    """Which system a job belongs to; also the workflow type that runs it."""

    ENTITY_BATCH = "entity_batch"
    ENTITY_REINDEX = "entity_reindex"
    VECTOR_UPSERTION = "vector_upsertion"
    VECTOR_DELETION = "vector_deletion"
    SINGLE_ENRICHMENT = "single_enrichment"
    BATCH_ENRICHMENT = "batch_enrichment"
    EXPERTISE_RETRY = "expertise_retry"
    SCHEMA_GENERATION = "schema_generation"
    SCHEMA_EDIT = "schema_edit"
    FUSION_MERGE = "fusion_merge"
    AI_JOB = "ai_job"
    TOPIC_CHOICE = "topic_choice"
    QUERY_GENERATION = "query_generation"
    SCHEMA_READING = "schema_reading"
    EXTRACTION = "extraction"
    CLASSIFICATION = "classification"


QUESTIONS = frozenset({JobKind.AI_JOB, JobKind.TOPIC_CHOICE, JobKind.QUERY_GENERATION})
"""Jobs that belong to the person who asked; one that no person has asked is for keys of the organization."""


class Progress(Wire):
    """Counts of items."""

    total: int = 0
    processed: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0


class JobError(Wire):
    """Why a job failed."""

    code: ErrorCode
    message: str


MAX_WARNING = 1000
MAX_WARNED_ITEM = 300


class JobWarning(Wire):
    """Something that was done worse than it was asked for: in another way, in part, or not at all."""

    code: ErrorCode
    message: str
    item: str | None = Field(default=None, description="The item, field or page that it is about; none: the job.")

    @field_validator("message")
    @classmethod
    def _short(cls, message: str) -> str:
        return bounded(message, MAX_WARNING)

    @field_validator("item")
    @classmethod
    def _short_item(cls, item: str | None) -> str | None:
        return None if item is None else bounded(item, MAX_WARNED_ITEM)


def bounded(text: str, most: int) -> str:
    """A text that can be stored, of at most so many characters; one that is cut ends with an ellipsis."""
    text = storable_text(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


class Retrying(Wire):
    """A step of a job that has failed and is tried again."""

    activity: str = Field(description="The activity, as the Temporal UI names it.")
    attempt: int = Field(description="How many attempts have failed.")
    message: str
    code: ErrorCode
    next_attempt_at: datetime


class Cost(Wire):
    """What a job has spent on models."""

    usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


class JobLinks(Wire):
    """Where to look next. `system` is the path in the job's own API, `temporal` the page in its UI."""

    self_: Annotated[str, Field(alias="self")]
    events: str
    failures: str
    system: str | None = None
    temporal: str | None = None


class JobView(Wire):
    """What `GET /v1/jobs/{id}` answers for a job of any kind."""

    id: UUID
    external_id: str | None = None
    kind: JobKind
    state: JobState
    attempt: int
    phase: str | None = Field(default=None, description="What the job is doing now, for people.")
    progress: Progress
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    deadline: datetime | None = None
    cancelling: bool = False
    error: JobError | None = None
    retrying: Retrying | None = Field(
        default=None, description="The step that has failed most often and is tried again; none: all goes well."
    )
    warnings: list[JobWarning] = Field(
        default=[], description="What was done worse than it was asked for; the first hundred, then how many more."
    )
    cost: Cost = Cost()
    result: dict[str, Any] | None = Field(default=None, description="A small result; large ones have their own route.")
    links: JobLinks


class JobPage(Wire):
    """A page of jobs, newest first; pass `nextCursor` back as `cursor`."""

    jobs: list[JobView]
    next_cursor: str | None = None


class FailedItem(Wire):
    """One item that failed; its neighbours did not."""

    index: int = Field(description="Position in the request, from 0.")
    id: str | None = None
    stage: str
    code: ErrorCode
    message: str
    item: str | None = Field(default=None, exclude=True, description="The item as it was sent, where its API shows it.")


class FailurePage(Wire):
    """A page of failed items, by position."""

    failures: list[FailedItem]
    total: int
    limit: int
    offset: int


class EventType(StrEnum):
    """What a line of a job's event stream tells."""

    CREATED = "job.created"
    STARTED = "job.started"
    PHASE = "job.phase"
    PROGRESS = "job.progress"
    RETRYING = "job.retrying"
    PAUSED = "job.paused"
    CONTINUED = "job.continued"
    CANCELLING = "job.cancelling"
    WARNING = "job.warning"
    PROVIDER_AWAY = "job.provider_away"
    RESTARTED = "job.restarted"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"


STOPPED = "stopped by the caller"
END_EVENTS: dict[JobState, EventType] = {
    JobState.COMPLETED: EventType.COMPLETED,
    JobState.FAILED: EventType.FAILED,
    JobState.CANCELLED: EventType.CANCELLED,
}


class JobEvent(Wire):
    """One event; `seq` rises by one within a job and is the `id:` of the stream."""

    seq: int
    at: datetime
    type: str = Field(description="An `EventType`, or an event of the job's own system.")
    data: dict[str, Any]


class JobRef(BaseModel):
    """Which run of which job: the key of everything an activity writes."""

    organization: str
    kind: JobKind
    job_id: UUID
    attempt: int = 1

    @property
    def workflow_id(self) -> str:
        """`{organization}/{kind}/{job id}.{attempt}`."""
        return f"{self.organization}/{self.kind}/{self.job_id}.{self.attempt}"

    def next_attempt(self) -> JobRef:
        """The same job, run again."""
        return self.model_copy(update={"attempt": self.attempt + 1})


class JobInput(BaseModel):
    """The one input of every job workflow; items stay in the store and are read by reference."""

    ref: JobRef
    deadline: datetime | None = None
    window: int | None = Field(default=None, description="Chunks in flight; None: the worker's default.")
    state: dict[str, Any] | None = Field(default=None, description="The state model, after continue-as-new.")


class JobStart(BaseModel):
    """How a run of a job is started, whoever starts it: the façade, the reconciler, the run before it."""

    input: JobInput
    state: JobState
    summary: str = Field(description="One line for the list of the Temporal UI.")
    details: str = Field(description="Markdown for the workflow's own page there.")


class DeliveryRef(BaseModel):
    """Which delivery, and which run of it: a resend is the next."""

    organization: str
    delivery_id: UUID
    run: int = 1

    @property
    def workflow_id(self) -> str:
        """`{organization}/delivery/{id}.{run}`."""
        return f"{self.organization}/delivery/{self.delivery_id}.{self.run}"


class JobOutcome(BaseModel):
    """How a run ended, as `finish` wrote it."""

    state: JobState
    progress: Progress
    error: JobError | None = None
    following: JobStart | None = Field(
        default=None, description="The next attempt: a restart was asked for while the job was being cancelled."
    )
    deliveries: list[DeliveryRef] = Field(default=[], description="Notices that were queued with the end.")


class Finish(BaseModel):
    """The input of the `finish_job` activity."""

    ref: JobRef
    state: Literal[JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED]
    error: JobError | None = None
    result: dict[str, Any] | None = None


class PhaseChange(BaseModel):
    """The input of the `enter_phase` activity."""

    ref: JobRef
    phase: str


class PagePlan(BaseModel):
    """Which staged pages have work left."""

    pages: list[int]


class PageTask(BaseModel):
    """One chunk: a staged page of a job."""

    ref: JobRef
    page: int
    pages: int = Field(description="How many pages this run goes through, for the fraction done.")


class NewEvent(BaseModel):
    """An event of a job's own system, to be appended; one with a known key is not."""

    type: str
    key: str
    data: dict[str, Any] = {}


class Hold(BaseModel):
    """The input of the activity that shows a job as waiting for a person."""

    ref: JobRef
    event: NewEvent


class RunState(BaseModel):
    """All that a job workflow carries through continue-as-new; a system with more to carry derives from it."""

    phase: str = "plan"
    pages: list[int] = []
    next: int = Field(default=0, description="The first unit of the phase that has not been started.")
    paused: bool = False
    window: int = 0


class RetryNotice(BaseModel):
    """What an activity tells its workflow: it has failed and is tried again, or it has got over it."""

    activity: str
    key: str = Field(description="Tells one activity of a run from another.")
    attempt: int = Field(default=0, description="How many attempts have failed; 0: the last one has not.")
    message: str = ""


class ReconcilePage(BaseModel):
    """What the reconciler has found among some of the open jobs."""

    unstarted: list[JobStart] = []
    problems: list[str] = Field(default=[], description="Jobs that nothing could be done about, with the reason.")
    next: UUID | None = Field(default=None, description="The last job that was looked at; none: there are no more.")


class Reconciled(BaseModel):
    """What one round of the reconciler has done."""

    started: int = 0
    problems: list[str] = []


class Started(BaseModel):
    """What `begin_job` answers: how the stored row wants this run to begin."""

    cancelled: bool = False
    paused: bool = False
    window: int
