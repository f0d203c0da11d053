"""The tables of language models: paid answers, the files that a model is shown, and what providers may be asked."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, BigInteger, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from towpath.accounts.store.tables import references_organization
from towpath.db.columns import column, timestamptz


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
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    digest: bytes = Field(
        description="of the provider's name and the key", sa_column=column(LargeBinary, primary_key=True)
    )
    provider: str = Field(sa_column=column(Text))
    state: dict[str, Any] = Field(sa_column=column(JSONB))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


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
