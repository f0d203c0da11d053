"""The tables of language models: paid answers, and the files that a model is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, BigInteger, Double, Index, Integer, LargeBinary, Text, Uuid
from sqlmodel import Field, SQLModel

from towpath.accounts.store.tables import references_organization
from towpath.db.columns import column, timestamptz
from towpath.jobs.store.tables import references_job


class LlmAnswerRow(SQLModel, table=True):
    """A paid answer, kept before anything else is done with it; `digest` is of model, prompt and form."""

    __tablename__ = "llm_answers"
    __table_args__ = (Index("llm_answers_by_time", "created_at"),)

    organization: str = Field(sa_column=column(Text, primary_key=True))
    digest: bytes = Field(sa_column=column(LargeBinary, primary_key=True))
    job_id: UUID = Field(sa_column=column(Uuid))
    attempt: int = Field(sa_column=column(Integer))
    answer: dict[str, Any] = Field(sa_column=column(JSON))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class LedgerRow(SQLModel, table=True):
    """A question that a provider was paid for, in one try; its job may be gone, and what it was asked is not kept."""

    __tablename__ = "llm_ledger"
    __table_args__ = (
        Index("llm_ledger_by_job", "job_id", "digest"),
        Index("llm_ledger_by_organization", "organization", "created_at"),
    )

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text))
    job_id: UUID = Field(sa_column=column(Uuid))
    kind: str = Field(description="the job's", sa_column=column(Text))
    attempt: int = Field(sa_column=column(Integer))
    model: str = Field(sa_column=column(Text))
    digest: bytes | None = Field(
        default=None,
        description="of the question; none: a sum of earlier ones",
        sa_column=column(LargeBinary, nullable=True),
    )
    purpose: str = Field(description="a Purpose", sa_column=column(Text))
    item: int | None = Field(default=None, sa_column=column(Integer, nullable=True))
    input_tokens: int = Field(sa_column=column(BigInteger))
    cache_read_tokens: int = Field(sa_column=column(BigInteger))
    cache_write_tokens: int = Field(sa_column=column(BigInteger))
    output_tokens: int = Field(sa_column=column(BigInteger))
    usd: float = Field(sa_column=column(Double))
    outcome: str = Field(description="answered, or the code of the failure", sa_column=column(Text))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class ReservationRow(SQLModel, table=True):
    """What a call may cost that is in flight, of a job with a cap; it lapses when its worker no longer renews it."""

    __tablename__ = "llm_reservations"
    __table_args__ = (Index("llm_reservations_by_job", "job_id"),)

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    job_id: UUID = Field(sa_column=column(Uuid, references_job()))
    usd: float = Field(sa_column=column(Double))
    until: datetime = Field(sa_column=timestamptz())


class AttachmentRow(SQLModel, table=True):
    """A source file: its text, or for an image its bytes in base64."""

    __tablename__ = "attachments"
    __table_args__ = (Index("attachments_by_organization", "organization", "created_at"),)

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    filename: str = Field(sa_column=column(Text))
    media_type: str = Field(sa_column=column(Text))
    mode: str = Field(description="text or image", sa_column=column(Text))
    size_bytes: int = Field(sa_column=column(BigInteger))
    sha256: str = Field(sa_column=column(Text))
    content: str = Field(sa_column=column(Text))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
