"""Columns as the tables declare them: the type that Postgres has, and the default that Postgres sets.

Every column is spelled out instead of derived from its annotation: SQLModel would make `varchar` of a string and
`integer` of every number, and a default in Python is none in the database.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import TIMESTAMP, Column, Dialect, Text, text
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator, TypeEngine

ColumnType = TypeEngine[Any] | type[TypeEngine[Any]]


def column(
    kind: ColumnType,
    *constraints: SchemaItem,
    name: str | None = None,
    nullable: bool = False,
    primary_key: bool = False,
    unique: bool = False,
    default: str | None = None,
) -> Column[Any]:
    """Declare a column.

    Args:
        kind: Its type.
        constraints: Foreign keys, or that it counts by itself.
        name: In the database, where the attribute is called differently.
        nullable: Whether a row may be without it.
        primary_key: Whether it belongs to the primary key.
        unique: Whether no two rows may have the same value.
        default: The value that Postgres sets, as SQL.
    """
    return Column(
        name, kind, *constraints,
        nullable=nullable, primary_key=primary_key, unique=unique or None,
        server_default=None if default is None else text(default),
    )  # fmt: skip


def timestamptz(*, nullable: bool = False, now: bool = False) -> Column[datetime]:
    """Declare a point in time; `now`: that of the insert by default."""
    return column(TIMESTAMP(timezone=True), nullable=nullable, default="now()" if now else None)


class EnumText(TypeDecorator[StrEnum]):
    """Members of an enumeration, stored as the text of their values."""

    impl = Text
    cache_ok = True

    def __init__(self, enumeration: type[StrEnum]) -> None:
        super().__init__()
        self.enumeration = enumeration

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else self.enumeration(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.enumeration(value)


def enum_text(enumeration: type[StrEnum]) -> Column[StrEnum]:
    """Declare a column of members of an enumeration."""
    return column(EnumText(enumeration))
