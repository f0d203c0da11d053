"""The tables of entities: indexes by generation, their entities, keys, pairs and labels."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from towpath.db.columns import column, timestamptz

REVISIONS = Sequence("entity_revisions", metadata=SQLModel.metadata)
"""Counts what is written to entities, over all indexes."""


class EntityIndexRow(SQLModel, table=True):
    """One generation of an index. A re-index builds the next generation beside the live one."""

    __tablename__ = "entity_indexes"
    __table_args__ = (
        Index(
            "entity_indexes_live", "organization", "name", unique=True, postgresql_where=text("state = 'live'")
        ),
        Index(
            "entity_indexes_building", "organization", "name", unique=True, postgresql_where=text("state = 'building'")
        ),
    )  # fmt: skip

    index_no: int | None = Field(default=None, sa_column=column(Integer, Identity(always=True), primary_key=True))
    organization: str = Field(sa_column=column(Text))
    name: str = Field(sa_column=column(Text))
    state: str = Field(
        default="live", description="live, building, dropping", sa_column=column(Text, default="'live'::text")
    )
    config: dict[str, Any] = Field(sa_column=column(JSONB))
    dynamic: bool = Field(
        default=False,
        description="the `default` index: fields are added as they appear",
        sa_column=column(Boolean, default="false"),
    )
    model: dict[str, Any] | None = Field(default=None, sa_column=column(JSONB, nullable=True))
    model_version: int = Field(default=0, sa_column=column(Integer, default="0"))
    model_entities: int = Field(
        default=0, description="entities stored when the model was trained", sa_column=column(BigInteger, default="0")
    )
    inferred: dict[str, Any] | None = Field(
        default=None,
        description="the structure that training has inferred, see `InferredStructure`",
        sa_column=column(JSONB, nullable=True),
    )
    reindex_job: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class EntityIndexCountRow(SQLModel, table=True):
    """How many entities a generation holds; apart, so that counting never blocks who reads the index."""

    __tablename__ = "entity_index_counts"
    __table_args__ = ({"postgresql_with": {"fillfactor": 50}},)

    index_no: int = Field(
        sa_column=column(Integer, ForeignKey("entity_indexes.index_no", ondelete="CASCADE"), primary_key=True)
    )
    entities: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    changes: int = Field(
        default=0,
        description="entities that were made, changed or removed, each time counted",
        sa_column=column(BigInteger, default="0"),
    )
    changed_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    trained_changes: int = Field(
        default=0, description="`changes` as of the training of the model", sa_column=column(BigInteger, default="0")
    )


class EntityRow(SQLModel, table=True):
    """A stored entity. `id_json` keeps the id's type; `keys` are packed int64; `group_uid` names its group."""

    __tablename__ = "entities"
    __table_args__ = (
        Index("entities_sku", "index_no", "sku", postgresql_where=text("sku IS NOT NULL")),
        Index("entities_group", "index_no", "group_uid", postgresql_where=text("group_uid IS NOT NULL")),
    )

    index_no: int = Field(sa_column=column(Integer, primary_key=True))
    uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    id_json: str = Field(sa_column=column(Text))
    sku: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    body: str = Field(sa_column=column(Text))
    digest: bytes = Field(sa_column=column(LargeBinary))
    values: str = Field(sa_column=column(Text))
    source: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    keys: bytes = Field(sa_column=column(LargeBinary))
    group_uid: int | None = Field(default=None, sa_column=column(BigInteger, nullable=True))
    batch: int | None = Field(
        default=None,
        description="the batch that brought it: the end of the id of its job; none for a single write",
        sa_column=column(Integer, nullable=True),
    )
    revision: int = Field(default=None, sa_column=column(BigInteger, default="nextval('entity_revisions')"))


class EntityPostingRow(SQLModel, table=True):
    """One blocking key of one entity: the inverted index."""

    __tablename__ = "entity_postings"

    index_no: int = Field(sa_column=column(Integer, primary_key=True))
    key: int = Field(sa_column=column(BigInteger, primary_key=True))
    uid: int = Field(sa_column=column(BigInteger, primary_key=True))


class EntityPairRow(SQLModel, table=True):
    """A scored pair, `left_uid < right_uid`; `bits` are the packed float32 contributions by field."""

    __tablename__ = "entity_pairs"
    __table_args__ = (
        CheckConstraint("left_uid < right_uid"),
        Index("entity_pairs_right", "index_no", "right_uid", "left_uid"),
        Index("entity_pairs_closed", "index_no", "left_uid", postgresql_where=text("closed")),
        Index("entity_pairs_basis", "index_no", "left_uid", postgresql_where=text("basis IS NOT NULL")),
        Index("entity_pairs_similarity", "index_no", text("similarity DESC"), "left_uid", "right_uid"),
    )

    index_no: int = Field(sa_column=column(Integer, primary_key=True))
    left_uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    right_uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    similarity: float = Field(sa_column=column(Double))
    bits: bytes = Field(sa_column=column(LargeBinary))
    duplicate: bool = Field(default=False, sa_column=column(Boolean, default="false"))
    closed: bool = Field(
        default=False,
        description="follows from the group alone; nothing is decided from it",
        sa_column=column(Boolean, default="false"),
    )
    model_version: int = Field(default=0, sa_column=column(Integer, default="0"))
    basis: str | None = Field(
        default=None,
        description="a Basis: what `similarity` has beyond what `bits` add up to; none: nothing",
        sa_column=column(Text, nullable=True),
    )


class EntityDirtyRow(SQLModel, table=True):
    """An entity whose pairs have changed since the verdicts of its component were last decided.

    One that was removed leaves its id here, and the group that it was in.
    """

    __tablename__ = "entity_dirty"
    __table_args__ = (
        Index("entity_dirty_gone", "index_no", "gone_group", postgresql_where=text("gone_group IS NOT NULL")),
    )

    index_no: int = Field(sa_column=column(Integer, primary_key=True))
    uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    gone_id: str | None = Field(default=None, sa_column=column(Text, nullable=True))
    gone_group: int | None = Field(default=None, sa_column=column(BigInteger, nullable=True))


class EntityLabelRow(SQLModel, table=True):
    """What a user says of a pair; belongs to the index's name and outlives its generations."""

    __tablename__ = "entity_labels"
    __table_args__ = (
        Index("entity_labels_right", "organization", "index_name", "right_uid"),
        Index("entity_labels_correction", "correction", postgresql_where=text("correction IS NOT NULL")),
    )

    organization: str = Field(sa_column=column(Text, primary_key=True))
    index_name: str = Field(sa_column=column(Text, primary_key=True))
    left_uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    right_uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    left_id: str = Field(sa_column=column(Text))
    right_id: str = Field(sa_column=column(Text))
    duplicate: bool = Field(sa_column=column(Boolean))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    correction: UUID | None = Field(
        default=None, description="the split or merge that it belongs to", sa_column=column(Uuid, nullable=True)
    )


class EntityJudgementRow(SQLModel, table=True):
    """What a language model says of a pair; belongs to the index's name and outlives its generations.

    It holds as long as both entities have the content that the model was shown.
    """

    __tablename__ = "entity_judgements"
    __table_args__ = (Index("entity_judgements_right", "organization", "index_name", "right_uid"),)

    organization: str = Field(sa_column=column(Text, primary_key=True))
    index_name: str = Field(sa_column=column(Text, primary_key=True))
    left_uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    right_uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    left_id: str = Field(sa_column=column(Text))
    right_id: str = Field(sa_column=column(Text))
    left_digest: bytes = Field(sa_column=column(LargeBinary))
    right_digest: bytes = Field(sa_column=column(LargeBinary))
    answer: str = Field(description="a JudgeAnswer", sa_column=column(Text))
    reason: str = Field(sa_column=column(Text))
    model: str = Field(sa_column=column(Text))
    job_id: UUID = Field(sa_column=column(Uuid))
    cost_usd: float = Field(sa_column=column(Double))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class EntityGroupRow(SQLModel, table=True):
    """A group of a generation. Its number is its name for as long as it lasts, also through the next generations."""

    __tablename__ = "entity_groups"
    __table_args__ = (Index("entity_groups_largest", "index_no", text("size DESC"), "group_uid"),)

    index_no: int = Field(sa_column=column(Integer, primary_key=True))
    group_uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    size: int = Field(sa_column=column(Integer))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class EntityEventLogRow(SQLModel, table=True):
    """Numbers the events of an index's name; `announced` is the last one that endpoints of webhooks were told of."""

    __tablename__ = "entity_event_logs"

    organization: str = Field(sa_column=column(Text, primary_key=True))
    index_name: str = Field(sa_column=column(Text, primary_key=True))
    last_seq: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    announced: int = Field(default=0, sa_column=column(BigInteger, default="0"))


class EntityEventRow(SQLModel, table=True):
    """One change of one group."""

    __tablename__ = "entity_events"
    __table_args__ = (
        Index("entity_events_group", "organization", "index_name", "group_uid", "seq"),
        Index("entity_events_at", "at"),
    )

    organization: str = Field(sa_column=column(Text, primary_key=True))
    index_name: str = Field(sa_column=column(Text, primary_key=True))
    seq: int = Field(sa_column=column(BigInteger, primary_key=True))
    at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    type: str = Field(sa_column=column(Text))
    group_uid: int = Field(sa_column=column(BigInteger))
    cause: str = Field(sa_column=column(Text))
    job_id: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    data: dict[str, Any] = Field(sa_column=column(JSONB))


class EntityCorrectionRow(SQLModel, table=True):
    """A split or a merge by a person: its labels carry its id; `names` and `replaced` are what an undo gives back."""

    __tablename__ = "entity_corrections"
    __table_args__ = (Index("entity_corrections_of", "organization", "index_name", "created_at"),)

    id: UUID = Field(sa_column=column(Uuid, primary_key=True))
    organization: str = Field(sa_column=column(Text))
    index_name: str = Field(sa_column=column(Text))
    kind: str = Field(sa_column=column(Text))
    groups: list[int] = Field(sa_column=column(ARRAY(BigInteger)))
    names: dict[str, Any] = Field(sa_column=column(JSONB))
    replaced: list[Any] = Field(sa_column=column(JSONB))
    created_by: UUID | None = Field(default=None, sa_column=column(Uuid, nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    undone_at: datetime | None = Field(default=None, sa_column=timestamptz(nullable=True))


class EntityGoldenRulesRow(SQLModel, table=True):
    """By which rules the values of golden records survive; belongs to the index's name and outlives its generations."""

    __tablename__ = "entity_golden_rules"

    organization: str = Field(sa_column=column(Text, primary_key=True))
    index_name: str = Field(sa_column=column(Text, primary_key=True))
    rules: dict[str, Any] = Field(sa_column=column(JSONB))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
