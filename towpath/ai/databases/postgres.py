"""Postgres, by a connection that may only read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import psycopg
from psycopg import sql as build
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from towpath.ai.databases.base import Database, parse_data_type
from towpath.ai.databases.types import ForeignKey, Limits, Rows, Table, TableColumn
from towpath.core.errors import BadInputError, QueryTooSlowError, UnavailableError
from towpath.core.texts import shorten
from towpath.core.values import MAX_PORT, is_port
from towpath.net.http import GuardedClient

CONNECT_SECONDS = 10
DEFAULT_PORT = 5432
FIELDS = frozenset({"host", "port", "user", "password", "dbname", "sslmode"})
COLUMNS = """
SELECT c.table_schema AS namespace, c.table_name AS name, c.column_name AS "column",
       CASE WHEN c.data_type = 'USER-DEFINED' THEN c.udt_name ELSE c.data_type END AS type,
       EXISTS (
           SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
           WHERE i.indisprimary AND a.attname = c.column_name
             AND i.indrelid = format('%I.%I', c.table_schema, c.table_name)::regclass
       ) AS key
FROM information_schema.columns c
WHERE c.table_schema NOT IN ('pg_catalog', 'information_schema') AND c.table_schema NOT LIKE 'pg_toast%'
ORDER BY c.table_schema, c.table_name, c.ordinal_position
"""
KEYS = """
SELECT n.nspname AS namespace, t.relname AS name, f.relname AS "table",
       (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest(c.confkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number) AS "references"
FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_class f ON f.oid = c.confrelid
WHERE c.contype = 'f'
ORDER BY 1, 2, c.conname
"""

OWN = """
SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%s)::oid AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
"""


def read_url(url: str) -> dict[str, str]:
    """Read the parts of a database's URL, each as the connection will take it.

    Raises:
        BadInputError: No such URL, no single host, no port, or a part that is not allowed in it.
    """
    if url.partition("://")[0] not in {"postgres", "postgresql"}:
        raise BadInputError("url: postgresql://user:password@host:port/database is needed", field="url")
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except (psycopg.Error, ValueError) as error:
        raise BadInputError("url: no URL of a Postgres database", field="url") from error
    if repeated := {"host", "port"} & dict(parse_qsl(url.partition("?")[2])).keys():
        raise BadInputError(f"url: its {min(repeated)} stands before the path, not behind it", field="url")
    if unknown := parts.keys() - FIELDS:
        raise BadInputError(f"url: {min(unknown)} is not allowed in it", field="url")
    host, port = parts.get("host", ""), parts.get("port", str(DEFAULT_PORT))
    if not host or host.startswith("/") or "," in host:
        raise BadInputError("url: one host is needed", field="url")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and is_port(int(port))):
        raise BadInputError(f"url: its port must be from 1 to {MAX_PORT}", field="url")
    return parts


class PostgresDatabase(Database):
    """One connection.

    Args:
        connection: In a read-only session.
    """

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, url: str, guard: GuardedClient) -> PostgresDatabase:
        """Connect to an address that the guard lets through, and to no other.

        Raises:
            BadInputError: No such URL, or a refused address.
            UnavailableError: Nobody answers.
        """
        parts: dict[str, Any] = dict(read_url(url))
        addresses = await guard.addresses(parts["host"], int(parts.get("port", DEFAULT_PORT)))
        try:
            connection = await psycopg.AsyncConnection.connect(
                **parts,
                # Where the name leads now is where the connection goes.
                hostaddr=addresses[0],
                connect_timeout=CONNECT_SECONDS,
                application_name="towpath",
                options="-c default_transaction_read_only=on",
            )
        except psycopg.OperationalError as error:
            raise UnavailableError(
                shorten(f"the database cannot be reached: {str(error).splitlines()[-1]}", 300)
            ) from error
        return cls(connection)

    async def run(self, sql: str, parameters: Mapping[str, Any], limits: Limits) -> Rows:
        """Run one SELECT in a transaction of its own that cannot write."""
        started = time.monotonic()
        connection = self._connection
        try:
            async with connection.transaction(), connection.cursor("towpath") as cursor:
                await connection.execute("SET TRANSACTION READ ONLY")
                wait = build.Literal(int(limits.seconds * 1000))
                await connection.execute(build.SQL("SET LOCAL statement_timeout = {}").format(wait))
                await cursor.execute(sql.encode(), parameters)
                rows = await cursor.fetchmany(limits.rows + 1)
                names = [column.name for column in cursor.description or ()]
        except psycopg.errors.QueryCanceled as error:
            raise QueryTooSlowError(f"the query took longer than {limits.seconds:g} s") from error
        except psycopg.OperationalError as error:
            raise UnavailableError(shorten(f"the database does not answer: {error}", 300)) from error
        except psycopg.Error as error:
            raise BadInputError(shorten(f"the database refuses the query: {error}", 500)) from error
        truncated = len(rows) > limits.rows
        return Rows(columns=names, rows=rows[: limits.rows], truncated=truncated, seconds=time.monotonic() - started)

    async def tables(self) -> list[Table]:
        """List every table and view outside of the system's namespaces."""
        tables: dict[tuple[str, str], Table] = {}
        async with self._connection.transaction(), self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(COLUMNS)
            for row in await cursor.fetchall():
                place = (row["namespace"], row["name"])
                table = tables.setdefault(place, Table(name=row["name"], namespace=row["namespace"], columns=[]))
                table.columns.append(TableColumn(name=row["column"], type=parse_data_type(row["type"]), key=row["key"]))
            await cursor.execute(KEYS)
            for row in await cursor.fetchall():
                if (row["namespace"], row["name"]) in tables:
                    key = ForeignKey(columns=row["columns"], table=row["table"], references=row["references"])
                    tables[row["namespace"], row["name"]].foreign_keys.append(key)
        return list(tables.values())

    async def has_own(self, path: Sequence[str]) -> bool:
        """Return whether a name leads to a relation outside of the system's namespaces, as a query would find it."""
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in path)
        try:
            async with self._connection.transaction(), self._connection.cursor() as cursor:
                await cursor.execute(OWN, [quoted])
                return await cursor.fetchone() is not None
        except psycopg.OperationalError as error:
            raise UnavailableError(shorten(f"the database does not answer: {error}", 300)) from error
        except psycopg.Error:
            # No name of a relation of this database.
            return False

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()
