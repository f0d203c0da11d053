"""The database handle: one pool a process; sessions for rows, psycopg connections for bulk work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.datetime import TimestamptzLoader
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection as PooledConnection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from towpath.db.arrays import register_arrays

Connection = AsyncConnection[tuple[Any, ...]]
Result = TypeVar("Result")
MAX_RINGS = 10
"""So often a transaction is begun again: each time at least one of its neighbours has gone through."""


class NestedConnectionError(RuntimeError):
    """A task that holds a connection of a pool has asked the same pool for another one.

    As many such tasks as the pool has connections would wait for each other until the pool gives up. What belongs
    to an open transaction is done on its connection, or with the handle that `Database.joined` gives.
    """


def sqlalchemy_url(database_url: str) -> str:
    """Return the same database for SQLAlchemy: `postgresql://...` becomes `postgresql+psycopg://...`."""
    scheme, _, rest = database_url.partition("://")
    if scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError(f"TOWPATH_DATABASE_URL must begin with postgresql://, not {scheme}://")
    return f"postgresql+psycopg://{rest}"


def libpq_url(database_url: str) -> str:
    """Return the same database for psycopg itself."""
    return sqlalchemy_url(database_url).replace("postgresql+psycopg://", "postgresql://", 1)


def is_away(error: BaseException | None) -> bool:
    """Return whether an error says that Postgres does not answer now, so that a later try may succeed."""
    # These are of the same class, and about the value or the statement.
    beyond = psycopg.errors.ProgramLimitExceeded | psycopg.errors.StatementTooComplex
    errors = psycopg.OperationalError | psycopg.InterfaceError | PoolTimeout
    return isinstance(error, errors) and not isinstance(error, beyond)


class BoundedTimestamptzLoader(TimestamptzLoader):
    """Reads a moment beyond Python's years as the last one: a row that holds it must not hide all others."""

    def load(self, data: Any) -> datetime:
        try:
            return super().load(data)
        except psycopg.DataError:
            return datetime.min.replace(tzinfo=UTC) if b"BC" in bytes(data) else datetime.max.replace(tzinfo=UTC)


psycopg.adapters.register_loader("timestamptz", BoundedTimestamptzLoader)
register_arrays()


def _options(url: str, statement_seconds: float | None) -> str:
    """Return what the server is told of each connection: what the URL says, and how long a statement may take."""
    options = str(conninfo_to_dict(url).get("options") or "")
    if statement_seconds is None:
        return options
    return f"{options} -c statement_timeout={max(round(statement_seconds * 1000), 1)}".lstrip()


class Database:
    """A pool of connections to one Postgres.

    Args:
        database_url: A libpq URL.
        pool_size: The most connections this process holds.
        statement_seconds: How long one statement may take before Postgres ends it; None: as long as it wants.
            A transaction may last longer, and so may one that waits for its client between two statements.
    """

    def __init__(self, database_url: str, *, pool_size: int = 10, statement_seconds: float | None = None) -> None:
        self.url = libpq_url(database_url)
        self._holders: set[asyncio.Task[Any]] = set()
        self._engine = create_async_engine(
            sqlalchemy_url(database_url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            pool_pre_ping=True,
            # Postgres compiles a plan at most once for each statement that a connection repeats.
            connect_args={
                "prepare_threshold": 2,
                "application_name": "towpath",
                "options": _options(self.url, statement_seconds),
            },
        )

    @contextmanager
    def _only_connection(self) -> Iterator[None]:
        """Refuse the current task a second connection, as long as it holds this one.

        A task is looked at by itself: one that it has started may ask, since it need not be waited for.

        Raises:
            NestedConnectionError: The task holds a connection of this pool already.
        """
        task = asyncio.current_task()
        assert task is not None
        if task in self._holders:
            raise NestedConnectionError("this task holds a connection of the pool and asks for another one")
        self._holders.add(task)
        try:
            yield
        finally:
            self._holders.discard(task)

    @asynccontextmanager
    async def _connection_of_pool(self) -> AsyncIterator[PooledConnection]:
        with self._only_connection():
            async with self._engine.connect() as pooled:
                yield pooled

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Open a session in one transaction, committed at the end, rolled back on an error."""
        with self._only_connection():
            async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
                yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Open a psycopg connection in one transaction, committed at the end, rolled back on an error."""
        async with self._connection_of_pool() as pooled:
            raw = await pooled.get_raw_connection()
            connection = cast(Connection, raw.driver_connection)
            async with connection.transaction():
                yield connection

    async def repeatable(self, effect: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Run an effect in a transaction, and from its beginning again where Postgres has ended it for a neighbour.

        Of transactions that wait for each other in a ring Postgres ends one, whose effect is then undone: to begin
        again is what it asks for. Whoever wrote the same rows has gone on meanwhile.

        Args:
            effect: Everything that is done; called once more for each ring, so it must depend on nothing it did before.
        """
        rings = 0
        while True:
            try:
                async with self.transaction() as connection:
                    return await effect(connection)
            except psycopg.errors.DeadlockDetected:
                rings += 1
                if rings > MAX_RINGS:
                    raise

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Connection]:
        """Open a psycopg connection that commits each statement by itself: for reads that need few round trips."""
        async with self._connection_of_pool() as pooled:
            raw = await pooled.get_raw_connection()
            connection = cast(Connection, raw.driver_connection)
            await connection.set_autocommit(True)
            try:
                yield connection
            finally:
                await connection.set_autocommit(False)

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[tuple[Database, Connection]]:
        """Open one transaction around several: what is done through the handle is committed at the end, as a whole.

        Yields:
            A handle whose sessions and transactions are parts of the one, and the connection that they share.
        """
        async with self._connection_of_pool() as pooled, pooled.begin():
            raw = await pooled.get_raw_connection()
            connection = cast(Connection, raw.driver_connection)
            # The transaction begins with its first statement; before that, psycopg would take a part for the whole.
            await connection.execute("SELECT 1")
            yield _Joined(self, pooled, connection), connection

    async def ping(self) -> None:
        """Ask Postgres for nothing, to see whether it answers."""
        async with self.transaction() as connection:
            await connection.execute("SELECT 1")

    async def listen(self) -> Connection:
        """Return a connection of its own, outside the pool, for LISTEN."""
        return await AsyncConnection.connect(self.url, autocommit=True)

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._engine.dispose()


class _Joined(Database):
    """A handle on one open transaction; what begins and ends inside of it is a savepoint."""

    def __init__(self, whole: Database, pooled: PooledConnection, connection: Connection) -> None:
        self.url = whole.url
        self._engine = whole._engine
        self._pooled = pooled
        self._connection = connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        async with (
            AsyncSession(self._pooled, expire_on_commit=False, join_transaction_mode="create_savepoint") as session,
            session.begin(),
        ):
            yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self._connection.transaction():
            yield self._connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Connection]:
        yield self._connection

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[tuple[Database, Connection]]:
        async with self._connection.transaction():
            yield self, self._connection
