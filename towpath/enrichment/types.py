"""Entity enrichment: bodies, plans, events, and what its answers look like.

An enrichment is a job over staged entities; each entity and model gives one record.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from towpath.core.bodies import Strict
from towpath.core.errors import ErrorCode
from towpath.core.json_values import read_json
from towpath.core.values import NUMBER
from towpath.core.words import Word
from towpath.jobs.types import JobKind, JobState
from towpath.llm.types import MODEL_KEY_FORM
from towpath.webhooks.types import WebhookFields

MAX_ENTITIES = 10_000
MAX_MODELS = 10
MAX_LANGUAGES = 20
HOLD_SECONDS = 3600
SURE = 0.8
"""From this confidence on a mismatch skips an entity of a batch."""
AUTO = "auto"

ModelKey = Annotated[str, StringConstraints(pattern=MODEL_KEY_FORM)]
LANGUAGE_FORM = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
Language = Annotated[str, StringConstraints(pattern=LANGUAGE_FORM)]


def _read(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    return read_json(value.encode("utf-8", "surrogatepass"), info.field_name or "")


class Strategy(Word):
    """How the schema is cut into calls."""

    SINGLE_PASS = "single_pass"
    EXPERT_DOMAINS = "expert_domains"
    MULTI_EXPERTISE = "multi_expertise"
    AUTO = "auto"


STRATEGIES: dict[Strategy, str] = {
    Strategy.SINGLE_PASS: "the whole schema in one call",
    Strategy.EXPERT_DOMAINS: "one call for each expertise domain of the schema, in parallel",
    Strategy.MULTI_EXPERTISE: "the same as expert_domains: one call for each expertise domain, in parallel",
    Strategy.AUTO: "domains where the schema names at least two and has more than eight fields, else one call",
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
        JobKind.SINGLE_ENRICHMENT,
        JobKind.BATCH_ENRICHMENT,
        JobKind.EXPERTISE_RETRY,
        JobKind.SCHEMA_GENERATION,
        JobKind.SCHEMA_EDIT,
        JobKind.FUSION_MERGE,
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


class Body(Strict):
    """Base of request bodies."""

    model_config = ConfigDict(str_strip_whitespace=True)


class EnrichmentOptions(Body, WebhookFields):
    """What single, batch and sync starts share."""

    schema_id: UUID | None = None
    target_schema: dict[str, Any] | None = None
    models: Annotated[list[ModelKey | Literal["auto"]], Field(max_length=MAX_MODELS)] = Field(default=[AUTO])
    strategy: Strategy = Strategy.AUTO
    arbitration_model: ModelKey | None = None
    classification_model: ModelKey | None = None
    languages: Annotated[list[Language], Field(min_length=1, max_length=MAX_LANGUAGES)] = Field(default=["en"])
    attachment_ids: Annotated[list[UUID], Field(max_length=20)] = Field(default=[])
    enable_web_search: StrictBool = False
    enable_strict_structured_output: StrictBool = False
    enable_response_schema: StrictBool = True
    database_sync: StrictBool = True
    bypass_cache: StrictBool = Field(default=False, description="Ask anew, whatever earlier jobs were answered.")
    max_cost_usd: Annotated[float, Field(gt=0), NUMBER] | None = Field(
        default=None, description="No call is begun beyond this."
    )

    @field_validator("models", "attachment_ids", mode="before")
    @classmethod
    def _none_is_default(cls, value: Any, info: Any) -> Any:
        if value:
            return value
        return [AUTO] if info.field_name == "models" else []

    @field_validator("languages")
    @classmethod
    def _each_once(cls, languages: list[str]) -> list[str]:
        return list(dict.fromkeys(languages))

    @model_validator(mode="after")
    def _one_schema(self) -> EnrichmentOptions:
        if (self.schema_id is None) == (self.target_schema is None):
            raise ValueError("exactly one of schema_id and target_schema is required")
        return self


class SingleBody(EnrichmentOptions):
    """One entity."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "entity_data": {"name": "Orion Lighting", "country": "PT"},
                "schema_id": "9b0f3f7e-7c55-4f1c-9a8e-0f3f5f1f2a61",
                "models": ["openai::gpt-4o"],
                "strategy": "multi_expertise",
            }
        }
    )

    entity_data: dict[str, Any]


class SyncBody(SingleBody):
    """One entity, waited for."""

    timeout_seconds: Annotated[float, Field(gt=0, le=3600), NUMBER] = 300
    include_per_model_results: StrictBool = False
    include_profile_limits: StrictBool = False


class BatchBody(EnrichmentOptions):
    """Many entities."""

    entities: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ENTITIES)]
    selected_indices: list[Annotated[int, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _indices_in_range(self) -> BatchBody:
        if self.selected_indices is not None:
            if not self.selected_indices:
                raise ValueError("selected_indices must not be empty")
            beyond = [index for index in self.selected_indices if index >= len(self.entities)]
            if beyond:
                raise ValueError(f"selected_indices has {beyond[0]}, but there are {len(self.entities)} entities")
        return self


class EstimateBody(EnrichmentOptions):
    """What a start would cost: the body of one."""

    entity_data: dict[str, Any] | None = None
    entities: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MAX_ENTITIES)] | None = None
    selected_indices: list[int] | None = None

    @model_validator(mode="after")
    def _something(self) -> EstimateBody:
        if (self.entity_data is None) == (self.entities is None):
            raise ValueError("exactly one of entity_data and entities is required")
        return self


class RetryBody(Body, WebhookFields):
    """The failed domains of a record, once more."""

    record_id: UUID
    entity_data: dict[str, Any]
    schema_id: UUID | None = None
    target_schema: dict[str, Any] | None = None
    model: ModelKey | None = None
    languages: Annotated[list[Language], Field(min_length=1, max_length=MAX_LANGUAGES)] | None = None


class MergeBody(Body, WebhookFields):
    """Records to fuse."""

    result_ids: Annotated[list[UUID], Field(min_length=2, max_length=20)]
    arbitration_model: ModelKey | None = None
    attachment_ids: list[UUID] | None = None
    database_sync: StrictBool = True


class HoldAnswer(Strict):
    """What a person answers to a question that a job waits with."""

    option_ids: list[str] = Field(default=[])
    text: str | None = Field(default=None, max_length=4000)


class ContinueBody(Strict):
    """Lets a paused job go on."""

    answers: dict[str, HoldAnswer] = Field(default={})


class FetchAuth(Strict):
    """Credentials for one fetch; they are not stored."""

    auth_type: Literal["none", "bearer", "api_key", "basic"] = "none"
    bearer_token: str | None = Field(default=None, repr=False)
    api_key_header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None
    api_key_value: str | None = Field(default=None, repr=False)
    basic_username: str | None = None
    basic_password: str | None = Field(default=None, repr=False)


class FetchBody(Strict):
    """Where entities are read from."""

    url: Annotated[str, Field(min_length=1, max_length=4096)]
    auth: FetchAuth = FetchAuth()


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


KeptInOrder = Annotated[
    dict[str, Any],
    BeforeValidator(_read),
    PlainSerializer(json.dumps, return_type=str, when_used="json"),
]
"""An object that is stored as text, because the parameters of jobs are kept without the order of names."""


class Plan(BaseModel):
    """All that an enrichment job was asked to do besides its entities; kept in the job's parameters."""

    content: KeptInOrder
    schema_id: UUID | None = None
    schema_version: int | None = None
    models: list[str]
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


class HoldCheck(BaseModel):
    """What the check before spending found: whether the job waits for a person."""

    hold: bool = False
    classification: Classification | None = None


class ExpertiseResult(BaseModel):
    """What became of one call of a run over domains."""

    key: str
    name: str
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
    processing_time_ms: int = 0

    @property
    def cost_usd(self) -> float:
        """What all its calls have cost."""
        return round(sum(one.cost_usd for one in self.expertises), 9)

    @property
    def input_tokens(self) -> int:
        """What its prompts took."""
        return sum(one.input_tokens for one in self.expertises)

    @property
    def output_tokens(self) -> int:
        """What its answers took."""
        return sum(one.output_tokens for one in self.expertises)


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
    cost_usd: float | None = None


class SchemaCreate(Body):
    """A schema to keep."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "Lighting maker",
                "schema_content": {
                    "root": {
                        "name": "Lighting maker",
                        "type": "object",
                        "description": "A firm that makes lamps",
                        "properties": {
                            "name": {"type": "string", "identifying": True},
                            "founded": {"type": "integer", "nullable": True, "expertise": "history"},
                        },
                    },
                    "expertise_domains": {"history": {"name": "History", "description": "Origins of firms"}},
                },
            }
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=200)]
    schema_content: dict[str, Any]
    tags: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)] = Field(default=[])
    is_pinned: StrictBool = False
    entity_samples: Annotated[list[dict[str, Any]], Field(max_length=100)] | None = None


class SchemaPatch(Body):
    """What changes of a schema; new content is a new version."""

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    schema_content: dict[str, Any] | None = None
    tags: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=50)] | None = None
    is_pinned: StrictBool | None = None


Samples = Annotated[
    list[dict[str, Any]] | dict[str, Any],
    BeforeValidator(_read),
    PlainSerializer(json.dumps, return_type=str, when_used="json"),
]


class GenerateBody(Body, WebhookFields):
    """Samples to make a schema from."""

    entity_samples: Samples
    model: ModelKey | Literal["auto"] = AUTO
    save_schema: StrictBool = True
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    language: Language = "en"
    sample_commonality_threshold: Annotated[float, Field(ge=0, le=1), NUMBER] = 0.5


class PromptBody(Body, WebhookFields):
    """An instruction that changes a schema."""

    prompt: Annotated[str, Field(min_length=1, max_length=4000)]
    model: ModelKey | Literal["auto"] = AUTO
    attachment_ids: list[UUID] | None = None


class BatchIds(Body):
    """Records to delete or restore."""

    ids: Annotated[list[UUID], Field(min_length=1)]
    hard_delete: StrictBool = False


class AttachmentBody(Body):
    """A source file as JSON."""

    filename: Annotated[str, Field(min_length=1, max_length=255)]
    content_base64: Annotated[str, Field(min_length=1)]
    media_type: Annotated[str, Field(max_length=255)] | None = None
