"""Opens a database by its configuration."""

from __future__ import annotations

from pathlib import Path

from clients.databases.base import Database
from clients.databases.duck import DuckDatabase
from clients.databases.postgres import PostgresDatabase
from clients.http import GuardedClient
from contracts.databases import DatabaseConfig, DatabaseKind
from contracts.errors import BadInput


async def open_database(config: DatabaseConfig, *, root: Path | None, guard: GuardedClient) -> Database:
    """Open a database for reading.

    Args:
        config: How it is reached.
        root: The only folder that DuckDB files may be in.
        guard: Which addresses may be reached.

    Raises:
        BadInput: It may not or cannot be opened; the message names the field.
        NotFound: The file is not there.
        Unavailable: Nobody answers.
    """
    if config.kind is DatabaseKind.DUCKDB:
        if config.path is None:
            raise BadInput("path is required for duckdb", field="path")
        return await DuckDatabase.open(config.path, root)
    if config.url is None:
        raise BadInput("url is required for postgres", field="url")
    return await PostgresDatabase.open(config.url, guard)
