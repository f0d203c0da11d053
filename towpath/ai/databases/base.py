"""What every database can be asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from towpath.ai.databases.types import Limits, Rows, Table
from towpath.ai.semantic_types import DataType
from towpath.core.errors import BadInputError

TYPES: dict[DataType, tuple[str, ...]] = {
    DataType.TIMESTAMP: ("timestamp", "datetime"),
    DataType.DATE: ("date",),
    DataType.BOOLEAN: ("bool",),
    DataType.NUMBER: (
        "tinyint", "smallint", "integer", "int", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint",
        "uhugeint", "numeric", "decimal", "real", "float", "double",
    ),
    DataType.STRING: ("char", "varchar", "text", "uuid", "enum", "bpchar", "name", "citext"),
}  # fmt: skip


def parse_data_type(type_name: str) -> DataType | None:
    """Return what a column's values are, by the name of its type; None: arrays, intervals, blobs and their like."""
    name = type_name.lower().strip()
    if name.endswith("[]") or name.startswith(("struct", "map", "interval")):
        return None
    for kind, beginnings in TYPES.items():
        if name.startswith(beginnings):
            return kind
    return DataType.STRING if name.startswith("character") else None


class Database(ABC):
    """A database, opened for reading."""

    @abstractmethod
    async def run(self, sql: str, parameters: Mapping[str, Any], limits: Limits) -> Rows:
        """Run one SELECT.

        Raises:
            BadInputError: The database refuses it; the message is its own.
            QueryTooSlowError: It took longer than it may.
            UnavailableError: The database does not answer.
        """

    @abstractmethod
    async def tables(self) -> list[Table]:
        """List every table and view that can be read, by namespace and name."""

    async def check_own(self, names: Sequence[str]) -> None:
        """Refuse tables that are none of the user's own: what the system tells of itself, or of its machine.

        Args:
            names: `table`, `namespace.table` or `database.namespace.table`.

        Raises:
            BadInputError: One is not there, or the system's.
            UnavailableError: The database does not answer.
        """
        for name in names:
            if not await self.has_own(name.split(".")):
                raise BadInputError(f"the database has no table {name} of its own")

    @abstractmethod
    async def has_own(self, path: Sequence[str]) -> bool:
        """Return whether a name leads to a table or a view that is not the system's."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of it."""
