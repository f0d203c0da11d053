"""DuckDB files, opened for reading, without a way out of the file."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from towpath.ai.databases.base import Database, parse_data_type
from towpath.ai.databases.types import ForeignKey, Limits, Rows, Table, TableColumn
from towpath.core.errors import BadInputError, QueryTooSlowError, UnavailableError
from towpath.core.texts import shorten

CONFIG: dict[str, str | bool | int | float | list[str]] = {
    # No file, no URL and no extension can be reached from SQL, and SQL cannot change that.
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "lock_configuration": True,
    "memory_limit": "1GB",
    "threads": 2,
}
INTERRUPT_SECONDS = 0.1


class DuckDatabase(Database):
    """One file; its calls run one after the other in threads.

    Args:
        connection: Read-only.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, file: Path) -> DuckDatabase:
        """Open a file.

        Raises:
            BadInputError: It is no DuckDB file.
        """
        try:
            return cls(await asyncio.to_thread(duckdb.connect, str(file), read_only=True, config=CONFIG))
        except duckdb.Error as error:
            raise BadInputError(shorten(f"path: no DuckDB database: {error}", 300), field="path") from error

    async def run(self, sql: str, parameters: Mapping[str, Any], limits: Limits) -> Rows:
        """Run one SELECT; it is interrupted when its time is over or its caller is gone."""
        async with self._lock:
            task = asyncio.ensure_future(asyncio.to_thread(self._run, sql, parameters, limits))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                # One that comes before the query has begun is lost.
                while not task.done():
                    self._connection.interrupt()
                    await asyncio.wait([task], timeout=INTERRUPT_SECONDS)
                raise

    def _run(self, sql: str, parameters: Mapping[str, Any], limits: Limits) -> Rows:
        started = time.monotonic()
        late = threading.Timer(limits.seconds, self._connection.interrupt)
        late.start()
        try:
            # A cursor of its own has no transaction of an earlier query.
            result = self._connection.execute(sql, dict(parameters))
            rows = result.fetchmany(limits.rows + 1)
            names = [column[0] for column in result.description or ()]
        except duckdb.InterruptException as error:
            raise QueryTooSlowError(f"the query took longer than {limits.seconds:g} s") from error
        except (duckdb.IOException, duckdb.FatalException) as error:
            raise UnavailableError(shorten(f"the database does not answer: {error}", 300)) from error
        except duckdb.Error as error:
            raise BadInputError(shorten(f"the database refuses the query: {error}", 500)) from error
        finally:
            late.cancel()
        truncated = len(rows) > limits.rows
        return Rows(columns=names, rows=rows[: limits.rows], truncated=truncated, seconds=time.monotonic() - started)

    async def tables(self) -> list[Table]:
        """List every table and view of the file."""
        async with self._lock:
            return await asyncio.to_thread(self._tables)

    def _tables(self) -> list[Table]:
        tables: dict[tuple[str, str], Table] = {}
        columns = self._connection.execute(
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_catalog = current_database() ORDER BY table_schema, table_name, ordinal_position"
        ).fetchall()
        for namespace, name, column, kind in columns:
            table = tables.setdefault((namespace, name), Table(name=name, namespace=namespace, columns=[]))
            table.columns.append(TableColumn(name=column, type=parse_data_type(kind)))
        constraints = self._connection.execute(
            "SELECT schema_name, table_name, constraint_type, constraint_column_names, referenced_table,"
            " referenced_column_names FROM duckdb_constraints() WHERE database_name = current_database()"
            " AND constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY')"
        ).fetchall()
        for namespace, name, kind, names, other, references in constraints:
            keyed = tables.get((namespace, name))
            if keyed is None:
                continue
            if kind == "PRIMARY KEY":
                for column_of_table in keyed.columns:
                    column_of_table.key = column_of_table.key or column_of_table.name in names
            else:
                keyed.foreign_keys.append(ForeignKey(columns=names, table=other, references=references))
        return list(tables.values())

    async def has_own(self, path: Sequence[str]) -> bool:
        """Return whether the file holds it; the system's own, functions and Python's variables are not listed."""
        async with self._lock:
            return await asyncio.to_thread(self._has_own, [part.lower() for part in path])

    def _has_own(self, path: Sequence[str]) -> bool:
        places = self._connection.execute(
            "SELECT lower(database_name), lower(schema_name) FROM duckdb_tables()"
            " WHERE NOT internal AND lower(table_name) = $1"
            " UNION ALL SELECT lower(database_name), lower(schema_name) FROM duckdb_views()"
            " WHERE NOT internal AND lower(view_name) = $1",
            [path[-1]],
        ).fetchall()
        # `x.t` may be a namespace's or a database's.
        return any(
            (base, space)[-len(path[:-1]) :] == tuple(path[:-1]) or (len(path) == 2 and base == path[0])
            if path[:-1]
            else space == "main"
            for base, space in places
        )

    async def close(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._connection.close)
