"""The tables of extraction: pages as they were read, what was taken out and how it was reviewed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, REAL, BigInteger, Boolean, ForeignKey, Index, Integer, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from towpath.accounts.store.tables import references_organization
from towpath.db.columns import column, timestamptz
from towpath.jobs.store.tables import references_job


class DocumentPageRow(SQLModel, table=True):
    """A page as it was read; `variant` says how, `body` is its content as compressed JSON."""

    __tablename__ = "document_pages"
    __table_args__ = (Index("document_pages_at", "at"),)

    organization: str = Field(sa_column=column(Text, primary_key=True))
    sha256: bytes = Field(sa_column=column(LargeBinary, primary_key=True))
    variant: str = Field(sa_column=column(Text, primary_key=True))
    page: int = Field(sa_column=column(Integer, primary_key=True))
    body: bytes = Field(sa_column=column(LargeBinary))
    confidence: float | None = Field(default=None, sa_column=column(REAL, nullable=True))
    at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    truncated: bool = Field(
        default=False, description="the page holds more than was kept of it", sa_column=column(Boolean, default="false")
    )


class DocumentImageRow(SQLModel, table=True):
    """A page's picture, a JPEG, for who reviews it."""

    __tablename__ = "document_images"

    organization: str = Field(sa_column=column(Text, primary_key=True))
    sha256: bytes = Field(sa_column=column(LargeBinary, primary_key=True))
    page: int = Field(sa_column=column(Integer, primary_key=True))
    data: bytes = Field(sa_column=column(LargeBinary))
    at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class ExtractionRow(SQLModel, table=True):
    """What an extraction has beside its job's row; what the document is, is known once it was opened."""

    __tablename__ = "extractions"
    __table_args__ = (
        Index("extractions_of_document", "organization", "sha256", postgresql_where=text("sha256 IS NOT NULL")),
    )

    job_id: UUID = Field(sa_column=column(Uuid, references_job(), primary_key=True))
    extract_id: UUID = Field(sa_column=column(Uuid))
    organization: str = Field(sa_column=column(Text))
    file_name: str = Field(sa_column=column(Text))
    document_url: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    kind: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    sha256: bytes | None = Field(default=None, sa_column=column(LargeBinary, nullable=True))
    size: int | None = Field(default=None, sa_column=column(BigInteger, nullable=True))
    pages_total: int | None = Field(default=None, sa_column=column(Integer, nullable=True))
    pages: list[int] | None = Field(default=None, sa_column=column(ARRAY(Integer), nullable=True))
    variant: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    request: dict[str, Any] = Field(sa_column=column(JSON))
    client_metadata: dict[str, Any] | None = Field(default=None, sa_column=column(JSON, name="metadata", nullable=True))
    extracted: dict[str, Any] | None = Field(default=None, sa_column=column(JSON, nullable=True))
    template_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))


class TemplateRow(SQLModel, table=True):
    """A saved way to extract."""

    __tablename__ = "templates"
    __table_args__ = (Index("templates_of", "organization", "created_at"),)

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    name: str = Field(sa_column=column(Text))
    json_schema: dict[str, Any] | None = Field(default=None, sa_column=column(JSON, name="schema", nullable=True))
    options: dict[str, Any] = Field(default_factory=dict, sa_column=column(JSON, default="'{}'::json"))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class ClassificationRow(SQLModel, table=True):
    """A saved choice of what a document may be."""

    __tablename__ = "classifications"

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    name: str = Field(sa_column=column(Text))
    options: list[Any] = Field(sa_column=column(JSON))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class AnnotationRow(SQLModel, table=True):
    """A correction of what was taken out, as it stands now."""

    __tablename__ = "annotations"
    __table_args__ = (Index("annotations_of", "job_id", "created_at"),)

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text))
    job_id: UUID = Field(sa_column=column(Uuid, references_job()))
    original: dict[str, Any] = Field(sa_column=column(JSON))
    annotated: dict[str, Any] = Field(sa_column=column(JSON))
    changes: list[Any] = Field(sa_column=column(JSON))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class AnnotationRevisionRow(SQLModel, table=True):
    """A correction as it stood at one time."""

    __tablename__ = "annotation_revisions"

    annotation_id: UUID = Field(
        sa_column=column(Uuid, ForeignKey("annotations.id", ondelete="CASCADE"), primary_key=True)
    )
    revision: int = Field(sa_column=column(Integer, primary_key=True))
    annotated: dict[str, Any] = Field(sa_column=column(JSON))
    changes: list[Any] = Field(sa_column=column(JSON))
    by: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class ReviewRow(SQLModel, table=True):
    """A step of a job's review: what was decided, by whom and when."""

    __tablename__ = "reviews"

    job_id: UUID = Field(sa_column=column(Uuid, references_job(), primary_key=True))
    number: int = Field(sa_column=column(Integer, primary_key=True))
    status: str = Field(sa_column=column(Text))
    by: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    comment: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    at: datetime = Field(default=None, sa_column=timestamptz(now=True))
