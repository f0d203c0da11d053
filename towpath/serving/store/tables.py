"""The tables of files and batches."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, BigInteger, Float, Index, Integer, LargeBinary, Text, Uuid
from sqlmodel import Field, SQLModel

from towpath.accounts.store.tables import references_organization
from towpath.db.columns import column, enum_text, timestamptz
from towpath.jobs.store.tables import references_job
from towpath.serving.types import BatchStatus, FilePurpose


class ServedFileRow(SQLModel, table=True):
    """A file; its bytes are a blob whose key is the file's id."""

    __tablename__ = "served_files"
    __table_args__ = (
        Index("served_files_by_organization", "organization", "created_at", "id"),
        Index("served_files_by_expiry", "expires_at"),
    )

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    filename: str = Field(sa_column=column(Text))
    purpose: FilePurpose = Field(sa_column=enum_text(FilePurpose))
    size: int = Field(sa_column=column(BigInteger))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    expires_at: datetime = Field(sa_column=timestamptz())


class ServedBatchRow(SQLModel, table=True):
    """A batch beside its job: what its API shows of it. `cost_usd` and tokens are those of all its lines."""

    __tablename__ = "served_batches"
    __table_args__ = (Index("served_batches_by_organization", "organization", "created_at", "job_id"),)

    job_id: UUID = Field(sa_column=column(Uuid, references_job(), primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    endpoint: str = Field(sa_column=column(Text))
    input_file_id: UUID = Field(sa_column=column(Uuid))
    completion_window: str = Field(sa_column=column(Text))
    metadata_: dict[str, str] | None = Field(default=None, sa_column=column(JSON, name="metadata", nullable=True))
    output_seconds: int | None = Field(default=None, sa_column=column(Integer, nullable=True))
    status: BatchStatus = Field(sa_column=enum_text(BatchStatus))
    model: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    errors: list[dict[str, Any]] | None = Field(default=None, sa_column=column(JSON, nullable=True))
    output_file_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    error_file_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    expires_at: datetime = Field(sa_column=timestamptz())
    in_progress_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    finalizing_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    cancelling_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    ended_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class ServedLineRow(SQLModel, table=True):
    """A request of a batch, and its answer once there is one: kept the moment it comes."""

    __tablename__ = "served_lines"

    job_id: UUID = Field(sa_column=column(Uuid, references_job(), primary_key=True))
    number: int = Field(description="of the request, from 0", sa_column=column(Integer, primary_key=True))
    custom_id: str = Field(sa_column=column(Text))
    model: str = Field(description="the whole key", sa_column=column(Text))
    body: bytes = Field(sa_column=column(LargeBinary))
    status: int | None = Field(default=None, description="HTTP status", sa_column=column(Integer, nullable=True))
    request_id: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    response: bytes | None = Field(default=None, sa_column=column(LargeBinary, nullable=True))
    input_tokens: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    cached_tokens: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    output_tokens: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    reasoning_tokens: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    cost_usd: float = Field(default=0.0, sa_column=column(Float, default="0"))
