"""The database handle: one pool a process; sessions for rows, psycopg connections for bulk work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from psycopg import AsyncConnection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

Connection = AsyncConnection[tuple[Any, ...]]


def sqlalchemy_url(database_url: str) -> str:
    """The same database for SQLAlchemy: `postgresql://...` becomes `postgresql+psycopg://...`."""
    scheme, _, rest = database_url.partition("://")
    if scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError(f"TOWPATH_DATABASE_URL must begin with postgresql://, not {scheme}://")
    return f"postgresql+psycopg://{rest}"


def libpq_url(database_url: str) -> str:
    """The same database for psycopg itself."""
    return sqlalchemy_url(database_url).replace("postgresql+psycopg://", "postgresql://", 1)


class Database:
    """A pool of connections to one Postgres.

    Args:
        database_url: A libpq URL.
        pool_size: The most connections this process holds.
    """

    def __init__(self, database_url: str, *, pool_size: int = 10) -> None:
        self.url = libpq_url(database_url)
        self._engine = create_async_engine(
            sqlalchemy_url(database_url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            pool_pre_ping=True,
            # Postgres compiles a plan at most once for each statement that a connection repeats.
            connect_args={"prepare_threshold": 2, "application_name": "towpath"},
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session in one transaction, committed at the end, rolled back on an error."""
        async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A psycopg connection in one transaction, committed at the end, rolled back on an error."""
        async with self._engine.connect() as pooled:
            raw = await pooled.get_raw_connection()
            connection = cast(Connection, raw.driver_connection)
            async with connection.transaction():
                yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Connection]:
        """A psycopg connection that commits each statement by itself: for reads that want few round trips."""
        async with self._engine.connect() as pooled:
            raw = await pooled.get_raw_connection()
            connection = cast(Connection, raw.driver_connection)
            await connection.set_autocommit(True)
            try:
                yield connection
            finally:
                await connection.set_autocommit(False)

    async def listen(self) -> Connection:
        """A connection of its own, outside the pool, for LISTEN."""
        return await AsyncConnection.connect(self.url, autocommit=True)

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._engine.dispose()
