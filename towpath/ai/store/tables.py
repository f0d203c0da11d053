"""The tables of AI jobs: connections and models, conversations and what their questions have come to."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, Boolean, ForeignKey, Index, Integer, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from towpath.accounts.store.tables import references_organization
from towpath.ai.types import ModelKind
from towpath.db.columns import column, enum_text, timestamptz
from towpath.jobs.store.tables import references_job


class ConnectionRow(SQLModel, table=True):
    """A database that questions are asked of; `config` is sealed, the other columns are for people."""

    __tablename__ = "connections"
    __table_args__ = (Index("connections_of", "organization", "created_at"),)

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    name: str = Field(sa_column=column(Text))
    kind: str = Field(sa_column=column(Text))
    config: bytes = Field(sa_column=column(LargeBinary))
    path: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    host: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    database: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class ModelRow(SQLModel, table=True):
    """A semantic model; `content` is its own, to be laid over that of its base."""

    __tablename__ = "semantic_models"
    __table_args__ = (
        Index("semantic_models_of", "organization", text("created_at DESC"), text("id DESC")),
        Index("semantic_models_over", "base_model_id", postgresql_where=text("base_model_id IS NOT NULL")),
    )

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    connection_id: UUID = Field(sa_column=column(Uuid, ForeignKey("connections.id")))
    name: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    kind: ModelKind = Field(sa_column=enum_text(ModelKind))
    base_model_id: UUID | None = Field(
        default=None, sa_column=column(Uuid, ForeignKey("semantic_models.id"), nullable=True)
    )
    content: dict[str, Any] = Field(default_factory=dict, sa_column=column(JSONB, default="'{}'::jsonb"))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class ConversationRow(SQLModel, table=True):
    """A thread of questions; `user_id` null: nobody in person has asked."""

    __tablename__ = "conversations"
    __table_args__ = (Index("conversations_of", "organization", text("updated_at DESC"), text("id DESC")),)

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    user_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    model_id: UUID = Field(sa_column=column(Uuid))
    branch_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    name: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    last_prompt: str = Field(sa_column=column(Text))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class ChatLinkRow(SQLModel, table=True):
    """A link to a thread; who was given it is let in until it is revoked or expires.

    `write`: its bearer may ask and cancel.
    """

    __tablename__ = "chat_links"
    __table_args__ = (
        Index("chat_links_of", "conversation_id", "created_at"),
        Index("chat_links_end", "expires_at"),
    )

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    conversation_id: UUID = Field(sa_column=column(Uuid, ForeignKey("conversations.id", ondelete="CASCADE")))
    write: bool = Field(sa_column=column(Boolean))
    created_by: UUID | None = Field(
        default=None, description="the user or key that made it", sa_column=column(Uuid, nullable=True)
    )
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    expires_at: datetime = Field(sa_column=timestamptz())
    revoked_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class AiJobRow(SQLModel, table=True):
    """What an AI job has beside its job's row."""

    __tablename__ = "ai_jobs"

    job_id: UUID = Field(sa_column=column(Uuid, references_job(), primary_key=True))
    topic: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    iteration: int = Field(default=0, sa_column=column(Integer, default="0"))
    message: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    progress_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    summary: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    cancelled_by: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))


class AiActionRow(SQLModel, table=True):
    """A finished iteration of an AI job; `body` is a `StoredAction`."""

    __tablename__ = "ai_actions"

    job_id: UUID = Field(sa_column=column(Uuid, references_job(), primary_key=True))
    number: int = Field(sa_column=column(Integer, primary_key=True))
    body: dict[str, Any] = Field(sa_column=column(JSON))
