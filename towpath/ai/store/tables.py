"""The tables of AI jobs that are read and written row by row."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Column, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from towpath.ai.types import ModelKind
from towpath.db.columns import moment, word


class ConnectionRow(SQLModel, table=True):
    """A database that questions are asked of; `config` is sealed, the other columns are for people."""

    __tablename__ = "connections"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    organization: str
    name: str
    kind: str
    config: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    path: str | None = None
    host: str | None = None
    database: str | None = None
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    updated_at: datetime = Field(default=None, sa_column=moment(now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=moment(required=False))


class ModelRow(SQLModel, table=True):
    """A semantic model; `content` is its own, to be laid over that of its base."""

    __tablename__ = "semantic_models"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    organization: str
    connection_id: UUID
    name: str | None = None
    kind: ModelKind = Field(sa_column=word(ModelKind))
    base_model_id: UUID | None = None
    content: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(default=None, sa_column=moment(now=True))
    updated_at: datetime = Field(default=None, sa_column=moment(now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=moment(required=False))
