"""A task has one connection of a pool at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from towpath.db.engine import Database, NestedConnectionError

WAYS = ["session", "transaction", "statement", "joined"]
Way = Callable[[], AbstractAsyncContextManager[Any]]


@pytest_asyncio.fixture(loop_scope="session")
async def single(database_url: str) -> AsyncIterator[Database]:
    """A pool of one connection: who waits for a second one waits for ever."""
    handle = Database(database_url, pool_size=1)
    yield handle
    await handle.close()


@pytest.mark.parametrize("inner", WAYS)
@pytest.mark.parametrize("outer", WAYS)
async def test_second_connection_within_a_first_is_refused(single: Database, outer: str, inner: str) -> None:
    first: Way = getattr(single, outer)
    second: Way = getattr(single, inner)

    async with first():
        with pytest.raises(NestedConnectionError):
            async with second():
                pass

    async with second():
        pass


async def test_connection_is_given_back_after_an_error(single: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with single.transaction():
            raise ZeroDivisionError

    async with single.transaction() as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_tasks_take_turns(single: Database) -> None:
    async def read() -> int:
        async with single.session() as session:
            return int((await session.exec(text("SELECT 1"))).scalar_one())  # type: ignore[call-overload]

    assert await asyncio.gather(*(read() for _ in range(5))) == [1] * 5


async def test_another_pool_may_be_asked(single: Database, database: Database) -> None:
    async with single.transaction(), database.transaction() as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_parts_of_a_joined_transaction_share_its_connection(single: Database) -> None:
    async with single.joined() as (joined, whole):
        await whole.execute("CREATE TEMPORARY TABLE parts (name text)")
        async with joined.transaction() as connection:
            await connection.execute("INSERT INTO parts VALUES ('transaction')")
        async with joined.session() as session:
            await (await session.connection()).execute(text("INSERT INTO parts VALUES ('session')"))
        async with joined.statement() as connection:
            await connection.execute("INSERT INTO parts VALUES ('statement')")
        with pytest.raises(ZeroDivisionError):
            await _insert_and_fail(joined)
        found = await whole.execute("SELECT array_agg(name ORDER BY name) FROM parts")

        assert await found.fetchone() == (["session", "statement", "transaction"],)


async def _insert_and_fail(joined: Database) -> None:
    async with joined.joined() as (_, connection):
        await connection.execute("INSERT INTO parts VALUES ('undone')")
        raise ZeroDivisionError
