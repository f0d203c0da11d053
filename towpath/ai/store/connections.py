"""Databases that an organization asks questions of; how they are reached is sealed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlmodel import col, select

from towpath.ai.databases.types import DatabaseConfig
from towpath.ai.store.tables import ConnectionRow
from towpath.core.errors import NotFoundError
from towpath.db.engine import Database
from towpath.secrets.vault import Vault


def seal_config(vault: Vault, config: DatabaseConfig) -> bytes:
    """Encrypt a configuration."""
    return vault.seal(config.model_dump_json())


def open_config(vault: Vault, row: ConnectionRow) -> DatabaseConfig:
    """Decrypt how a connection is reached.

    Raises:
        UnavailableError: It was sealed with a key that is not here.
    """
    return DatabaseConfig.model_validate_json(vault.open(row.config))


async def add_connection(database: Database, row: ConnectionRow) -> ConnectionRow:
    """Keep a connection."""
    async with database.session() as session:
        session.add(row)
        await session.flush()
        await session.refresh(row)
    return row


async def ensure_connection(database: Database, row: ConnectionRow) -> None:
    """Store a connection, unless there is one of its id; that one stays as it is."""
    async with database.session() as session:
        if await session.get(ConnectionRow, row.id) is None:
            session.add(row)


async def get_connection(database: Database, organization: str, connection_id: UUID) -> ConnectionRow:
    """Load one connection.

    Raises:
        NotFoundError: It is not there, was deleted, or is another organization's.
    """
    query = select(ConnectionRow).where(
        ConnectionRow.id == connection_id,
        ConnectionRow.organization == organization,
        col(ConnectionRow.deleted_at).is_(None),
    )
    async with database.session() as session:
        row = (await session.exec(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"no connection {connection_id}")
    return row


async def list_connections(database: Database, organization: str) -> Sequence[ConnectionRow]:
    """List all connections, the oldest first."""
    query = select(ConnectionRow).where(
        ConnectionRow.organization == organization, col(ConnectionRow.deleted_at).is_(None)
    )
    async with database.session() as session:
        return (await session.exec(query.order_by(col(ConnectionRow.created_at), col(ConnectionRow.id)))).all()


async def change_connection(
    database: Database, organization: str, connection_id: UUID, changed: dict[str, object]
) -> ConnectionRow:
    """Change a connection's columns; models over it stay.

    Raises:
        NotFoundError: It is not there.
    """
    row = await get_connection(database, organization, connection_id)
    async with database.session() as session:
        for name, value in {**changed, "updated_at": datetime.now(UTC)}.items():
            setattr(row, name, value)
        session.add(row)
    return row
