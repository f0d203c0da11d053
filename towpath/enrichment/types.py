"""Entity enrichment: plans, events, and what its answers look like; `bodies` has what requests hold.

An enrichment is a job over staged entities; each entity and model gives one record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
)

from towpath.core.errors import ErrorCode
from towpath.core.json_values import read_json
from towpath.core.words import Word
from towpath.jobs.types import JobState, PagePlan
from towpath.llm.batches.types import BatchPlan, ExecutionChoice

SINGLE_ENRICHMENT = "single_enrichment"
BATCH_ENRICHMENT = "batch_enrichment"
EXPERTISE_RETRY = "expertise_retry"
SCHEMA_GENERATION = "schema_generation"
SCHEMA_EDIT = "schema_edit"
FUSION_MERGE = "fusion_merge"
"""The kinds of jobs: stored words, and names of workflows."""
HOLD_SECONDS = 3600
MIN_SKIP_CONFIDENCE = 0.8
"""From this confidence on a mismatch skips an entity of a batch."""


def read_if_text(value: Any, info: ValidationInfo) -> Any:
    """Return a stored JSON text as its value; a value that was read already stays as it is."""
    if not isinstance(value, str):
        return value
    return read_json(value.encode("utf-8", "surrogatepass"), info.field_name or "")


class Strategy(Word):
    """How the schema is cut into calls."""

    SINGLE_PASS = "single_pass"
    EXPERT_DOMAINS = "expert_domains"
    MULTI_EXPERTISE = "multi_expertise"
    AUTO = "auto"


class ModelStrategy(Word):
    """How several models are asked about an entity."""

    PARALLEL = "parallel"
    WATERFALL = "waterfall"


MODEL_STRATEGIES: dict[ModelStrategy, str] = {
    ModelStrategy.PARALLEL: "every model is asked for everything, at once",
    ModelStrategy.WATERFALL: "in order of price; a dearer model is asked only for what is still null or disputed",
}


STRATEGIES: dict[Strategy, str] = {
    Strategy.SINGLE_PASS: "the whole schema in one call",
    Strategy.EXPERT_DOMAINS: "one call that is told the schema's expertise domains",
    Strategy.MULTI_EXPERTISE: "one call for each expertise domain of the schema, in parallel; it costs more",
    Strategy.AUTO: "by the schema's size: one call, one that is told the domains, or one for each domain",
}


class PublicStatus(Word):
    """A job's state in the words of this API."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


LLM_KINDS = frozenset(
    {
        SINGLE_ENRICHMENT,
        BATCH_ENRICHMENT,
        EXPERTISE_RETRY,
        SCHEMA_GENERATION,
        SCHEMA_EDIT,
        FUSION_MERGE,
    }
)
STATUS_OF: dict[JobState, PublicStatus] = {state: PublicStatus(state.lower()) for state in JobState}


class LlmEvent(StrEnum):
    """The events of jobs that ask language models; each is also the name in their stream."""

    MODEL_STARTED = "model_started"
    EXPERTISE_COMPLETED = "expertise_completed"
    MODEL_COMPLETED = "model_completed"
    FUSION_STARTED = "fusion_started"
    CONFLICTS_DETECTED = "conflicts_detected"
    ARBITRATION_STARTED = "arbitration_started"
    ARBITRATION_COMPLETED = "arbitration_completed"
    FUSION_COMPLETED = "fusion_completed"
    BATCH_STARTED = "batch_started"
    BATCH_COMPLETED = "batch_completed"
    ENTITY_STARTED = "entity_started"
    ENTITY_COMPLETED = "entity_completed"
    ENTITY_SKIPPED = "entity_skipped"
    STRATEGY_SELECTED = "strategy_selected"
    MODEL_AUTO_SELECTED = "model_auto_selected"
    CLASSIFICATION_STARTED = "classification_started"
    CLASSIFICATION_COMPLETED = "classification_completed"
    CLASSIFICATION_MISMATCH_PAUSE = "classification_mismatch_pause"


class ClassificationStatus(StrEnum):
    """Whether an entity is what the schema is for."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"


class Verdict(BaseModel):
    """What a model says of an entity's type; the form of its answer."""

    status: ClassificationStatus
    confidence: Annotated[float, Field(ge=0, le=1)]
    reasoning: str
    entity_description: str
    alternative_interpretations: list[str] = []


class Classification(Verdict):
    """A verdict and what it took."""

    expected_type: str
    classification_model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


OrderedObject = Annotated[
    dict[str, Any],
    BeforeValidator(read_if_text),
    PlainSerializer(json.dumps, return_type=str, when_used="json"),
]
"""An object that is stored as text, because the parameters of jobs are kept without the order of names."""


class Plan(BaseModel):
    """All that an enrichment job was asked to do besides its entities; kept in the job's parameters."""

    content: OrderedObject
    schema_id: UUID | None = None
    schema_version: int | None = None
    models: list[str]
    model_strategy: ModelStrategy = ModelStrategy.PARALLEL
    auto_selected: bool = False
    requested: Strategy = Strategy.AUTO
    strategy: Strategy
    strategy_reason: str = ""
    arbitration_model: str | None = None
    classification_model: str | None = None
    languages: list[str] = ["en"]
    attachment_ids: list[UUID] = []
    strict: bool = False
    response_schema: bool = True
    bypass_cache: bool = False
    max_cost_usd: float | None = None
    origin: str | None = None
    single: bool = False
    execution: ExecutionChoice = ExecutionChoice()


class EnrichmentPlan(PagePlan):
    """Which pages have work left, and how the job waits where its calls go through batches."""

    batch: BatchPlan | None = None


class HoldCheck(BaseModel):
    """The outcome of the check before spending: whether the job waits for a person."""

    hold: bool = False
    classification: Classification | None = None


class ExpertiseResult(BaseModel):
    """What became of one call of a run over domains."""

    key: str
    name: str
    fields: list[str] | None = Field(default=None, description="What was asked for; None: from before this was kept.")
    success: bool
    result: dict[str, Any] | None = None
    error_message: str | None = None
    code: ErrorCode | None = None
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    cached: bool = False


class ModelResult(BaseModel):
    """What became of one entity with one model."""

    model: str
    success: bool
    partial_success: bool = False
    cancelled: bool = False
    result: dict[str, Any] | None = None
    record_id: UUID
    expertises: list[ExpertiseResult] = []
    error_message: str | None = None
    code: ErrorCode | None = None
    validation_errors: list[str] = []
    validation_warnings: list[str] = []
    processing_time_ms: int = 0

    @property
    def cost_usd(self) -> float:
        """What all its calls have cost."""
        return round(sum(expertise.cost_usd for expertise in self.expertises), 9)

    @property
    def input_tokens(self) -> int:
        """What its prompts took."""
        return sum(expertise.input_tokens for expertise in self.expertises)

    @property
    def output_tokens(self) -> int:
        """What its answers took."""
        return sum(expertise.output_tokens for expertise in self.expertises)


class Conflict(BaseModel):
    """A field on which models differ."""

    path: str
    field_type: Literal["scalar", "array", "multilingual", "object"]
    values_by_model: dict[str, Any]
    needs_arbitration: bool
    translation_only: bool = False


class ConflictReport(BaseModel):
    """How far models agree; fields are leaves of the schema."""

    total_fields: int = 0
    agreed_fields: int = 0
    conflicted_fields: int = 0
    conflicts: list[Conflict] = []


class FieldSource(BaseModel):
    """Where a field's value comes from, and why it won."""

    path: str
    models: list[str]
    rule: str


class Fusion(BaseModel):
    """One result made of several models'."""

    merged: dict[str, Any]
    report: ConflictReport
    provenance: list[FieldSource]
    method: Literal["rule_based", "llm"] = "rule_based"
    arbitration_model: str | None = None
    warnings: list[str] = []
    cost_usd: float | None = Field(default=None, description="What its arbiter was paid; none: there was none.")
    input_tokens: int = 0
    output_tokens: int = 0


SortBy = Literal["created_at", "entity_name", "model_composite_key", "cost_usd", "success"]


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records; None: any."""

    type: str | None = None
    model: str | None = None
    success: bool | None = None
    search: str | None = None
    entity_id: UUID | None = None
    job_id: UUID | None = None
    origin: str | None = None
    since: datetime | None = None
    include_deleted: bool = False
