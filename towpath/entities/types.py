"""Entities: indexes, entities, candidates, pairs and groups, as the wire and the workflows know them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StrictBool, model_validator

from towpath.core.bodies import Strict
from towpath.core.errors import ErrorCode
from towpath.core.values import NUMBER
from towpath.core.wire import Wire
from towpath.core.words import Word
from towpath.jobs.types import JobError, JobRef, JobState, JobWarning, RunState

ENTITY_BATCH = "entity_batch"
ENTITY_REINDEX = "entity_reindex"
ENTITY_JUDGE = "entity_judge"
ENTITY_SETTLE = "entity_settle"
"""The kinds of jobs: stored words, and names of workflows."""

DEFAULT_INDEX = "default"
"""The index of requests that name none; it is created on first use."""

IfExists = Literal["update", "error"]
INDEX_NAME_FORM = r"^[A-Za-z0-9_.\-]{1,128}$"


class FieldType(Word):
    """How a field's values are normalised and compared."""

    TEXT = "text"
    STRING = "string"
    NUMBER = "number"
    DATE = "date"


class IndexField(Strict):
    """One field an index matches on.

    ``name`` is a dotted path into the entity; ``weight`` multiplies the evidence of the field.
    """

    name: Annotated[str, Field(min_length=1, max_length=256)]
    type: FieldType
    required: StrictBool = False
    weight: Annotated[float, Field(ge=0.0, le=100.0), NUMBER] = 1.0
    identity: StrictBool | None = Field(
        default=None,
        description="Whether two plainly different values mean two different things, however much else the two share, "
        "as given names, birth dates and titles do; null: by the field's name.",
    )


def _path_part(name: str) -> str:
    # Every client folds these two into the path before it sends it.
    if name in {".", ".."}:
        raise ValueError("must not be . or ..")
    return name


def _id_of_entity(value: Any) -> Any:
    # A union of its own accord would take `true` for 1, and name its members in an error.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be text or a whole number")
    return value


EntityRef = Annotated[int | str, BeforeValidator(_id_of_entity)]
"""An id of an entity as a client writes it."""
IndexName = Annotated[str, Field(pattern=INDEX_NAME_FORM)]


class IndexConfig(Wire, Strict):
    """What a user says of an index: the body of ``POST /v1/indexes``."""

    index_name: IndexName
    fields: Annotated[list[IndexField], Field(min_length=1, max_length=100)]
    duplicate_threshold: Annotated[float, Field(ge=0.0, le=1.0), NUMBER] = 0.85
    candidate_threshold: Annotated[float, Field(ge=0.0, le=1.0), NUMBER] = 0.70
    source_field: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    clean_sources: StrictBool = False
    infer_sources: StrictBool = Field(
        default=True, description="Whether sources that prove to be free of duplicates are treated as declared ones."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [field.name for field in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"field named twice: {', '.join(twice)}")
        if self.clean_sources and self.source_field is None:
            raise ValueError("cleanSources needs a sourceField")
        return self


class IndexBody(IndexConfig):
    """The body of `POST /v1/indexes`."""

    index_name: Annotated[IndexName, AfterValidator(_path_part)]
    if_exists: Annotated[IfExists, Field(description="`error`: 409 when the name is taken; `update`: change it.")] = (
        "update"
    )

    def config(self) -> IndexConfig:
        """Return the configuration alone."""
        return IndexConfig.model_validate(self.model_dump(exclude={"if_exists"}))


class SplitBy(StrEnum):
    """What tells the sources apart; stored and shown words."""

    SOURCE = "source"
    """A field that names the source, or a word in the ids."""
    BATCH = "batch"
    """The batch that brought them."""
    ID_FORM = "idForm"
    """Whether their ids are of digits, letters or both, and whether they have other signs."""
    ID_ORDER = "idOrder"
    """Whether the number that is their id is below a bound."""
    STYLE = "style"
    """How they are written: which fields are filled, and how long they are."""


class InferredView(Wire):
    """The structure that training has found, where none is declared."""

    clean_sources: list[str] = Field(description="Sources that hold no duplicates within themselves.")
    confidence: float
    by: SplitBy = Field(
        default=SplitBy.SOURCE,
        description="What tells the sources apart: `source`, a field or a word in the ids names them; `batch`, each "
        "came in a batch of its own; `idForm`, their ids are of digits, of letters or of both; `idOrder`, their ids "
        "are numbers below and above a bound; `style`, they are written in two ways.",
    )


class IndexView(IndexConfig):
    """An index, as `GET /v1/indexes/{indexName}` shows it."""

    entity_count: int
    model_version: int = Field(description="0: no batch has trained the index yet.")
    created_at: datetime
    updated_at: datetime
    inferred: InferredView | None = Field(
        default=None, description="Used as if it were declared; `inferSources: false` overrules it."
    )
    reindex_job_id: UUID | None = Field(default=None, description="The job that rebuilds the index now.")


class IndexList(Wire):
    """A page of indexes by name."""

    indexes: list[IndexView]
    limit: int
    offset: int
    total: int


class Basis(StrEnum):
    """What the similarity of a stored pair has beyond the evidence of its fields; stored words."""

    GROUP = "group"
    """The prior of the group that both are in."""
    SAME = "same"
    """A label that both are the same."""
    ADDED = "added"
    """The same, and the pair is stored for the sake of the label alone: it was no candidate."""
    RIVAL = "rival"
    """A better pair of one of the two, that leaves this one little room."""
    DIFFERENT = "different"
    """A label that they are not the same."""
    JUDGED_SAME = "judged_same"
    """A judgement of a model that both are the same, or what follows from such judgements."""
    JUDGED_DIFFERENT = "judged_different"
    """A judgement that they are not."""


LABEL_PART = "#label"
"""What an explanation calls the part that a label has."""
JUDGE_PART = "#judge"
"""What it calls the part that the judgement of a model has."""


class Contribution(Wire):
    """What one field says, in bits (log2 of odds)."""

    field: str
    contribution: float


class Explanation(Wire):
    """Why a score is what it is: prior and contributions add up to the log-odds of `similarity`, in bits.

    The prior of a pair that its group has turned has the group's in it; a label is a contribution named `#label`, and a
    model's judgement one named `#judge`.
    """

    prior: float
    matched: list[Contribution]
    conflicting: list[Contribution]


class Candidate(Wire):
    """An entity that may be the same as another one."""

    id: int | str
    similarity: float
    duplicate: bool = Field(description="The verdict, apart from the score.")
    sku: str | None = None
    judged_by: str | None = Field(default=None, description="The model whose judgement the verdict follows.")
    judge_reason: str | None = Field(default=None, description="Why it judges so.")
    explanation: Explanation | None = None


class EntityDuplicates(Wire):
    """The candidates of one entity."""

    entity_id: int | str
    duplicates: list[Candidate]
    total_duplicates: int


class PairView(Wire):
    """Two entities that may be the same; each unordered pair comes once."""

    entity_id: str
    duplicate_id: str
    similarity: float
    duplicate: bool
    judged_by: str | None = Field(default=None, description="The model whose judgement the verdict follows.")
    judge_reason: str | None = Field(default=None, description="Why it judges so.")
    explanation: Explanation | None = None


class PairPage(Wire):
    """A page of pairs, most similar first."""

    duplicates: list[PairView]
    limit: int
    offset: int
    total: int


class GroupView(Wire):
    """Entities that are taken to be one and the same."""

    group_id: str
    entity_ids: list[int | str]
    size: int


class GroupPage(Wire):
    """A page of groups, largest first."""

    groups: list[GroupView]
    total: int
    limit: int
    offset: int


class BatchStatus(StrEnum):
    """The four words of a batch; see `BATCH_STATUS` for what each stands for."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


BATCH_STATUS: dict[JobState, BatchStatus] = {
    JobState.PENDING: BatchStatus.PENDING,
    JobState.RUNNING: BatchStatus.PROCESSING,
    JobState.PAUSED: BatchStatus.PROCESSING,
    JobState.COMPLETED: BatchStatus.COMPLETED,
    JobState.FAILED: BatchStatus.FAILED,
    JobState.CANCELLED: BatchStatus.FAILED,
}


class BatchSummary(Wire):
    """Counts of entities; a repeated id counts once."""

    total: int
    processed: int
    succeeded: int
    failed: int
    unchanged: int


class ItemError(Wire):
    """Why one entity of a batch failed; its neighbours did not."""

    index: int
    id: str | None = None
    code: ErrorCode
    message: str


class BatchView(Wire):
    """A batch, in the answer to its start and in its status."""

    job_id: UUID
    status: BatchStatus
    summary: BatchSummary
    progress: float | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    results: list[dict[str, Any]] | None = Field(
        default=None, description="What is finished so far, in input order: each entity with its `duplicates`."
    )
    errors: list[ItemError] | None = None
    errors_truncated: bool | None = None
    error: JobError | None = None
    warnings: list[JobWarning] | None = Field(default=None, description="What was done worse than it was asked for.")
    status_url: str | None = None


class AcceptedView(Wire):
    """The answer to a single upsert that runs as a job."""

    job_id: UUID
    status: BatchStatus
    status_url: str


class Label(Wire, Strict):
    """What a person says of two entities."""

    entity_id: EntityRef
    duplicate_id: EntityRef
    duplicate: StrictBool


class LabelsBody(Wire, Strict):
    """The body of `POST /v1/indexes/{indexName}/labels`."""

    labels: Annotated[list[Label], Field(min_length=1, max_length=10_000)]


class LabelCounts(Wire):
    """How many labels an index has now."""

    added: int
    total: int
    duplicates: int
    distinct: int


class TuneStarted(Wire):
    """The answer to `POST /v1/indexes/{indexName}/tune`."""

    job_id: UUID
    status: BatchStatus
    status_url: str


class Phase(StrEnum):
    """What an entity job does now."""

    PLAN = "plan"
    COPY = "copy"
    INDEX = "index"
    TRAIN = "train"
    REMATCH = "rematch"
    MATCH = "match"
    RESOLVE = "resolve"
    SWAP = "swap"
    JUDGE = "judge"


class ShareTask(BaseModel):
    """One chunk: the entities of a generation whose uid falls into share `share` of `shares` equal ones."""

    ref: JobRef
    share: int
    shares: int


class TrainReport(BaseModel):
    """What training decided."""

    trained: bool
    shares: int = Field(description="Shares of the whole index to match anew; 0: only what the job wrote.")


class ReindexPlan(BaseModel):
    """How a re-index cuts the index."""

    shares: int


class EntityRunState(RunState):
    """What an entity workflow carries besides."""

    phase: str = Phase.PLAN
    shares: int = 0
