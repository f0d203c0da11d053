"""Upsertion and deletion tasks over vector collections, and the search in them: the wire and the workflow types.

A task is a job of kind `vector_upsertion` or `vector_deletion`; its `task_id` is the job's external id.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, StrictBool

from towpath.core.bodies import Strict
from towpath.core.errors import ErrorCode
from towpath.core.values import NUMBER
from towpath.core.words import Word
from towpath.jobs.types import JobState, JobWarning
from towpath.llm.limiter.types import Budget
from towpath.webhooks.types import WebhookFields

VECTOR_UPSERTION = "vector_upsertion"
VECTOR_DELETION = "vector_deletion"
"""The kinds of jobs: stored words, and names of workflows."""

Time = Annotated[
    AwareDatetime,
    PlainSerializer(lambda moment: moment.isoformat().replace("+00:00", "Z"), return_type=str, when_used="json"),
]
ObjectId = Annotated[str, Field(min_length=1, max_length=512)]
LOCAL_MODEL = "local::all-minilm-l6-v2"
TASK_ID_FORM = r"^[A-Za-z0-9._:-]{1,128}$"


class Collection(Word):
    """The two collections of a tenant."""

    DEFAULT = "default"
    CATEGORIES = "categories"


class Phase(StrEnum):
    """What a task does now."""

    PLAN = "plan"
    EMBED = "embed"
    DELETE = "delete"


class TaskStatus(Word):
    """Where a task is; `canceled` with one l."""

    PENDING = "pending"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELED = "canceled"


STATUS_OF: dict[JobState, TaskStatus] = {
    JobState.PENDING: TaskStatus.PENDING,
    JobState.RUNNING: TaskStatus.PROCESSING,
    JobState.PAUSED: TaskStatus.PROCESSING,
    JobState.COMPLETED: TaskStatus.DONE,
    JobState.FAILED: TaskStatus.FAILED,
    JobState.CANCELLED: TaskStatus.CANCELED,
}


def task_status(state: JobState, *, cancelling: bool, error: str | None) -> TaskStatus:
    """Return the word of this API for a job's state.

    Args:
        state: The job's state.
        cancelling: A cancel was accepted: from then on nothing more is stored, so the task is `canceled`.
        error: The job's error code.
    """
    if cancelling and not state.final:
        return TaskStatus.CANCELED
    if state is JobState.FAILED and error == ErrorCode.REFUSED:
        return TaskStatus.REFUSED
    return STATUS_OF[state]


class FailureStage(StrEnum):
    """Where an item failed."""

    DOWNLOADING = "on_downloading"
    INFERENCE = "on_inference"
    SPLITTING = "on_splitting"
    UPSERT = "on_upsert"
    OTHER = "other"


class Scope(Word):
    """What a restart takes up again."""

    REMAINING = "remaining"
    ALL = "all"


class EmbeddingConfig(BaseModel):
    """Which embedding model, where, and how texts are cut for it."""

    model_config = ConfigDict(frozen=True)

    model: str = Field(default=LOCAL_MODEL, description="The local one, or `openai::<model>` for any such endpoint.")
    url: str | None = Field(default=None, description="Base URL up to `/v1`; None: the provider's own.")
    key: str | None = Field(default=None, repr=False)
    part_tokens: int | None = Field(default=None, description="Most tokens in a part; None: what the model takes.")
    overlap: int = Field(default=32, description="Tokens that a part shares with the one before.")
    batch: int | None = Field(default=None, description="Texts in one call; None: what suits the model.")
    threads: int = Field(default=1, description="Threads of the local model.")
    provider: str = Field(default="embeddings", description="Whose limits its requests share.")
    budget: Budget = Field(default=Budget(calls=32), description="What the provider takes, of all workers together.")


class DataItem(Strict):
    """One object to store."""

    object_id: ObjectId = Field(description="Identity; an existing object is replaced.")
    payload: dict[str, Any] | None = Field(default=None, description="Content and metadata.")
    item_info: dict[str, Any] | None = Field(default=None, description="Internal data such as a file or source.")


class TaskBody(WebhookFields, Strict):
    """What both kinds of task take beside their items. The body is read as a stream: this only tells its names."""

    task_id: str | None = Field(default=None, pattern=TASK_ID_FORM, description="Makes a repeat safe.")
    id: str | None = Field(default=None, pattern=TASK_ID_FORM, description="The same as `task_id`.")


class UpsertionBody(TaskBody):
    """The body of `run`."""

    items: list[DataItem]

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "task_id": "nightly-0042",
                "items": [{"object_id": "paper-17", "payload": {"text": "Graph attention for routing", "year": 2025}}],
            }
        }
    )


class DeletionBody(TaskBody):
    """The body of a deletion's `run`."""

    object_ids: list[ObjectId]

    model_config = ConfigDict(json_schema_extra={"example": {"task_id": "purge-7", "object_ids": ["paper-9"]}})


class FailedDataItem(BaseModel):
    """An item that failed, as it was sent; its neighbours did not."""

    object_id: str
    payload: dict[str, Any] | None = None
    item_info: dict[str, Any] | None = None
    detail: str
    failure_stage: FailureStage


class FailedId(BaseModel):
    """An object that could not be deleted."""

    object_id: str
    detail: str


class TaskProgress(BaseModel):
    """Counts of items."""

    total: int
    processed: int
    succeeded: int
    failed: int
    missing: int | None = Field(default=None, description="Deletions only: objects that were not stored.")


class Task(BaseModel):
    """What both kinds of task answer."""

    id: str
    task_id: str
    status: TaskStatus
    created_at: Time
    updated_at: Time
    detail: str | None = Field(default=None, max_length=1500, description="Why it failed or was refused.")
    collection: Collection
    progress: TaskProgress
    attempt: int
    warnings: list[JobWarning] | None = Field(default=None, description="What was done worse than it was asked for.")


class UpsertionTask(Task):
    """An upsertion task."""

    failed_items: list[FailedDataItem] = []


class DeletionTask(Task):
    """A deletion task."""

    failed_item_ids: list[FailedId] = []


class SortOrder(Word):
    """Which way to sort."""

    ASC = "asc"
    DESC = "desc"


class SortBy(Strict):
    """Order of results; objects without the field come last."""

    field: Annotated[str, Field(min_length=1, max_length=512)]
    order: SortOrder = SortOrder.ASC
    force_not_payload: StrictBool = Field(default=False, description="`field` is object_id, created_at or updated_at.")


class CountBody(Strict):
    """The body of a count."""

    search_query: Any = None
    filter: dict[str, Any] | None = Field(
        default=None,
        description='`{"query": Q}` with match, term, terms, match_phrase, wildcard, any, all, field, range or'
        ' must/should/filter/must_not; or a plain map such as `{"year": {"$gte": 2020}}`.',
    )
    user_id: str | None = None
    meta_info: Any = None


class SearchBody(CountBody):
    """The body of a search."""

    limit: Annotated[int, Field(ge=1, le=1000), NUMBER]
    offset: Annotated[int, Field(ge=0, le=1_000_000), NUMBER] = 0
    max_distance: Annotated[float, Field(ge=0), NUMBER] | None = None
    sort_by: SortBy | None = None
    similarity_first: StrictBool = False
    create_session: StrictBool = False
    session_id: str | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "search_query": "routing with graphs",
                "limit": 2,
                "filter": {"query": {"field": "year", "range": {"gte": 2024}}},
            }
        }
    )


class SearchResult(BaseModel):
    """One object; `distance` is the cosine distance of its nearest part, 0 to 2, or 1.0 without a query."""

    object_id: str
    distance: float
    payload: dict[str, Any] | None = None
    meta: dict[str, Any] | None = Field(default=None, description="The object's item_info.")


class SearchAnswer(BaseModel):
    """A page of results."""

    search_results: list[SearchResult]
    next_page_offset: int | None = None
    total_count: int | None = None
    session_id: str | None = None
    meta_info: Any = None


class CountAnswer(BaseModel):
    """How many objects match."""

    total_count: int


class CollectionRef(BaseModel):
    """A stored collection: one for each tenant, kind and embedding model."""

    model_config = ConfigDict(frozen=True)

    collection_no: int
    organization: str
    name: Collection
    model: str
