"""Columns that the tables have in common."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import TIMESTAMP, Column, Enum, text


def moment(*, required: bool = True, now: bool = False) -> Column[datetime]:
    """A point in time; `now`: that of the insert by default."""
    return Column(TIMESTAMP(timezone=True), nullable=not required, server_default=text("now()") if now else None)


def word(kind: type[StrEnum]) -> Column[str]:
    """A word of an enumeration, stored as text."""
    values = [member.value for member in kind]
    stored = Enum(kind, native_enum=False, create_constraint=False, length=64, values_callable=lambda _: values)
    return Column(stored, nullable=False)
