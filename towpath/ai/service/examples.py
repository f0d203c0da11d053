"""The connection and the models that the embedded stack brings along."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from towpath.accounts.store.auth import ensure_default_organization
from towpath.accounts.types import DEFAULT_ORGANIZATION
from towpath.ai.databases.types import DatabaseConfig, DatabaseKind
from towpath.ai.domain.semantics import content
from towpath.ai.domain.semantics.content import parse_model, read_model
from towpath.ai.store.connections import ensure_connection, seal_config
from towpath.ai.store.models import add_model
from towpath.ai.store.tables import ConnectionRow, ModelRow
from towpath.ai.types import ModelKind
from towpath.db.engine import Database
from towpath.secrets.vault import Vault

FLIGHTS = Path(content.__file__).parent / "examples" / "flights.yaml"


def example_id(name: str) -> UUID:
    """Return the id of an example, the same on every machine."""
    return uuid5(NAMESPACE_URL, f"towpath:example:{name}")


async def add_flights(database: Database, vault: Vault, path: str, schema: dict[str, Any]) -> None:
    """Add the database of flights with its models to the default organization, unless they exist.

    Args:
        database: Where they are stored.
        vault: Seals how the database is reached.
        path: The file, below the folder of databases.
        schema: The model drafted from the tables of the database.
    """
    async with database.transaction() as connection:
        await ensure_default_organization(connection)
    row = ConnectionRow(
        id=example_id("connection"),
        organization=DEFAULT_ORGANIZATION,
        name="flights",
        kind=DatabaseKind.DUCKDB,
        config=seal_config(vault, DatabaseConfig(kind=DatabaseKind.DUCKDB, path=path)),
        path=path,
    )
    await ensure_connection(database, row)
    shared = parse_model(FLIGHTS.read_text())
    read_model(shared)
    for name, kind, layer in (("flights schema", ModelKind.SCHEMA, schema), ("flights", ModelKind.SHARED, shared)):
        await add_model(
            database,
            ModelRow(
                id=example_id(name),
                organization=DEFAULT_ORGANIZATION,
                connection_id=row.id,
                name=name,
                kind=kind,
                content=layer,
            ),
        )
