"""The tables of language models: paid answers, the files that a model is shown, and what providers may be asked."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, BigInteger, Boolean, Double, Index, Integer, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
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


class LlmPoolRow(SQLModel, table=True):
    """What all processes have stated of one provider under one key, and what they got.

    Not logged, as rate counters: it lasts some seconds, and to lose it with a crash of Postgres is no loss.
    """

    __tablename__ = "llm_pools"
    __table_args__ = ({"prefixes": ["UNLOGGED"], "postgresql_with": {"fillfactor": 50}},)

    digest: bytes = Field(
        description="of the provider's name and the key", sa_column=column(LargeBinary, primary_key=True)
    )
    provider: str = Field(sa_column=column(Text))
    state: dict[str, Any] = Field(sa_column=column(JSONB))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


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


class LlmBatchRow(SQLModel, table=True):
    """A batch of calls at a provider; it is named, with all of its calls, before anything of it is sent."""

    __tablename__ = "llm_batches"
    __table_args__ = (
        Index("llm_batches_by_job", "job_id"),
        Index("llm_batches_open", "named_at", postgresql_where=text("state <> 'closed'")),
    )

    id: UUID = Field(sa_column=column(Uuid, primary_key=True))
    name: str = Field(sa_column=column(Text, unique=True))
    organization: str = Field(sa_column=column(Text))
    job_id: UUID = Field(sa_column=column(Uuid))
    attempt: int = Field(description="That has named it.", sa_column=column(Integer))
    model: str = Field(sa_column=column(Text))
    state: str = Field(sa_column=column(Text))
    calls: int = Field(sa_column=column(Integer))
    answered: int = Field(sa_column=column(Integer, default="0"))
    failed: int = Field(sa_column=column(Integer, default="0"))
    remote_id: str | None = Field(description="The provider's id.", sa_column=column(Text, nullable=True))
    file_id: str | None = Field(description="The provider's id of its input.", sa_column=column(Text, nullable=True))
    remote_state: str | None = Field(description="The provider's word.", sa_column=column(Text, nullable=True))
    problem: str | None = Field(sa_column=column(Text, nullable=True))
    named_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    sending_at: datetime | None = Field(sa_column=timestamptz(nullable=True))
    sent_at: datetime | None = Field(sa_column=timestamptz(nullable=True))
    cancelled_at: datetime | None = Field(sa_column=timestamptz(nullable=True))
    closed_at: datetime | None = Field(sa_column=timestamptz(nullable=True))


class LlmAwaitedCallRow(SQLModel, table=True):
    """A call of a job that a batch is to answer; its digest is that of the answer."""

    __tablename__ = "llm_awaited_calls"
    __table_args__ = (
        Index("llm_awaited_calls_of_batch", "batch_id", "number"),
        Index("llm_awaited_calls_unsent", "job_id", postgresql_where=text("state = 'awaited'")),
        Index("llm_awaited_calls_by_time", "created_at"),
    )

    job_id: UUID = Field(sa_column=column(Uuid, primary_key=True))
    digest: bytes = Field(sa_column=column(LargeBinary, primary_key=True))
    organization: str = Field(sa_column=column(Text))
    model: str = Field(sa_column=column(Text))
    plain_json: bool = Field(sa_column=column(Boolean))
    prompt: dict[str, Any] = Field(description="What the answer is read by.", sa_column=column(JSON))
    site: dict[str, Any] | None = Field(
        description="Where in the job it is asked, for the books.", sa_column=column(JSON, nullable=True)
    )
    body: bytes = Field(description="What is sent; empty once it is settled.", sa_column=column(LargeBinary))
    state: str = Field(sa_column=column(Text))
    batch_id: UUID | None = Field(sa_column=column(Uuid, nullable=True))
    number: int | None = Field(description="Its place in the batch.", sa_column=column(Integer, nullable=True))
    reply: bytes | None = Field(
        description="An answer that could not be used, for the repair.", sa_column=column(LargeBinary, nullable=True)
    )
    problem: str | None = Field(sa_column=column(Text, nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
