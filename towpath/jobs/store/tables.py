"""The tables of jobs of any kind; those of a feature stand beside its stores, in a module of the same name.

`migrations/` makes the tables; a test holds that both agree. What a table has besides its columns (triggers, the
storage of a column) is in the migrations only.

Bulk columns are packed (`bytea` of little-endian numbers, JSON text) because a chunk of
thousands of entities is written and read as a whole, and a number a row costs ten times more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    TIMESTAMP,
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from towpath.db.columns import column, enum_text, timestamptz
from towpath.jobs.types import JobState


def references_job(*, deferred: bool = False) -> ForeignKey:
    """Declare the job that a row goes with; `deferred`: the row may be written before its job."""
    return ForeignKey(
        "jobs.id",
        ondelete="CASCADE",
        deferrable=True if deferred else None,
        initially="DEFERRED" if deferred else None,
    )


class IdempotencyRow(SQLModel, table=True):
    """The first answer to an Idempotency-Key, kept for 24 h."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_created", "created_at"),)

    organization: str = Field(sa_column=column(Text, primary_key=True))
    route: str = Field(sa_column=column(Text, primary_key=True))
    key: str = Field(sa_column=column(Text, primary_key=True))
    digest: bytes = Field(sa_column=column(LargeBinary))
    status: int = Field(sa_column=column(Integer))
    body: str = Field(sa_column=column(Text))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


OPEN_STATES = text("state IN ('PENDING', 'RUNNING', 'PAUSED')")
LISTED = ["kind", "state", "retrying", "review_status", "template_id"]
"""What the list of jobs filters by, beside times and users."""


class JobRow(SQLModel, table=True):
    """One job of any kind: the projection that lists and status are answered from."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(
            "jobs_external", "organization", "kind", "external_id",
            unique=True, postgresql_where=text("external_id IS NOT NULL"),
        ),
        Index(
            "jobs_newest", "organization", text("created_at DESC"), text("id DESC"),
            postgresql_include=[*LISTED, "user_id"],
        ),
        Index(
            "jobs_of_user", "organization", "user_id", "created_at",
            postgresql_include=LISTED, postgresql_where=text("user_id IS NOT NULL"),
        ),
        Index("jobs_by_kind", "organization", "kind", text("created_at DESC"), "id"),
        Index("jobs_open", "updated_at", postgresql_where=OPEN_STATES),
        Index("jobs_in_flight", "organization", postgresql_where=OPEN_STATES),
        Index("jobs_ended", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
        Index(
            "jobs_one_active", "conversation_id", unique=True,
            postgresql_where=text("conversation_id IS NOT NULL AND state IN ('PENDING', 'RUNNING', 'PAUSED')"),
        ),
        Index(
            "jobs_of_conversation", "conversation_id", "created_at",
            postgresql_where=text("conversation_id IS NOT NULL"),
        ),
        {"postgresql_with": {"fillfactor": 70}},
    )  # fmt: skip

    id: UUID = Field(default_factory=uuid4, sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text))
    kind: str = Field(sa_column=column(Text))
    external_id: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    state: JobState = Field(default=JobState.PENDING, sa_column=enum_text(JobState))
    attempt: int = Field(default=1, sa_column=column(Integer, default="1"))
    phase: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    fraction: float = Field(default=0.0, sa_column=column(Double, default="0"))
    window_size: int | None = Field(default=None, sa_column=column(Integer, nullable=True))
    params: dict[str, Any] = Field(default_factory=dict, sa_column=column(JSONB, default="'{}'::jsonb"))
    digest: bytes | None = Field(default=None, sa_column=column(LargeBinary, nullable=True))
    total: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    processed: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    succeeded: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    failed: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    skipped: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    cancelling: bool = Field(default=False, sa_column=column(Boolean, default="false"))
    restart_requested: bool = Field(default=False, sa_column=column(Boolean, default="false"))
    error_code: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    error_message: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    result: dict[str, Any] | None = Field(default=None, sa_column=column(JSON, nullable=True))
    warnings: list[dict[str, Any]] = Field(default_factory=list, sa_column=column(JSONB, default="'[]'::jsonb"))
    cost_usd: float = Field(default=0.0, sa_column=column(Double, default="0"))
    input_tokens: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    output_tokens: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    max_cost_usd: float | None = Field(
        default=None, description="what its models may cost; none: no cap", sa_column=column(Double, nullable=True)
    )
    last_seq: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    created_by: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    conversation_id: UUID | None = Field(
        default=None, description="of which one job at a time is active", sa_column=column(Uuid, nullable=True)
    )
    user_id: UUID | None = Field(
        default=None, description="whose job it is; none: the organization's", sa_column=column(Uuid, nullable=True)
    )
    review_status: str | None = Field(
        default=None, description="a ReviewStatus; none: no review is wanted", sa_column=column(Text, nullable=True)
    )
    template_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    retrying: bool = Field(
        default=False,
        description="a step has failed and waits for its next attempt",
        sa_column=column(Boolean, default="false"),
    )
    retries: dict[str, Any] = Field(
        default_factory=dict,
        description="those steps, by their activity",
        sa_column=column(JSONB, default="'{}'::jsonb"),
    )
    waiting: dict[str, Any] | None = Field(
        default=None, description="for which provider requests waited last", sa_column=column(JSONB, nullable=True)
    )
    state_changed_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    started_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    completed_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    deadline: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class JobEventRow(SQLModel, table=True):
    """One line of a job's stream; `key` makes an activity's retry write nothing."""

    __tablename__ = "job_events"
    __table_args__ = (Index("job_events_key", "job_id", "key", unique=True, postgresql_where=text("key IS NOT NULL")),)

    job_id: UUID = Field(sa_column=column(Uuid, references_job(), primary_key=True))
    seq: int = Field(sa_column=column(BigInteger, primary_key=True))
    key: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    type: str = Field(sa_column=column(Text))
    data: dict[str, Any] = Field(sa_column=column(JSON))
    at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class JobPageRow(SQLModel, table=True):
    """A staged page of items, and what has become of each.

    `body` is zlib-compressed NDJSON, `uids` one int64 an item, `outcomes` one byte an item
    (`domain.jobs.Outcome`), `steps` the number of phases that the page has been through.
    """

    __tablename__ = "job_pages"
    __table_args__ = ({"postgresql_with": {"fillfactor": 70}},)

    job_id: UUID = Field(sa_column=column(Uuid, references_job(deferred=True), primary_key=True))
    page: int = Field(sa_column=column(Integer, primary_key=True))
    first_index: int = Field(sa_column=column(BigInteger))
    items: int = Field(sa_column=column(Integer))
    body: bytes = Field(sa_column=column(LargeBinary))
    uids: bytes = Field(sa_column=column(LargeBinary))
    outcomes: bytes = Field(sa_column=column(LargeBinary))
    steps: int = Field(default=0, sa_column=column(SmallInteger, default="0"))


class JobFailureRow(SQLModel, table=True):
    """A failed item of a job."""

    __tablename__ = "job_failures"

    job_id: UUID = Field(sa_column=column(Uuid, references_job(deferred=True), primary_key=True))
    item_index: int = Field(sa_column=column(BigInteger, primary_key=True))
    item_id: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    stage: str = Field(sa_column=column(Text))
    code: str = Field(sa_column=column(Text))
    message: str = Field(sa_column=column(Text))
    item: str | None = Field(default=None, description="the item as it was sent", sa_column=column(Text, nullable=True))


class OutageRow(SQLModel, table=True):
    """Since when a call of an attempt fails; `call` is a digest of what is called."""

    __tablename__ = "outages"

    job_id: UUID = Field(sa_column=column(Uuid, references_job(), primary_key=True))
    attempt: int = Field(sa_column=column(Integer, primary_key=True))
    call: bytes = Field(sa_column=column(LargeBinary, primary_key=True))
    since: datetime = Field(sa_column=timestamptz())
    tries: int = Field(default=1, sa_column=column(Integer, default="1"))


class JobDeltaRow(SQLModel, table=True):
    """What happened to jobs and is not yet in the counts; triggers of `jobs` write it."""

    __tablename__ = "job_deltas"
    __table_args__ = (
        Index("job_deltas_of", "organization", "created_at"),
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 5000}},
    )

    seq: int | None = Field(default=None, sa_column=column(BigInteger, Identity(always=True), primary_key=True))
    organization: str = Field(sa_column=column(Text))
    created_at: datetime = Field(sa_column=timestamptz())
    kind: str = Field(sa_column=column(Text))
    state: str = Field(sa_column=column(Text))
    retrying: bool = Field(sa_column=column(Boolean))
    review_status: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    template_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    owned: bool = Field(sa_column=column(Boolean))
    jobs: int = Field(sa_column=column(Integer))


class JobBlockRow(SQLModel, table=True):
    """A stretch of `created_at`, up to the next of its level: 0 blocks, 1 spans of many blocks."""

    __tablename__ = "job_blocks"

    organization: str = Field(sa_column=column(Text, primary_key=True))
    level: int = Field(sa_column=column(SmallInteger, primary_key=True))
    from_at: datetime = Field(sa_column=column(TIMESTAMP(timezone=True), primary_key=True))
    jobs: int = Field(sa_column=column(BigInteger))
    split_at: int = Field(default=0, sa_column=column(BigInteger, default="0"))


class JobFacetRow(SQLModel, table=True):
    """Jobs that are alike in all that the list filters by; without a template it is jobs of any."""

    __tablename__ = "job_facets"
    __table_args__ = (
        Index(
            "job_facets_once", "organization", "template_id", "kind", "state", "retrying", "review_status", "owned",
            unique=True, postgresql_nulls_not_distinct=True,
        ),
        {"postgresql_with": {"fillfactor": 70}},
    )  # fmt: skip

    facet: int | None = Field(default=None, sa_column=column(BigInteger, Identity(always=True), primary_key=True))
    organization: str = Field(sa_column=column(Text))
    template_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    kind: str = Field(sa_column=column(Text))
    state: str = Field(sa_column=column(Text))
    retrying: bool = Field(sa_column=column(Boolean))
    review_status: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    owned: bool = Field(sa_column=column(Boolean))
    jobs: int = Field(sa_column=column(BigInteger))


class JobCountRow(SQLModel, table=True):
    """How many jobs of a facet there are in a stretch."""

    __tablename__ = "job_counts"
    __table_args__ = (
        PrimaryKeyConstraint("facet", "level", "from_at", postgresql_include=["jobs"]),
        Index("job_counts_empty", "facet", postgresql_where=text("jobs = 0")),
    )

    facet: int = Field(sa_column=column(BigInteger, primary_key=True))
    level: int = Field(sa_column=column(SmallInteger, primary_key=True))
    from_at: datetime = Field(sa_column=column(TIMESTAMP(timezone=True), primary_key=True))
    jobs: int = Field(sa_column=column(BigInteger))
