"""Writes of one process to one job, several in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from towpath.db.engine import Connection, Database
from towpath.jobs.store.writer import JobWriter

pytestmark = pytest.mark.asyncio(loop_scope="session")

Effect = Callable[[Connection], Awaitable[int]]


async def table(database: Database) -> str:
    name = f"written_{uuid4().hex}"
    async with database.transaction() as connection:
        await connection.execute(f"CREATE TABLE {name} (number int CHECK (number <> 13), by xid8)")
    return name


def into(name: str, number: int) -> Effect:
    async def write(connection: Connection) -> int:
        await connection.execute(f"INSERT INTO {name} VALUES (%s, pg_current_xact_id())", (number,))
        return number

    return write


async def rows(database: Database, name: str) -> list[tuple[int, int]]:
    async with database.transaction() as connection:
        found = await connection.execute(f"SELECT number, by::text FROM {name} ORDER BY number")
        return [(row[0], int(row[1])) for row in await found.fetchall()]


async def test_what_waits_together_is_committed_together(database: Database) -> None:
    name, writer, job = await table(database), JobWriter(database), uuid4()
    results = await asyncio.gather(*(writer.write(job, into(name, number)) for number in range(20, 40)))
    written = await rows(database, name)

    assert results == [number for number, _ in written] == list(range(20, 40))
    assert len({by for _, by in written}) < 20


async def test_one_that_fails_takes_no_other_with_it(database: Database) -> None:
    name, writer, job = await table(database), JobWriter(database), uuid4()
    calls = [writer.write(job, into(name, number)) for number in (12, 13, 14)]
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert [number for number, _ in await rows(database, name)] == [12, 14]
    assert (results[0], results[2]) == (12, 14)
    assert "check constraint" in str(results[1])


async def test_a_caller_that_is_cancelled_leaves_the_others_alone(database: Database) -> None:
    name, writer, job = await table(database), JobWriter(database), uuid4()
    tasks = [asyncio.create_task(writer.write(job, into(name, number))) for number in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[2], asyncio.CancelledError)
    assert [results[place] for place in (0, 1, 3, 4)] == [0, 1, 3, 4]


async def test_jobs_do_not_wait_for_each_other(database: Database) -> None:
    name, writer = await table(database), JobWriter(database)
    first, second = uuid4(), uuid4()
    held = asyncio.Event()

    async def slow(connection: Connection) -> int:
        await held.wait()
        return await into(name, 1)(connection)

    waiting = asyncio.create_task(writer.write(first, slow))
    assert await writer.write(second, into(name, 2)) == 2
    held.set()
    assert await waiting == 1
