"""AI jobs: a question in words over a semantic model; their states, bodies, actions and threads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StrictBool

from towpath.ai.semantic_types import DataType, Query
from towpath.core.bodies import Lenient, Strict
from towpath.core.errors import ErrorCode
from towpath.core.wire import Wire
from towpath.core.words import Word
from towpath.jobs.types import DELIVER, DeliveryRef, JobRef, JobState, RunState
from towpath.webhooks.types import WebhookFields

AI_JOB = "ai_job"
TOPIC_CHOICE = "topic_choice"
QUERY_GENERATION = "query_generation"
SCHEMA_READING = "schema_reading"
"""The kinds of jobs: stored words, and names of workflows."""

MAX_PROMPT = 32_768
MAX_ATTACHMENTS = 5
MAX_CSV_ROWS = 1000
MAX_CSV_BYTES = 1 << 20


class AiState(Word):
    """A job's state in the words of this API."""

    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    DELIVERING = "DELIVERING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


WORDS: dict[JobState, AiState] = {
    JobState.PENDING: AiState.QUEUED,
    JobState.RUNNING: AiState.EXECUTING,
    JobState.PAUSED: AiState.EXECUTING,
    JobState.COMPLETED: AiState.COMPLETE,
    JobState.FAILED: AiState.FAILED,
    JobState.CANCELLED: AiState.CANCELLED,
}


def to_ai_state(state: JobState, phase: str | None) -> AiState:
    """Return the public state of a job.

    Args:
        state: The job's.
        phase: What it does now.
    """
    if phase == DELIVER and not state.final:
        return AiState.DELIVERING
    return WORDS[state]


MODEL_CODES = re.compile(r"^[a-z_]+$")
PUBLIC_CODES = frozenset(
    {
        ErrorCode.QUERY_EXECUTION_ERROR,
        ErrorCode.MODEL_ERROR,
        ErrorCode.TOPIC_NOT_FOUND,
        ErrorCode.DEADLINE_EXCEEDED,
        ErrorCode.INTERNAL,
    }
)


def to_public_code(code: str) -> str:
    """Translate the code of a job's error into the codes of this API."""
    if code in PUBLIC_CODES:
        return code
    # The codes of language models are written in small letters.
    return ErrorCode.MODEL_ERROR if MODEL_CODES.match(code) else ErrorCode.INTERNAL


class ChartType(StrEnum):
    """How rows are drawn; a table is not drawn."""

    BAR = "bar"
    LINE = "line"
    AREA = "area"
    SCATTER = "scatter"
    PIE = "pie"
    NUMBER = "number"
    TABLE = "table"


class Attachment(Wire, Lenient):
    """A file that goes with the prompt."""

    data: Annotated[str, Field(min_length=1, description="Base64, up to 10 MiB.")]
    mime_type: Annotated[str, Field(min_length=1, max_length=200)]
    name: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="None: a name is made of the place and the type."
    )


class AiJobBody(Wire, WebhookFields, Lenient):
    """The body of `POST /v1/ai/jobs`; webhooks as with every start."""

    model_id: UUID
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]
    conversation_id: UUID | None = None
    branch_id: UUID | None = None
    topic_name: Annotated[str, Field(max_length=256)] | None = None
    progress_webhook_enabled: StrictBool = False
    attachments: list[Attachment] = Field(default=[], max_length=MAX_ATTACHMENTS)
    llm: Annotated[str, Field(max_length=300)] | None = Field(
        default=None, description="A model key `provider::model`; none: the server chooses."
    )


class AiParams(BaseModel):
    """What a job was asked: its parameters in the store."""

    prompt: str
    llm: str
    model_id: UUID
    branch_id: UUID | None = None
    topic_name: str | None = Field(default=None, description="As asked; none: the model chooses.")
    topics: list[str] | None = Field(default=None, description="Which topics it may choose from.")
    conversation_id: UUID | None = None
    progress_webhook: bool = False
    attachment_ids: list[UUID] = []
    run: bool = Field(default=True, description="Whether the query of a single question is run.")


class ActionType(StrEnum):
    """What an iteration did."""

    PICK_TOPIC = "pick_topic"
    GENERATE_QUERY = "generate_query"
    VISUALIZE = "visualize"
    SUMMARIZE = "summarize"


class ResultColumn(BaseModel):
    """A column of a query's result."""

    name: str
    label: str
    type: DataType
    measure: bool


class StoredAction(BaseModel):
    """One finished iteration, as it is kept: nothing of it is asked or paid again."""

    number: int = Field(description="From 1 within the job, over all attempts.")
    attempt: int = 1
    step: int = Field(default=1, description="From 1 within the attempt.")
    type: ActionType
    message: str
    at: datetime
    topic: str | None = None
    title: str | None = Field(default=None, description="The query's name, for people.")
    query: Query | None = None
    columns: list[ResultColumn] = []
    csv: str | None = Field(default=None, description="With a head of labels; cut.")
    truncated: bool = Field(default=False, description="The CSV has fewer rows than `rows`.")
    rows: int = Field(default=0, description="All rows of the result, also those behind the query's limit.")
    brought: int | None = Field(default=None, description="How many of them the query's limit let through; None: all.")
    exact: bool = Field(default=True, description="Unset: there are more than `rows`; they were not all counted.")
    notes: list[str] = Field(default=[], description="Sentences: what was done otherwise than one may think.")
    error: str | None = None
    chart: ChartType | None = None
    usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    model_seconds: float = 0.0
    database_seconds: float = 0.0

    @property
    def limited(self) -> bool:
        """Return whether the query's limit has cut off rows."""
        return not self.exact or (self.brought is not None and self.brought < self.rows)

    @property
    def drawable(self) -> bool:
        """Return whether it brought rows that a chart may be made of."""
        return self.type is ActionType.GENERATE_QUERY and self.error is None and self.rows > 0


class Step(BaseModel):
    """What one iteration led to, for the workflow."""

    number: int
    type: ActionType
    message: str
    done: bool
    deliveries: list[DeliveryRef] = Field(default=[], description="Notices of the progress that were queued.")


class IterationTask(BaseModel):
    """The input of one iteration."""

    ref: JobRef
    step: int = Field(description="From 1 within the attempt.")
    last: bool = Field(default=False, description="It must answer: the job's iterations are used up.")


class AiRunState(RunState):
    """What an AI job carries through continue-as-new."""

    iterations: int = 0


class AiProgress(Wire):
    """What an executing job has done last."""

    iteration: int
    message: str
    updated_at: datetime


class QuestionBody(Wire, Lenient):
    """What pick-topic and generate-query share."""

    model_id: UUID
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)]
    branch_id: UUID | None = None
    current_topic_name: Annotated[str, Field(max_length=256)] | None = None
    user_id: UUID | None = None
    llm: Annotated[str, Field(max_length=300)] | None = None


class PickTopicBody(QuestionBody):
    """The body of `POST /v1/ai/pick-topic`."""

    potential_topic_names: Annotated[list[Annotated[str, Field(max_length=256)]], Field(min_length=1)] | None = None


class GenerateQueryBody(QuestionBody):
    """The body of `POST /v1/ai/generate-query`."""

    run_query: StrictBool = True
    query_all_views: StrictBool = False
    workbook_url: StrictBool = False
    topic_name: Annotated[str, Field(max_length=256)] | None = None


class ConversationBase(BaseModel):
    """What a thread is about. `user_id` None: it belongs to the organization."""

    id: UUID
    organization: str
    user_id: UUID | None
    model_id: UUID
    branch_id: UUID | None = None
    name: str | None
    last_prompt: str


class Conversation(ConversationBase):
    """A thread, as it is stored."""

    created_at: datetime
    updated_at: datetime


class Turn(BaseModel):
    """One question of a thread with all that came of it."""

    job_id: UUID
    conversation_id: UUID | None = None
    prompt: str
    state: AiState
    paused: bool = False
    topic: str | None
    actions: list[StoredAction]
    answer: str | None = Field(description="Markdown; None until COMPLETE.")
    error: str | None = None
    usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    last_event: int = Field(default=0, description="The job's newest event: where a stream goes on.")
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Return whether it goes on by itself."""
        return self.state in {AiState.QUEUED, AiState.EXECUTING, AiState.DELIVERING}


class Thread(BaseModel):
    """A conversation with its turns, oldest first."""

    conversation: Conversation
    model_name: str
    turns: list[Turn]
    earlier: int = Field(default=0, description="How many turns before these are left out.")


class ModelKind(Word):
    """What a semantic model is to the others.

    A schema model is read from a database; a shared one is what questions are asked of; a branch and an extension are
    laid over the model that they name as their base.
    """

    SCHEMA = "SCHEMA"
    SHARED = "SHARED"
    SHARED_EXTENSION = "SHARED_EXTENSION"
    BRANCH = "BRANCH"
    WORKBOOK = "WORKBOOK"
    QUERY = "QUERY"


class ModelBody(Wire, Lenient):
    """The body of `POST /v1/models`."""

    connection_id: UUID
    model_kind: Literal[ModelKind.SCHEMA, ModelKind.SHARED, ModelKind.SHARED_EXTENSION, ModelKind.BRANCH] = (
        ModelKind.SCHEMA
    )
    model_name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    base_model_id: UUID | None = None
    content: str | dict[str, Any] | None = Field(default=None, description="YAML text, or the object itself.")


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """Which models are listed, and in which order.

    Attributes:
        columns: The values that columns must have.
        sort: The field of the API that they are sorted by.
    """

    columns: Mapping[str, object]
    include_deleted: bool = False
    sort: str = "name"
    descending: bool = False


class ModelContentBody(Wire, Strict):
    """The body of `PUT /v1/models/{modelId}/content`."""

    content: str | dict[str, Any]


class ConnectionBody(Wire, Strict):
    """A database to ask questions of; `path` for duckdb, `url` for postgres."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Annotated[str, Field(max_length=20, examples=["duckdb", "postgres"])]
    path: Annotated[str, Field(max_length=1000)] | None = None
    url: Annotated[str, Field(max_length=2000)] | None = Field(default=None, repr=False)


class ConnectionView(Wire):
    """A connection without its credentials."""

    id: UUID
    name: str
    kind: str
    path: str | None = None
    host: str | None = None
    database: str | None = None
    created_at: datetime
    updated_at: datetime


class SchemaReadingParams(BaseModel):
    """Which database is read into which model: the parameters of a schema reading in the store."""

    connection_id: UUID
    model_id: UUID
    name: str = Field(default="", description="Of a new model; empty: that of its connection.")
    refresh: bool = Field(default=False, description="The model is there, and is brought up to date.")
