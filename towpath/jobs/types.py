"""The job model that all systems share: states, the view, the events, and what workflows carry."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, field_validator
from pydantic_core import PydanticCustomError, core_schema

from towpath.core.errors import ErrorCode
from towpath.core.values import make_storable
from towpath.core.wire import Wire
from towpath.core.words import Word
from towpath.jobs.registry import is_kind, kinds


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
        """Return whether nothing more happens without a restart."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class _KindOfJob:
    """Makes a text the kind of a job, in any case; the schema lists what is registered when it is asked for."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        # The name keeps it a component of its own in the OpenAPI document.
        return core_schema.no_info_after_validator_function(
            read_kind, core_schema.str_schema(), ref=f"{__name__}.JobKind:{id(self)}"
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        shown = handler(schema)
        handler.resolve_ref_schema(shown).update(
            {
                "type": "string",
                "enum": list(kinds()),
                "title": "JobKind",
                "description": "Which system a job belongs to; also the workflow type that runs it.",
            }
        )
        return shown


def read_kind(word: str) -> str:
    """Return the registered kind that a word names, in whatever case.

    Raises:
        PydanticCustomError: There is none; a `ValueError`.
    """
    kind = word.lower()
    if not is_kind(kind):
        names = [repr(known) for known in kinds()]
        expected = f"{', '.join(names[:-1])} or {names[-1]}"
        raise PydanticCustomError("enum", "Input should be {expected}", {"expected": expected})
    return kind


JobKind = Annotated[str, _KindOfJob()]
"""The kind of a job on the wire."""


class JobInclude(Word):
    """What a list of jobs holds besides the jobs that people and programs have asked for."""

    UPKEEP = "upkeep"


class JobStatus(Word):
    """A job's state in the words of the list of all jobs."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    ERROR = "ERROR"
    PAUSED = "PAUSED"
    PENDING = "PENDING"
    RETRY = "RETRY"


STATUS_OF: dict[JobState, JobStatus] = {
    JobState.PENDING: JobStatus.PENDING,
    JobState.RUNNING: JobStatus.IN_PROGRESS,
    JobState.PAUSED: JobStatus.PAUSED,
    JobState.COMPLETED: JobStatus.COMPLETE,
    JobState.FAILED: JobStatus.ERROR,
    JobState.CANCELLED: JobStatus.CANCELLED,
}


def job_status(state: JobState, *, retrying: bool) -> JobStatus:
    """Return the public status.

    Args:
        state: The job's.
        retrying: Whether a step has failed and waits for its next attempt.
    """
    return JobStatus.RETRY if retrying and state is JobState.RUNNING else STATUS_OF[state]


class ReviewStatus(Word):
    """Where the human review of a job is."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    PENDING = "PENDING"
    CANCELLED = "CANCELLED"


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
        return truncate(message, MAX_WARNING)

    @field_validator("item")
    @classmethod
    def _short_item(cls, item: str | None) -> str | None:
        return None if item is None else truncate(item, MAX_WARNED_ITEM)


def truncate(text: str, max_length: int) -> str:
    """Return a text that can be stored, of at most so many characters; one that is cut ends with an ellipsis."""
    text = make_storable(text)
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"


class Waiting(Wire):
    """Requests of a job that wait in the queue of a provider."""

    provider: str
    reason: str = Field(
        description="`retry_after`: the provider has asked to wait; `rate`: a limit of a minute is used."
    )
    requests: int = Field(description="How many wait in the activity that tells it.")
    until: datetime = Field(description="When the next one may be sent.")
    told_at: datetime


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


AWAITED = "awaited"
"""The parameter of a job that holds how far its batches are."""


class Awaited(Wire):
    """How far the batches of a job's calls are, as the providers of language models count them."""

    submitted: int = Field(description="Calls in batches, of all attempts.")
    answered: int = 0
    failed: int = Field(default=0, description="Calls that ended otherwise; they are asked live.")
    open: int = Field(default=0, description="Batches that have not ended.")


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
    waiting: Waiting | None = Field(
        default=None, description="What requests of the job wait for in the queue of a provider; none: nothing."
    )
    warnings: list[JobWarning] = Field(
        default=[], description="What was done worse than it was asked for; the first hundred, then how many more."
    )
    cost: Cost = Cost()
    awaited: Awaited | None = Field(default=None, description="Calls that go through batches; none: all are live.")
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
    WAITING = "job.waiting"
    EXECUTION_SELECTED = "job.execution_selected"
    ANSWERS_AWAITED = "job.answers_awaited"
    RESTARTED = "job.restarted"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"


STOPPED = "stopped by the caller"
DELIVER = "deliver"
"""The phase in which an answer is stored and its deliveries are queued: too late for a cancel."""
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
    kind: str
    job_id: UUID
    attempt: int = 1

    @property
    def workflow_id(self) -> str:
        """`{organization}/{kind}/{job id}.{attempt}`."""
        return f"{self.organization}/{self.kind}/{self.job_id}.{self.attempt}"

    def next_attempt(self) -> JobRef:
        """Return the same job, run again."""
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


class CollectingRef(JobRef):
    """A run of a job, and whether its calls of language models wait for batches."""

    collects: bool = False


class PageTask(BaseModel):
    """One chunk: a staged page of a job."""

    ref: JobRef
    page: int
    pages: int = Field(description="How many pages this run goes through, for the fraction done.")
    collects: bool = Field(default=False, description="Whether its calls of language models wait for batches.")


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
    """A signal of an activity to its workflow: it has failed and is tried again, or has succeeded after that."""

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


class Tended(BaseModel):
    """What a look after indexes has led to: deliveries and jobs that are accepted, to be started."""

    deliveries: list[DeliveryRef] = []
    starts: list[JobStart] = []


class Started(BaseModel):
    """What `begin_job` answers: how the stored row wants this run to begin."""

    cancelled: bool = False
    paused: bool = False
    window: int
