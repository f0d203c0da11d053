"""The tables of files."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text, Uuid
from sqlmodel import Field, SQLModel

from towpath.accounts.store.tables import references_organization
from towpath.db.columns import column, timestamptz


class BlobRow(SQLModel, table=True):
    """A file by its digest, or by a key of its own; its bytes are the chunks of one upload."""

    __tablename__ = "blobs"
    __table_args__ = (Index("blobs_used", "used_at"), Index("blobs_upload", "upload_id", unique=True))

    organization: str = Field(sa_column=column(Text, references_organization(), primary_key=True))
    sha256: bytes = Field(sa_column=column(LargeBinary, primary_key=True))
    size: int = Field(sa_column=column(BigInteger))
    chunks: int = Field(sa_column=column(Integer))
    used_at: datetime = Field(default=None, sa_column=timestamptz(now=True))
    upload_id: UUID = Field(sa_column=column(Uuid))


class BlobChunkRow(SQLModel, table=True):
    """A piece of an upload, written before it is known whether the file is there already."""

    __tablename__ = "blob_chunks"

    upload_id: UUID = Field(sa_column=column(Uuid, primary_key=True))
    number: int = Field(sa_column=column(Integer, primary_key=True))
    data: bytes = Field(sa_column=column(LargeBinary))
    at: datetime = Field(default=None, sa_column=timestamptz(now=True))
