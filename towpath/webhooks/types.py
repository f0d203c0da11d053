"""Webhooks: endpoints of jobs and of organizations, deliveries, and what their workflow carries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from towpath.core.bodies import Strict
from towpath.core.wire import Wire
from towpath.core.words import Word
from towpath.jobs.types import DeliveryRef, JobState

MAX_METADATA_BYTES = 16 << 10
MAX_URL = 4096
MAX_SECRET = 512


DELIVERY = "delivery"
FIRST_ATTEMPTS = "notice"
"""Names of the workflows."""


class WebhookEvent(Word):
    """What an endpoint can subscribe to."""

    COMPLETE = "job.complete"
    FAILED = "job.failed"
    ERROR = "job.error"
    CANCELLED = "job.cancelled"
    PROGRESS = "job.progress"
    REVIEW = "job.review"
    GROUP_CREATED = "group.created"
    GROUP_EXTENDED = "group.extended"
    GROUP_SHRUNK = "group.shrunk"
    GROUP_MERGED = "group.merged"
    GROUP_SPLIT = "group.split"
    GROUP_DISSOLVED = "group.dissolved"
    GROUP_CHANGED = "group.changed"


JOB_EVENTS = [event for event in WebhookEvent if event.value.startswith("job.")]
"""What an endpoint that names none subscribes to."""
ALL_GROUP_EVENTS = "group.*"
"""Another way to write `group.changed`."""


def _expand_events(events: Any) -> Any:
    if not isinstance(events, list):
        return events
    return [WebhookEvent.GROUP_CHANGED if event == ALL_GROUP_EVENTS else event for event in events]


END_EVENTS: dict[JobState, WebhookEvent] = {
    JobState.COMPLETED: WebhookEvent.COMPLETE,
    JobState.FAILED: WebhookEvent.FAILED,
    JobState.CANCELLED: WebhookEvent.CANCELLED,
}
SYNONYMS = {WebhookEvent.ERROR: WebhookEvent.FAILED}
"""Two systems' words for one event."""


class DeliveryState(Word):
    """Where a delivery is; in the last one its endpoint answered 410, or was deleted."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    DISABLED = "DISABLED"


class WebhookFields(BaseModel):
    """The endpoint that a start may name for its own job; it is kept apart from the job's parameters."""

    webhook_url: Annotated[str, Field(min_length=1, max_length=MAX_URL)] | None = Field(
        default=None, validation_alias=AliasChoices("webhookUrl", "webhook_url"), exclude=True
    )
    webhook_signing_secret: Annotated[str, Field(min_length=1, max_length=MAX_SECRET)] | None = Field(
        default=None,
        validation_alias=AliasChoices("webhookSigningSecret", "webhook_signing_secret"),
        repr=False,
        exclude=True,
    )
    webhook_metadata: dict[str, Any] | None = Field(
        default=None, validation_alias=AliasChoices("webhookMetadata", "webhook_metadata"), exclude=True
    )


@dataclass(frozen=True, slots=True)
class JobEndpoint:
    """The endpoint of one job; its URL and `secret` are sealed."""

    url: str
    secret: bytes | None = None
    metadata: dict[str, Any] | None = None


class EndpointBody(Wire, Strict):
    """An endpoint to register."""

    __qualname__ = "ReceiverBody"  # Its name in the OpenAPI document, which generated clients have.
    model_config = ConfigDict(title="ReceiverBody")

    url: Annotated[str, Field(min_length=1, max_length=MAX_URL, examples=["https://hooks.example.com/towpath"])]
    secret: Annotated[str, Field(min_length=1, max_length=MAX_SECRET)] | None = Field(
        default=None, repr=False, description="`whsec_` and base64 of 24 to 64 bytes, or any text; none: one is made."
    )
    events: Annotated[
        list[WebhookEvent],
        BeforeValidator(_expand_events),
        Field(
            min_length=1,
            default_factory=lambda: list(JOB_EVENTS),
            description="None: all of jobs. `group.*` stands for `group.changed`: all changes of groups.",
        ),
    ]


class EndpointView(Wire):
    """A registered endpoint; `secret` only when it was just made or changed."""

    __qualname__ = "ReceiverView"  # Its name in the OpenAPI document, which generated clients have.
    model_config = ConfigDict(title="ReceiverView")

    webhook_id: UUID
    url: str
    events: list[WebhookEvent]
    secret: str | None = None
    created_at: datetime
    disabled_at: datetime | None = Field(default=None, description="It answered 410, and is told nothing more.")
    previous_secret_until: datetime | None = None


class StandingSecretBody(Wire, Strict):
    """The secret that signs for the endpoints of single jobs that bring none."""

    secret: Annotated[str, Field(min_length=1, max_length=MAX_SECRET)] | None = Field(
        default=None, repr=False, description="`whsec_` and base64 of 24 to 64 bytes, or any text; none: one is made."
    )


class Attempt(Wire):
    """One attempt of a delivery."""

    __qualname__ = "Try"  # Its name in the OpenAPI document, which generated clients have.
    model_config = ConfigDict(title="Try")

    at: datetime
    status: int | None = None
    duration_ms: int = 0
    error: str | None = None


class DeliveryView(Wire):
    """One event to one endpoint."""

    id: UUID
    job_id: UUID | None = Field(default=None, description="None: it tells of changes of groups.")
    webhook_id: UUID | None = None
    url: str
    event: WebhookEvent
    event_id: str
    state: DeliveryState
    attempts: list[Attempt]
    next_attempt_at: datetime | None = None
    created_at: datetime
    body: dict[str, Any] | None = Field(default=None, description="What is sent; in the detail only.")


class DeliveryPage(Wire):
    """Deliveries, newest first; pass `nextCursor` back as `cursor`."""

    deliveries: list[DeliveryView]
    next_cursor: str | None = None


class AttemptTask(BaseModel):
    """The input of one attempt; `number` from 0 within the run."""

    ref: DeliveryRef
    number: int


class AttemptOutcome(BaseModel):
    """What an attempt has led to; `wait` seconds until the next one while PENDING."""

    state: DeliveryState
    wait: float = 0.0


class FirstAttemptsInput(BaseModel):
    """The one input of the workflow of first attempts: all deliveries of one event."""

    refs: list[DeliveryRef]


class FirstAttemptsOutcome(BaseModel):
    """How many deliveries have arrived, and how many get a workflow of their own."""

    delivered: int
    pending: int


class DeliveryInput(BaseModel):
    """The one input of the delivery workflow."""

    ref: DeliveryRef
    tried: int = Field(default=0, description="Attempts that were made before it.")
    wait: float = Field(default=0.0, description="Seconds before its first attempt.")


class DeliveryOutcome(BaseModel):
    """How a run of a delivery ended."""

    state: DeliveryState
    attempts: int
