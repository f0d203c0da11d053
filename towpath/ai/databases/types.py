"""Databases that questions are asked of: how they are reached, what they hold, what a query brings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from towpath.ai.semantic_types import DataType


class DatabaseKind(StrEnum):
    """Which database; also the dialect that is written for it."""

    DUCKDB = "duckdb"
    POSTGRES = "postgres"


class DatabaseConfig(BaseModel):
    """How a database is reached; kept sealed, because it may hold a password."""

    kind: DatabaseKind
    path: Annotated[str, Field(max_length=1000)] | None = Field(
        default=None, description="A DuckDB file below the folder that the deployment names."
    )
    url: Annotated[str, Field(max_length=2000)] | None = Field(
        default=None, repr=False, description="postgresql://user:password@host:port/database"
    )


class Limits(BaseModel):
    """What one query may take."""

    rows: int = Field(default=10_000, ge=1, le=100_000)
    seconds: float = Field(default=30.0, gt=0, le=600)


class Rows(BaseModel):
    """What a query brought."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    truncated: bool = Field(description="There were more rows than the limit.")
    seconds: float


class TableColumn(BaseModel):
    """A column as the database tells it."""

    name: str
    type: DataType | None = Field(description="None: a kind that no question can use.")
    key: bool = Field(default=False, description="Part of the primary key.")


class ForeignKey(BaseModel):
    """Columns that name a row of another table."""

    columns: list[str]
    table: str
    references: list[str]


class Table(BaseModel):
    """A table or a view of the database."""

    name: str
    namespace: str
    columns: list[TableColumn]
    foreign_keys: list[ForeignKey] = []
