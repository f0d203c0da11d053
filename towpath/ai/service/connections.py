"""Connections to the databases that questions are asked of: checked, stored with their credentials sealed, changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from towpath.accounts.types import Principal
from towpath.ai.databases.postgres import read_url
from towpath.ai.databases.types import DatabaseConfig, DatabaseKind
from towpath.ai.service.parts import AiParts
from towpath.ai.store import connections as store
from towpath.ai.store.models import list_models_of
from towpath.ai.store.tables import ConnectionRow
from towpath.ai.types import ConnectionBody
from towpath.core.errors import BadInputError, ConflictError, NotFoundError
from towpath.core.folders import find_own_file
from towpath.db.engine import Database

FIELDS = {DatabaseKind.DUCKDB: ("path", "url"), DatabaseKind.POSTGRES: ("url", "path")}
"""Of each kind the field that says where the database is, and the one that does not go with it."""


async def draft_connection(parts: AiParts, caller: Principal, body: ConnectionBody) -> ConnectionRow:
    """Check a new connection, and make its row with the credentials sealed; it is not stored yet.

    Raises:
        BadInputError: No such kind, the wrong one of `path` and `url`, or a path that leads to no file of the folder.
    """
    return ConnectionRow(organization=caller.organization, **await _make_columns(parts, caller.organization, body))


async def add_connection(database: Database, row: ConnectionRow) -> ConnectionRow:
    """Store a checked connection."""
    return await store.add_connection(database, row)


async def get_connection(parts: AiParts, caller: Principal, connection_id: UUID) -> ConnectionRow:
    """Load one connection.

    Raises:
        NotFoundError: It is not there, was deleted, or is another organization's.
    """
    return await store.get_connection(parts.database, caller.organization, connection_id)


async def list_connections(parts: AiParts, caller: Principal) -> Sequence[ConnectionRow]:
    """List an organization's connections, the oldest first."""
    return await store.list_connections(parts.database, caller.organization)


async def change_connection(
    parts: AiParts, caller: Principal, connection_id: UUID, body: ConnectionBody
) -> ConnectionRow:
    """Replace all that a connection says; the models over it stay.

    Raises:
        BadInputError: As for a new one.
        NotFoundError: No such connection.
    """
    columns = await _make_columns(parts, caller.organization, body)
    return await store.change_connection(parts.database, caller.organization, connection_id, columns)


async def delete_connection(parts: AiParts, caller: Principal, connection_id: UUID) -> None:
    """Delete a connection with its credentials.

    Raises:
        NotFoundError: No such connection.
        ConflictError: There are models over it, which could not be asked any more.
    """
    row = await store.get_connection(parts.database, caller.organization, connection_id)
    over = await list_models_of(parts.database, caller.organization, row.id)
    if over:
        raise ConflictError(
            f"{over[0].kind} {over[0].name or over[0].id} is over this connection; delete its models first"
        )
    changes: dict[str, object] = {"deleted_at": datetime.now(UTC), "config": b""}
    await store.change_connection(parts.database, caller.organization, connection_id, changes)


async def _make_columns(parts: AiParts, organization: str, body: ConnectionBody) -> dict[str, Any]:
    """Check a connection, and make the columns of its row with the configuration sealed."""
    try:
        kind = DatabaseKind(body.kind)
    except ValueError as error:
        raise BadInputError(f"kind: {body.kind!r} is not one of {', '.join(DatabaseKind)}", field="kind") from error
    needed, other = FIELDS[kind]
    if getattr(body, needed) is None:
        raise BadInputError(f"{needed} is required for {kind}", field=needed)
    if getattr(body, other) is not None:
        raise BadInputError(f"{other} does not go with {kind}", field=other)
    if body.path is not None:
        await asyncio.to_thread(_assert_path, parts.databases_root, organization, body.path)
    host = database = None
    if body.url is not None:
        url = read_url(body.url)
        host = url["host"] if "port" not in url else f"{url['host']}:{url['port']}"
        database = url.get("dbname")
    config = DatabaseConfig(kind=kind, path=body.path, url=body.url)
    return {
        "name": body.name,
        "kind": kind,
        "config": store.seal_config(parts.vault, config),
        "path": body.path,
        "host": host,
        "database": database,
    }


def _assert_path(root: Path | None, organization: str, path: str) -> None:
    """Refuse what could never be opened.

    The façade may run where the workers' folder is not: then only where the path leads is looked at.
    """
    try:
        find_own_file(root or Path("/databases"), organization, path, must_exist=root is not None and root.is_dir())
    except NotFoundError as error:
        raise BadInputError(f"path: {error.detail}", field="path") from error
