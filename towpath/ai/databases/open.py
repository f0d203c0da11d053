"""Opens a database by its configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path

from towpath.ai.databases.base import Database
from towpath.ai.databases.duck import DuckDatabase
from towpath.ai.databases.postgres import PostgresDatabase
from towpath.ai.databases.types import DatabaseConfig, DatabaseKind
from towpath.core.errors import BadInputError
from towpath.core.folders import find_own_file
from towpath.net.http import GuardedClient


async def open_database(
    config: DatabaseConfig, organization: str, *, root: Path | None, guard: GuardedClient
) -> Database:
    """Open a database for reading.

    Args:
        config: How it is reached.
        organization: Whose it is.
        root: The folder that has one with DuckDB files for each organization; None: there are no such files.
        guard: Which addresses may be reached.

    Raises:
        BadInputError: It may not or cannot be opened; the message names the field.
        NotFoundError: The file is not there.
        UnavailableError: Nobody answers.
    """
    if config.kind is DatabaseKind.DUCKDB:
        if config.path is None:
            raise BadInputError("path is required for duckdb", field="path")
        if root is None:
            raise BadInputError("path: this deployment has no folder of databases", field="path")
        return await DuckDatabase.open(await asyncio.to_thread(find_own_file, root, organization, config.path))
    if config.url is None:
        raise BadInputError("url is required for postgres", field="url")
    return await PostgresDatabase.open(config.url, guard)
