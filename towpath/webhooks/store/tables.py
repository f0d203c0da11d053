"""The tables of webhooks: endpoints of organizations and of single jobs, and what is delivered to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, TIMESTAMP, Boolean, Index, Integer, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from towpath.accounts.store.tables import references_organization
from towpath.db.columns import column, timestamptz
from towpath.jobs.store.tables import references_job


class WebhookRow(SQLModel, table=True):
    """An endpoint of an organization; both secrets are sealed, the previous one signs too until its time is over."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("webhooks_of", "organization", "created_at"),)

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    url: str = Field(sa_column=column(Text))
    secret: bytes = Field(sa_column=column(LargeBinary))
    previous_secret: bytes | None = Field(default=None, sa_column=column(LargeBinary, nullable=True))
    previous_until: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    events: list[str] = Field(sa_column=column(ARRAY(Text)))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    disabled_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class JobWebhookRow(SQLModel, table=True):
    """The endpoint of one job; the client's own data are sent with each of its events."""

    __tablename__ = "job_webhooks"

    job_id: UUID = Field(sa_column=column(Uuid, references_job(), primary_key=True))
    url: str = Field(sa_column=column(Text))
    secret: bytes | None = Field(default=None, sa_column=column(LargeBinary, nullable=True))
    client_metadata: dict[str, Any] | None = Field(default=None, sa_column=column(JSON, name="metadata", nullable=True))


class DeliveryRow(SQLModel, table=True):
    """One event to one endpoint; `tries` holds each attempt, `run` counts how often it was sent anew."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(
            "deliveries_once", "job_id", "attempt", "event", "step", text("COALESCE(webhook_id, job_id)"), unique=True
        ),
        Index("deliveries_of", "organization", text("created_at DESC"), text("id DESC")),
        Index("deliveries_of_no_job", "created_at", postgresql_where=text("job_id IS NULL")),
        Index("deliveries_due", "next_attempt_at", postgresql_where=text("state = 'PENDING'")),
    )  # fmt: skip

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text, references_organization()))
    job_id: UUID | None = Field(default=None, sa_column=column(Uuid, references_job(), nullable=True))
    attempt: int = Field(sa_column=column(Integer))
    webhook_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    url: str = Field(sa_column=column(Text))
    event: str = Field(sa_column=column(Text))
    event_id: str = Field(sa_column=column(Text))
    body: str = Field(sa_column=column(Text))
    state: str = Field(default="PENDING", sa_column=column(Text, default="'PENDING'::text"))
    run: int = Field(default=1, sa_column=column(Integer, default="1"))
    tries: list[dict[str, Any]] = Field(default_factory=list, sa_column=column(JSON, default="'[]'::json"))
    next_attempt_at: datetime | None = Field(
        default=None, sa_column=column(TIMESTAMP(timezone=True), nullable=True, default="now()")
    )
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    step: int = Field(default=0, sa_column=column(Integer, default="0"))
    once: bool = Field(default=False, sa_column=column(Boolean, default="false"))
