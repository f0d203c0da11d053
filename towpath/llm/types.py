"""Language models: how they are named, reached, asked, and what an answer carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field, model_validator

from towpath.core.usage import Usage

LOCAL_PROVIDER = "local"
NO_KEY = "none"
"""What an SDK is given where a provider needs no key."""
LOCAL_LLM = "local::smollm2-135m-instruct"
MODEL_KEY_FORM = r"^[a-z0-9][a-z0-9_.-]{0,63}::[A-Za-z0-9][A-Za-z0-9_.:/@-]{0,199}$"
"""`provider::model`."""


MIN_CACHED_CHARACTERS = 4_096
"""About 1,024 tokens: no provider caches less."""
WAYS_TO_SEND = frozenset({"stable", "shared", "siblings", "exact_room"})
"""Members of a prompt that say how it is sent, not what is asked."""


class WireFormat(StrEnum):
    """Which HTTP API a provider speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class OutputMode(StrEnum):
    """How a provider is made to answer in a form: by a tool's arguments, a JSON schema, or by asking."""

    TOOLS = "tools"
    JSON_SCHEMA = "json_schema"
    JSON = "json"


class ProviderConfig(BaseModel):
    """How one provider is reached."""

    api: WireFormat = WireFormat.OPENAI
    url: str | None = Field(default=None, description="Base URL; none: the provider's own.")
    key: str | None = Field(default=None, repr=False, description="API key; none: the provider needs none.")
    models: list[str] | None = Field(default=None, description="Its models; none: every name is tried.")
    mode: OutputMode = OutputMode.TOOLS
    concurrency: int | None = Field(default=None, ge=1, description="Calls at once, of all workers; none: the general.")
    requests_per_minute: int | None = Field(default=None, ge=1, description="Requests a minute, of all workers.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Tokens a minute, in and out, of all workers."
    )
    prices: str | None = Field(default=None, description="Whose prices hold; none: it costs nothing.")
    small: bool = Field(default=False, description="Whether forms are bounded for a small model.")
    context: int | None = Field(
        default=None, ge=1024, description="Tokens that its models take, prompt and answer; none: as is known."
    )
    batches: bool = Field(default=False, description="Whether it has the batch endpoint of its API.")


class LlmConfig(BaseModel):
    """How language models are reached and asked."""

    providers: dict[str, ProviderConfig] = {}
    repairs: int = Field(default=2, ge=0, le=5, description="How often an answer of the wrong form is sent back.")
    seconds: float = Field(default=120.0, gt=0, description="Longest time of one call.")
    concurrency: int = Field(default=32, ge=1, description="Calls at once with a provider's key, of all workers.")
    batch_calls: int = Field(default=50_000, ge=1, description="Calls in one batch of a provider.")
    batch_first_wait: float = Field(default=15.0, gt=0, description="Seconds before the first look at a batch.")
    batch_longest_wait: float = Field(default=300.0, gt=0, description="Seconds between two looks in the end.")
    batch_live_seconds: float = Field(
        default=3600.0, ge=0, description="So long before its deadline a job stops waiting for batches and asks live."
    )
    batch_grace_seconds: float = Field(
        default=90.0, ge=0, description="How long a request that creates a batch may still be on its way when lost."
    )


class ModelInfo(BaseModel):
    """What is known of a model. Prices are US dollars for a million tokens; what it can do is true or absent."""

    key: str
    provider: str = ""
    model: str = ""
    display_name: str | None = None
    is_available: bool = False
    input_price: float | None = None
    output_price: float | None = None
    context_length: int | None = None
    supports_vision: bool | None = None
    supports_tool_calls: bool | None = None
    supports_tool_choice: bool | None = None
    supports_response_schema: bool | None = None
    supports_strict_structured_output: bool | None = None
    supports_reasoning: bool | None = None
    supports_prompt_caching: bool | None = None


class ImagePart(BaseModel):
    """An image for a model that sees."""

    media_type: str
    base64: str


class Prompt(BaseModel):
    """What a model is asked; its digest is the key of the answer.

    `form` is the JSON Schema of the answer, an object. The first `stable` characters of `user` are the same in all
    prompts of a job, and so are the images; where they are `shared`, other prompts with them follow soon, and a
    provider that caches on demand is told to. `siblings` are the forms of those others, this one's among them: sent
    along, in the same order each time, so that what providers put before the text is the same too. How a prompt is
    sent changes nothing about what is asked. `most_tokens` is room for the answer itself, to which that for a model's
    thoughts is added; with `exact_room` it is all that there is.
    """

    system: str
    user: str
    form: dict[str, Any]
    stable: int = 0
    shared: bool = False
    siblings: list[dict[str, Any]] = []
    exact_room: bool = False
    images: list[ImagePart] = []
    most_tokens: int = 4096
    strict: bool = False


class Purpose(StrEnum):
    """What a question to a model is for; part of its line in the ledger."""

    ENRICHMENT = "enrichment"
    CLASSIFICATION = "classification"
    ARBITRATION = "arbitration"
    SCHEMA = "schema"
    EXTRACTION = "extraction"
    DOCUMENT_CLASS = "document_class"
    QUESTION = "question"
    JUDGEMENT = "judgement"
    REQUEST = "request"
    EARLIER = "earlier"
    """Sums of what was paid before there was a ledger."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where in a job a question is asked.

    Two sites may ask the same: it is paid once, and booked to the one that has paid.

    Attributes:
        purpose: What for.
        item: The item of the job, such as an entity; None: the job as a whole.
    """

    purpose: Purpose
    item: int | None = None


class Answer(BaseModel):
    """A model's answer in the asked form."""

    data: dict[str, Any]
    usage: Usage = Field(default=Usage(), description="What the provider was paid for it, repairs included.")
    seconds: float = 0.0
    cached: bool = Field(default=False, description="It was bought by an earlier job.")

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, value: Any) -> Any:
        """Read an answer that was stored before usages were."""
        if isinstance(value, dict) and "usage" not in value:
            return {**value, "usage": {name: value[name] for name in Usage.model_fields if name in value}}
        return value

    @property
    def input_tokens(self) -> int:
        """Return what the prompts took."""
        return self.usage.input_tokens

    @property
    def output_tokens(self) -> int:
        """Return what the answers took."""
        return self.usage.output_tokens

    @property
    def usd(self) -> float:
        """Return what it has cost."""
        return self.usage.usd


def split_key(model: str) -> tuple[str, str]:
    """Split a model key into provider and model."""
    provider, _, name = model.partition("::")
    return provider, name
