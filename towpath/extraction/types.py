"""Extraction jobs: documents in, pages and fields out; their states, bodies, results and reviews."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, PlainSerializer

from towpath.core.bodies import Strict
from towpath.core.json_values import parse_json
from towpath.core.values import NUMBER
from towpath.core.wire import Wire
from towpath.documents.types import Box, DocumentKind
from towpath.jobs.types import JobRef, ReviewStatus
from towpath.llm.batches.types import EXECUTION_HELP, BatchPlan, BatchRunState, Execution, ExecutionChoice
from towpath.webhooks.types import WebhookFields

EXTRACTION = "extraction"
CLASSIFICATION = "classification"
"""The kinds of jobs: stored words, and names of workflows."""

MAX_SHOWN_BYTES = 64 << 10
"""A request body above that is shown by its size and digest."""
MAX_SCHEMA_BYTES = 64 << 10
SYNC_SECONDS = 300.0
HOLD_SECONDS = 365 * 86_400.0
REVIEW_REQUESTED = "review.requested"


def make_extract_id(job_id: UUID) -> UUID:
    """Return the id of a job's extraction, the same over all attempts."""
    return uuid5(job_id, "extract")


class ExtractOptions(Wire):
    """How a document is read and what is taken out of it; a template holds them, a request overrides them."""

    exclude_ocr: bool = Field(default=False, alias="excludeOCRResult")
    maintain_format: bool = False
    page_range: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=2000)] | None = None
    extract_per_page: list[str] = Field(default=[], max_length=200)
    enable_hybrid_extraction: bool = False
    direct_image_extraction: bool = False
    bypass_cache: bool = False
    include_confidence: bool = False
    require_review: bool = False
    hold_for_review: bool = False
    review_below: Annotated[float, Field(ge=0, le=1), NUMBER] | None = None
    llm: Annotated[str, Field(max_length=300)] | None = Field(
        default=None, description="A model key `provider::model`; none: the server chooses."
    )
    execution: Execution = Field(default=Execution.LIVE, description=EXECUTION_HELP)


class ExtractBody(ExtractOptions, WebhookFields, Strict):
    """The body of `POST /extract`; webhooks as with every start."""

    url: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None, validation_alias=AliasChoices("url", "documentUrl", "document_url")
    )
    template_id: UUID | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    webhook_id: UUID | None = None
    metadata: dict[str, Any] | None = None


class DocumentRef(BaseModel):
    """The document of a job: in the blob store, or still at its URL."""

    url: str | None = None
    file_name: str
    media_type: str | None = None
    size: int | None = None
    sha256: str | None = Field(default=None, description="Hex; None until it was fetched.")
    kind: DocumentKind | None = Field(default=None, description="None: found out when the document is opened.")
    pages: int | None = Field(default=None, description="How many it has; None: counted when it is opened.")


def _parse_stored(value: Any) -> Any:
    # What the store holds has been through the door before.
    return parse_json(value) if isinstance(value, str) else value


# As text: the store's jsonb would sort the members, and with them the fields of every answer.
InOrder = Annotated[
    dict[str, Any],
    BeforeValidator(_parse_stored),
    PlainSerializer(json.dumps, return_type=str, when_used="json-unless-none"),
]


class ExtractParams(BaseModel):
    """What an extraction was asked for: its parameters in the store."""

    document: DocumentRef
    options: ExtractOptions
    schema_: InOrder | None = Field(default=None, alias="schema")
    choices: list[ClassificationOption] | None = Field(default=None, description="Of a classification.")
    llm: str
    execution: ExecutionChoice = ExecutionChoice()
    model_config = {"populate_by_name": True}


class ClassificationOption(Strict):
    """One class of documents, with examples of what is written in them."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    examples: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=20)] = Field(default=[])


class ClassificationBody(Strict):
    """The body of `POST /classification`."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    options: Annotated[list[ClassificationOption], Field(min_length=2, max_length=100)]


class TemplateBody(Wire, Strict):
    """Stored settings; `options` are those of `POST /extract` that are neither document nor receiver."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    options: dict[str, Any] = Field(default={})


@dataclass(frozen=True, slots=True)
class Template:
    """Stored settings of an extraction."""

    id: UUID
    name: str
    schema: dict[str, Any] | None
    options: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Classification:
    """Classes of documents, to choose among."""

    id: UUID
    name: str
    options: list[dict[str, Any]]
    created_at: datetime


class ReviewBody(Wire, Strict):
    """The body of `POST /jobs/{jobId}/review`."""

    decision: Literal[ReviewStatus.APPROVED, ReviewStatus.REJECTED, ReviewStatus.CANCELLED]
    comment: Annotated[str, Field(max_length=4000)] | None = None
    annotated_data: dict[str, Any] | None = None


class AnnotateBody(Wire, Strict):
    """The body of `POST /annotate`."""

    job_id: UUID
    annotated_data: dict[str, Any]
    annotation_id: UUID | None = None
    extract_id: UUID | None = None
    extract_example_id: UUID | None = None
    document_url: str | None = None
    original_data: dict[str, Any] | None = None


class FieldSource(BaseModel):
    """Where a value was read: page from 1, boxes of its words, how sure."""

    confidence: float
    page: int | None = None
    boxes: list[Box] = []


class Extracted(BaseModel):
    """What was taken out of a document, with the places of the values by property."""

    data: dict[str, Any]
    sources: dict[str, FieldSource] = {}
    input_tokens: int = 0
    output_tokens: int = 0


class PageShare(BaseModel):
    """The input of one reading activity: pages of a document, by number."""

    ref: JobRef
    pages: list[int]
    total: int = Field(description="Pages of the whole job, for the fraction done.")


class ReadPlan(BaseModel):
    """What is left to read: shares of pages, and how many pages the job has."""

    shares: list[list[int]]
    total: int
    batch: BatchPlan | None = None


class ExtractionState(BatchRunState):
    """What an extraction carries through continue-as-new."""

    shares: list[list[int]] = Field(default=[])
    total: int = 0


class ExtractionOutcome(BaseModel):
    """What the extracting activity led to."""

    review: bool = Field(default=False, description="A review is wanted, and is PENDING now.")
    hold: bool = False
    awaits: bool = Field(default=False, description="Its calls wait for a batch; it comes again.")


class Change(BaseModel):
    """One correction; `path` as in `lines[2].price`."""

    path: str
    from_: Any = Field(alias="from")
    to: Any
    model_config = {"populate_by_name": True}


class Annotation(BaseModel):
    """A person's corrected data of a job."""

    id: UUID
    job_id: UUID
    document_url: str | None
    original: dict[str, Any]
    annotated: dict[str, Any]
    changes: list[Change]
    created_at: datetime
    updated_at: datetime


class ReviewNote(BaseModel):
    """One line of a job's review history."""

    at: datetime
    status: ReviewStatus
    by: UUID | None = None
    comment: str | None = None


class OpenedDocument(BaseModel):
    """What the document of an extraction turned out to be once it was opened."""

    kind: DocumentKind
    sha256: str = Field(description="Hex.")
    size: int
    pages_total: int
    pages: list[int] = Field(description="The numbers of the chosen pages.")
    variant: str = Field(description="Under which the pages are kept.")

    @property
    def digest(self) -> bytes:
        """Return the key under which the store keeps the document, its pages and their pictures."""
        return bytes.fromhex(self.sha256)


class Extraction(BaseModel):
    """An extraction as it was accepted and is stored, beside its job."""

    job_id: UUID
    extract_id: UUID
    file_name: str
    document_url: str | None
    sha256: str | None = Field(default=None, description="Hex; None until a document at a URL was fetched.")
    size: int | None = None
    request: dict[str, Any]
    metadata: dict[str, Any] | None
    extracted: Extracted | None
    template_id: UUID | None = None
    opened: OpenedDocument | None = Field(default=None, description="None until its job has opened the document.")


ExtractParams.model_rebuild()
