"""The tables of vectors: collections, objects with their parts, and answers that have more pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from towpath.db.columns import column, enum_text, timestamptz
from towpath.vectors.types import Collection

ORDERS = Sequence("vector_orders", metadata=SQLModel.metadata)
"""The order in which tasks are accepted."""


class VectorCollectionRow(SQLModel, table=True):
    """A collection of a tenant: one for each kind and embedding model.

    `collected` counts what was taken out of the index; `indexed` false: the index lacks entries.
    """

    __tablename__ = "vector_collections"
    __table_args__ = (UniqueConstraint("organization", "name", "model"), {"postgresql_with": {"fillfactor": 50}})

    collection_no: int | None = Field(default=None, sa_column=column(Integer, Identity(always=True), primary_key=True))
    organization: str = Field(sa_column=column(Text))
    name: Collection = Field(sa_column=enum_text(Collection))
    model: str = Field(sa_column=column(Text))
    objects: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    collected: int = Field(default=0, sa_column=column(BigInteger, default="0"))
    indexed: bool = Field(default=True, sa_column=column(Boolean, default="true"))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class VectorObjectRow(SQLModel, table=True):
    """An object, or with `version` null the mark that it was deleted.

    `accepted` is the place in the order of acceptance of the task that wrote last; a task that was
    accepted earlier changes nothing any more. `version` names the vectors that are live.
    """

    __tablename__ = "vector_objects"
    __table_args__ = (
        Index(
            "vector_objects_payload", "payload", postgresql_using="gin", postgresql_ops={"payload": "jsonb_path_ops"}
        ),
        Index("vector_objects_gone", "accepted", postgresql_where=text("version IS NULL")),
        Index("vector_objects_version", "collection_no", "version", postgresql_where=text("version IS NOT NULL")),
        {"postgresql_with": {"fillfactor": 80}},
    )

    collection_no: int = Field(sa_column=column(Integer, primary_key=True))
    uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    object_id: str = Field(sa_column=column(Text))
    accepted: int = Field(sa_column=column(BigInteger))
    version: int | None = Field(default=None, sa_column=column(BigInteger, nullable=True))
    parts: int = Field(default=0, sa_column=column(Integer, default="0"))
    digest: bytes | None = Field(default=None, sa_column=column(LargeBinary, nullable=True))
    payload: dict[str, Any] | None = Field(default=None, sa_column=column(JSONB, nullable=True))
    item_info: dict[str, Any] | None = Field(default=None, sa_column=column(JSONB, nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    updated_at: datetime = Field(default=None, sa_column=timestamptz(now=True))


class VectorEntryRow(SQLModel, table=True):
    """A distinct vector, little-endian float32 of length 1: the truth that the vector index is built from."""

    __tablename__ = "vector_entries"

    collection_no: int = Field(sa_column=column(Integer, primary_key=True))
    entry: int = Field(sa_column=column(BigInteger, primary_key=True))
    vector: bytes = Field(sa_column=column(LargeBinary))


class VectorPartRow(SQLModel, table=True):
    """A part of an object's text, and the vector that it has."""

    __tablename__ = "vector_parts"
    __table_args__ = (
        ForeignKeyConstraint(["collection_no", "entry"], ["vector_entries.collection_no", "vector_entries.entry"]),
        Index("vector_parts_entry", "collection_no", "entry"),
    )

    collection_no: int = Field(sa_column=column(Integer, primary_key=True))
    uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    version: int = Field(sa_column=column(BigInteger, primary_key=True))
    part: int = Field(sa_column=column(Integer, primary_key=True))
    entry: int = Field(sa_column=column(BigInteger))


class VectorAnswerRow(SQLModel, table=True):
    """The answer to a search that has more pages: which objects in which order, as far as it is known."""

    __tablename__ = "vector_answers"
    __table_args__ = (
        Index("vector_answers_question", "collection_no", "question", "id"),
        Index("vector_answers_collection", "collection_no", "id"),
        Index("vector_answers_expiry", "expires_at"),
    )

    id: int | None = Field(default=None, sa_column=column(BigInteger, Identity(always=True), primary_key=True))
    collection_no: int = Field(sa_column=column(Integer))
    question: bytes = Field(sa_column=column(LargeBinary))
    places: bytes = Field(sa_column=column(LargeBinary))
    complete: bool = Field(sa_column=column(Boolean))
    total: int | None = Field(default=None, sa_column=column(BigInteger, nullable=True))
    served: int = Field(sa_column=column(Integer))
    revision: int = Field(default=0, sa_column=column(Integer, default="0"))
    expires_at: datetime = Field(sa_column=timestamptz())


class VectorGarbageRow(SQLModel, table=True):
    """A version that is in the vector index, or may be, and is not live: deleted once it is due."""

    __tablename__ = "vector_garbage"
    __table_args__ = (Index("vector_garbage_due", "due_at"),)

    collection_no: int = Field(sa_column=column(Integer, primary_key=True))
    uid: int = Field(sa_column=column(BigInteger, primary_key=True))
    version: int = Field(sa_column=column(BigInteger, primary_key=True))
    parts: int = Field(sa_column=column(Integer))
    due_at: datetime = Field(sa_column=timestamptz())
