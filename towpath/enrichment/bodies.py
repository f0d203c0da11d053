"""What requests of the enrichment API hold."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StringConstraints,
    field_validator,
    model_validator,
)

from towpath.core.bodies import EmptyIsAbsent, Strict
from towpath.core.languages import find_language
from towpath.core.values import NUMBER
from towpath.enrichment.types import ModelStrategy, Strategy, read_if_text
from towpath.llm.batches.types import EXECUTION_HELP, Execution
from towpath.llm.types import MODEL_KEY_FORM
from towpath.webhooks.types import WebhookFields

MAX_ENTITIES = 10_000
MAX_MODELS = 10
MAX_LANGUAGES = 20
PROFILE_LIMITS = {"max_models_per_enrichment": MAX_MODELS, "max_languages": MAX_LANGUAGES}
"""The bounds of every start, in the words of clients."""
AUTO = "auto"
ModelKey = Annotated[str, StringConstraints(pattern=MODEL_KEY_FORM)]
LANGUAGE_FORM = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"


def known_language(language: str) -> str:
    """Return a language that texts can be asked for; a region may stand behind it.

    Raises:
        ValueError: There is no such language among those that `options` lists.
    """
    if find_language(language) is None:
        raise ValueError(f"{language} is none of the languages of GET /api/enrichment/options")
    return language


Language = Annotated[str, StringConstraints(pattern=LANGUAGE_FORM), AfterValidator(known_language)]


class Body(Strict, EmptyIsAbsent):
    """Base of request bodies."""

    model_config = ConfigDict(str_strip_whitespace=True)


class EnrichmentOptions(Body, WebhookFields):
    """What single, batch and sync starts share."""

    schema_id: UUID | None = None
    target_schema: dict[str, Any] | None = None
    models: Annotated[list[ModelKey | Literal["auto"]], Field(min_length=1, max_length=MAX_MODELS)] = Field(
        default=[AUTO]
    )
    model_strategy: ModelStrategy = Field(
        default=ModelStrategy.PARALLEL,
        description="Whether all models are asked for everything, or dearer ones only for what cheaper ones left open.",
    )
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
    execution: Execution = Field(default=Execution.LIVE, description=EXECUTION_HELP)

    @field_validator("languages")
    @classmethod
    def _each_once(cls, languages: list[str]) -> list[str]:
        return list(dict.fromkeys(languages))

    @model_validator(mode="after")
    def _require_exactly_one_schema(self) -> EnrichmentOptions:
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
    cancel_on_timeout: StrictBool = Field(
        default=False, description="Cancel the job when it takes longer; else it goes on, and can be read later."
    )
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
    attachment_ids: Annotated[list[UUID], Field(max_length=20)] | None = Field(
        default=None, description="None: the sources of the record. An empty list: none."
    )

    @field_validator("languages")
    @classmethod
    def _known_ones(cls, languages: list[str] | None) -> list[str] | None:
        return languages and [known_language(language) for language in languages]


class MergeBody(Body, WebhookFields):
    """Records to fuse."""

    result_ids: Annotated[list[UUID], Field(min_length=2, max_length=20)]
    arbitration_model: ModelKey | None = None
    attachment_ids: list[UUID] | None = None
    database_sync: StrictBool = True


class HoldAnswer(Strict, EmptyIsAbsent):
    """What a person answers to a question that a job waits with."""

    option_ids: Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=20)] = Field(
        default=[], description="Of the options of the question, those that hold."
    )
    text: str | None = Field(default=None, max_length=4000)


class ContinueBody(Strict, EmptyIsAbsent):
    """Lets a paused job go on."""

    answers: dict[str, HoldAnswer] = Field(default={})


class FetchAuth(Strict, EmptyIsAbsent):
    """Credentials for one fetch; they are not stored."""

    auth_type: Literal["none", "bearer", "api_key", "basic"] = "none"
    bearer_token: str | None = Field(default=None, repr=False)
    api_key_header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None
    api_key_value: str | None = Field(default=None, repr=False)
    basic_username: str | None = None
    basic_password: str | None = Field(default=None, repr=False)


class FetchBody(Strict, EmptyIsAbsent):
    """Where entities are read from."""

    url: Annotated[str, Field(min_length=1, max_length=4096)]
    auth: FetchAuth = FetchAuth()


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
    BeforeValidator(read_if_text),
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
    extra_instructions: Annotated[str, Field(max_length=4000)] | None = Field(
        default=None, description="What the model is told besides."
    )
    generation_strategy: Annotated[str, Field(max_length=100)] | None = Field(
        default=None, description="Taken, and without effect: the structure is read from the samples."
    )
    generate_semantic_ids: StrictBool = Field(default=False, description="Taken, and without effect.")
    timeout_seconds: Annotated[float, Field(gt=0, le=3600), NUMBER] = Field(
        default=300, description="How long a call that waits does so."
    )


class PromptBody(Body, WebhookFields):
    """An instruction that changes a schema."""

    prompt: Annotated[str, Field(min_length=1, max_length=4000)]
    model: ModelKey | Literal["auto"] = AUTO
    attachment_ids: list[UUID] | None = None


class BatchIds(Body):
    """Records to delete or restore."""

    ids: Annotated[list[UUID], Field(min_length=1)]
    hard_delete: StrictBool = False


class CorrectionBody(Strict):
    """Right values of a record's fields."""

    model_config = ConfigDict(json_schema_extra={"example": {"values": {"founded": 1997}, "others_right": True}})

    values: Annotated[dict[str, Any], Field(max_length=500)] = Field(
        default={}, description="By field, dotted where it is nested; null: there is none."
    )
    others_right: StrictBool = Field(
        default=False, description="What the record says of every other field that was asked for is right."
    )


class AttachmentBody(Body):
    """A source file as JSON."""

    filename: Annotated[str, Field(min_length=1, max_length=255)]
    content_base64: Annotated[str, Field(min_length=1)]
    media_type: Annotated[str, Field(max_length=255)] | None = None
