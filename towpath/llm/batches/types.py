"""Batch execution: what a start can ask for, the states of calls and batches, what workflow and activities exchange."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from towpath.core.words import Word
from towpath.jobs.types import JobRef, RunState

BATCH_CLOSING = "batch_closing"
"""The workflow that closes the batches of a job that has ended."""
BATCH_ACTIVITIES = ("submit_batches", "look_at_batches", "plan_round")
"""What the workflow of a job with batches calls, on the queue of language models."""
WINDOW = timedelta(hours=24)
"""How long a provider may take for a batch."""


EXECUTION_HELP = (
    "live: each call at once. batch: through the provider's batch endpoint, at about half the price, within a day. "
    "auto: batch where the deadline of the header Towpath-Deadline is far enough."
)


class Execution(Word):
    """How a job's calls are made."""

    LIVE = "live"
    BATCH = "batch"
    AUTO = "auto"


class ExecutionChoice(BaseModel):
    """How a job's calls are made, and why; kept in the job's parameters."""

    requested: Execution = Execution.LIVE
    execution: Execution = Execution.LIVE
    reason: str = "asked for"

    @property
    def is_batch(self) -> bool:
        """Return whether they go through batches."""
        return self.execution is Execution.BATCH


class CallState(StrEnum):
    """Where a collected call stands; `docs/decisions` has the picture.

    `awaited`: in no batch yet. `submitted`: in one. `stored`: its answer is among the paid ones. `live`: no batch will
    answer it, so it is asked like any other.
    """

    AWAITED = "awaited"
    SUBMITTED = "submitted"
    STORED = "stored"
    LIVE = "live"


class BatchState(StrEnum):
    """Where a batch stands with us.

    `named`: its calls are fixed, nothing was sent. `sending`: the request may have reached the provider. `sent`: the
    provider has it, and we know its id there. `closed`: its results were fetched, or it never came to any.
    """

    NAMED = "named"
    SENDING = "sending"
    SENT = "sent"
    CLOSED = "closed"


class ResultKind(StrEnum):
    """What became of a call in a batch that has ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch may hold."""

    calls: int
    bytes: int


@dataclass(frozen=True, slots=True)
class NamedCall:
    """A call of a batch: the id under which the provider answers it, and the body that a live call would send."""

    custom_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a provider says of one call of a batch.

    Attributes:
        custom_id: Which call.
        kind: What became of it.
        reply: For an answered one, the body that a live call would have been answered.
        problem: For any other, what the provider says.
    """

    custom_id: str
    kind: ResultKind
    reply: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as its provider describes it.

    Attributes:
        id: The provider's id.
        state: The provider's word.
        has_ended: Whether nothing of it changes any more.
        has_failed: Whether it came to no results at all.
        is_over_quota: Whether it failed because too much is queued already.
        answered: Calls that were answered.
        failed: Calls that ended otherwise.
        files: Where its results are, for the client that reads them.
        problem: Why it failed.
    """

    id: str
    state: str
    has_ended: bool
    has_failed: bool = False
    is_over_quota: bool = False
    answered: int = 0
    failed: int = 0
    files: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """What a look for a lost batch has come to.

    Attributes:
        match: The batch.
        undecided: There is one that cannot be told apart from it before it has ended.
    """

    match: RemoteBatch | None = None
    undecided: bool = False


@dataclass(slots=True)
class Batch:
    """A batch as we have stored it."""

    id: UUID
    name: str
    organization: str
    job_id: UUID
    attempt: int
    model: str
    state: BatchState
    calls: int
    remote_id: str | None
    file_id: str | None
    sending_at: datetime | None
    sent_at: datetime | None
    cancelled_at: datetime | None
    remote_state: str | None = None
    answered: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call of a batch as it is stored.

    Attributes:
        digest: The key of its answer.
        number: Its place in the batch.
        prompt: What its answer is read by, without the words.
        plain_json: Whether it asks in words alone.
        body: What is sent.
    """

    digest: bytes
    number: int
    prompt: dict[str, Any]
    plain_json: bool
    body: bytes


class BatchPlan(BaseModel):
    """How a job waits for its batches; its workflow carries it along."""

    first_wait: float = Field(description="Seconds before the first look.")
    longest_wait: float = Field(description="Seconds between two looks in the end.")
    live_seconds: float = Field(description="So long before its deadline a job stops waiting and asks live.")


class BatchRunState(RunState):
    """What the workflow of a job with batches carries through continue-as-new."""

    batch: BatchPlan | None = None
    wait: float = 0.0
    collects: bool = False
    submitted: int = Field(default=0, description="Calls that earlier rounds had in batches.")


class BatchTask(BaseModel):
    """A step with a job's batches."""

    ref: JobRef
    closing: bool = Field(default=False, description="Whether what is not answered yet is cancelled.")
    ended: bool = Field(default=False, description="Whether the job has ended.")


class ClosingInput(BaseModel):
    """Which job's batches are closed, and how."""

    ref: JobRef
    plan: BatchPlan
    wait: float = Field(default=0.0, description="Seconds before the next look, after continue-as-new.")


class BatchProgress(BaseModel):
    """How far a job's batches are; counts are of this attempt and earlier ones, as the providers tell them."""

    submitted: int = Field(default=0, description="Calls in all batches.")
    answered: int = 0
    failed: int = 0
    open: int = Field(default=0, description="Batches that have not ended.")
    unsent: int = Field(default=0, description="Calls that are in no batch yet.")

    @property
    def waits(self) -> bool:
        """Return whether there is anything left to wait for."""
        return bool(self.open or self.unsent)
