"""Files and batches: their ids, states, bodies, and what a batch's job carries."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from towpath.core.bodies import Strict
from towpath.core.errors import NotFoundError
from towpath.core.values import NUMBER
from towpath.jobs.types import JobRef, RunState

REQUEST_BATCH = "request_batch"
"""The kind of job that a batch is."""
FILE_PREFIX, BATCH_PREFIX = "file-", "batch_"
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
MAX_METADATA = 16
MIN_FILE_SECONDS, MAX_FILE_SECONDS = 3_600, 2_592_000
MIN_WINDOW, MAX_WINDOW = timedelta(minutes=1), timedelta(days=7)
_WINDOW = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_HEX = re.compile(r"[0-9a-f]{32}")


class FilePurpose(StrEnum):
    """What a file is for: the input of a batch, or what a batch has written."""

    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"


class BatchStatus(StrEnum):
    """Where a batch is."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self in FINAL


FINAL = frozenset({BatchStatus.FAILED, BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED})


class Ending(StrEnum):
    """Why a batch's files are written."""

    THROUGH = "through"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ExpiresAfter(Strict):
    """When a file expires, counted from when it was created."""

    anchor: Literal["created_at"] = Field(description="`created_at`: the moment at which the file was created.")
    seconds: Annotated[int, Field(ge=MIN_FILE_SECONDS, le=MAX_FILE_SECONDS), NUMBER] = Field(
        description="So many seconds later."
    )


class BatchBody(Strict):
    """What a batch is made of."""

    input_file_id: str = Field(max_length=64, description="A file of the purpose `batch`: one request a line.")
    endpoint: Literal["/v1/chat/completions", "/v1/embeddings"] = Field(description="Of all requests.")
    completion_window: str = Field(
        description="How long the batch may take: `24h`, or other minutes (`m`), hours (`h`) or days (`d`), up to 7d.",
        examples=["24h"],
        max_length=8,
    )
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        default=None, max_length=MAX_METADATA, description="Up to 16 texts by name, which are shown with the batch."
    )
    output_expires_after: ExpiresAfter | None = Field(
        default=None, description="When the output and error files expire; by default with finished jobs."
    )


class BatchParams(BaseModel):
    """What a batch's job was asked for, as it is stored."""

    endpoint: str
    input_file: str
    window: str
    file_name: str


class BatchRunState(RunState):
    """What a batch's workflow carries through continue-as-new."""

    phase: str = "validate"


class CloseTask(BaseModel):
    """The end of a batch: its files are written."""

    ref: JobRef
    ending: Ending


class BatchResult(BaseModel):
    """The small result of a batch's job."""

    status: BatchStatus
    output_file_id: str | None = None
    error_file_id: str | None = None


class LineProblem(BaseModel):
    """What is wrong with a line of an input file, in the words of the API."""

    code: str
    line: int | None = None
    message: str
    param: str | None = None


def show_file_id(file_id: UUID) -> str:
    """Return the id of a file as clients know it."""
    return f"{FILE_PREFIX}{file_id.hex}"


def show_batch_id(batch_id: UUID) -> str:
    """Return the id of a batch as clients know it: of its job, written differently."""
    return f"{BATCH_PREFIX}{batch_id.hex}"


def read_file_id(text: str) -> UUID:
    """Read what `show_file_id` wrote.

    Raises:
        NotFoundError: It did not.
    """
    return _read_id(text, FILE_PREFIX, "file")


def read_batch_id(text: str) -> UUID:
    """Read what `show_batch_id` wrote.

    Raises:
        NotFoundError: It did not.
    """
    return _read_id(text, BATCH_PREFIX, "batch")


def _read_id(text: str, prefix: str, thing: str) -> UUID:
    number = text.removeprefix(prefix)
    if not text.startswith(prefix) or not _HEX.fullmatch(number):
        raise NotFoundError(f"no {thing} {text[:80]}")
    return UUID(number)


def read_window(text: str) -> timedelta | None:
    """Read a completion window; None: it is none, or beyond the bounds."""
    match = _WINDOW.fullmatch(text)
    if match is None:
        return None
    window = timedelta(**{_UNITS[match[2]]: int(match[1])})
    return window if MIN_WINDOW <= window <= MAX_WINDOW else None
