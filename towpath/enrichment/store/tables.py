"""The tables of enrichment: schemas and records."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, BigInteger, Boolean, Double, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from towpath.accounts.store.tables import references_organization
from towpath.db.columns import column, timestamptz


class SchemaRow(SQLModel, table=True):
    """A saved schema; its content is that of its newest version."""

    __tablename__ = "schemas"
    __table_args__ = (
        Index("schemas_by_name", "organization", "name", unique=True, postgresql_where=text("deleted_at IS NULL")),
    )

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    name: str = Field(sa_column=column(Text))
    version: int = Field(default=1, sa_column=column(Integer, default="1"))
    tags: list[str] = Field(default_factory=list, sa_column=column(ARRAY(Text), default="'{}'::text[]"))
    is_pinned: bool = Field(default=False, sa_column=column(Boolean, default="false"))
    property_count: int = Field(default=0, sa_column=column(Integer))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class SchemaVersionRow(SQLModel, table=True):
    """What a schema was at one time."""

    __tablename__ = "schema_versions"

    schema_id: UUID = Field(sa_column=column(Uuid, ForeignKey("schemas.id", ondelete="CASCADE"), primary_key=True))
    version: int = Field(sa_column=column(Integer, primary_key=True))
    content: dict[str, Any] = Field(sa_column=column(JSON))
    entity_samples: list[Any] | None = Field(default=None, sa_column=column(JSON, nullable=True))
    note: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class RecordRow(SQLModel, table=True):
    """One entity's result with one model, or fused from several. The id follows from job, entity and model."""

    __tablename__ = "records"
    __table_args__ = (
        Index("records_by_time", "organization", text("created_at DESC"), "id"),
        Index("records_by_job", "job_id", "entity_index"),
        Index("records_by_entity", "organization", "entity_id"),
    )

    id: UUID = Field(sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    type: str = Field(description="enrichment or fusion", sa_column=column(Text))
    success: bool = Field(sa_column=column(Boolean))
    partial_success: bool = Field(default=False, sa_column=column(Boolean, default="false"))
    job_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    entity_index: int = Field(default=0, sa_column=column(Integer, default="0"))
    entity_id: UUID = Field(sa_column=column(Uuid))
    entity_name: str = Field(sa_column=column(Text))
    model_composite_key: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    schema_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    schema_version: int | None = Field(default=None, sa_column=column(Integer, nullable=True))
    schema_content: dict[str, Any] = Field(sa_column=column(JSON))
    strategy: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    languages: list[str] = Field(default_factory=list, sa_column=column(ARRAY(Text), default="'{}'::text[]"))
    origin: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    structured_output: dict[str, Any] | None = Field(default=None, sa_column=column(JSON, nullable=True))
    entity_input_data: dict[str, Any] | None = Field(default=None, sa_column=column(JSON, nullable=True))
    attachment_ids: list[UUID] = Field(default_factory=list, sa_column=column(ARRAY(Uuid), default="'{}'::uuid[]"))
    prompt_version: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    expertises: list[Any] = Field(default_factory=list, sa_column=column(JSON, default="'[]'::json"))
    validation_errors: list[Any] = Field(default_factory=list, sa_column=column(JSON, default="'[]'::json"))
    validation_warnings: list[Any] = Field(default_factory=list, sa_column=column(JSON, default="'[]'::json"))
    fusion: dict[str, Any] | None = Field(default=None, sa_column=column(JSON, nullable=True))
    fusion_sources: list[UUID] | None = Field(default=None, sa_column=column(ARRAY(Uuid), nullable=True))
    error_code: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    error_message: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    cost_usd: float = Field(default=0.0, sa_column=column(Double, default="0"))
    input_tokens: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    output_tokens: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    processing_time_ms: int = Field(default=0, sa_column=column(Integer, default="0"))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class CorrectionRow(SQLModel, table=True):
    """The right value of a field of a record, as a person gave it; JSON null: there is none."""

    __tablename__ = "record_corrections"
    __table_args__ = (Index("record_corrections_by_time", "organization", "created_at"),)

    record_id: UUID = Field(sa_column=column(Uuid, ForeignKey("records.id", ondelete="CASCADE"), primary_key=True))
    field: str = Field(description="Its path, dotted.", sa_column=column(Text, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    value: Any = Field(default=None, sa_column=column(JSON, nullable=True))
    user_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    key_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
