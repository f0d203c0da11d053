"""Writes of a process to its jobs: what waits for the same job goes into one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from towpath.db.engine import Connection, Database

Result = TypeVar("Result")
MAX_AT_ONCE = 50


@dataclass(slots=True)
class _Write:
    effect: Callable[[Connection], Awaitable[Any]]
    lasting: bool
    future: asyncio.Future[Any]


class JobWriter:
    """Takes the lock of a job's row, and the flush of the log, once for all writes that wait.

    Each write is seen whole or not at all, as in a transaction of its own, and one that fails takes no other with it:
    its group is then written one by one.

    Args:
        database: Where the jobs are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[UUID, list[_Write]] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def write(
        self, job_id: UUID, effect: Callable[[Connection], Awaitable[Result]], *, lasting: bool = True
    ) -> Result:
        """Write, and return when it is committed.

        Args:
            job_id: The job whose row the write locks.
            effect: The write; it may be called again after it was rolled back.
            lasting: False: if the database dies within the next moment, the write may be lost, for its caller's
                retry does it again.

        Raises:
            Exception: What the effect raises.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, []).append(_Write(effect, lasting, future))
        if job_id not in self._tasks:
            self._tasks[job_id] = asyncio.create_task(self._drain(job_id))
        return await future

    async def _drain(self, job_id: UUID) -> None:
        try:
            while waiting := self._waiting.get(job_id):
                group, self._waiting[job_id] = waiting[:MAX_AT_ONCE], waiting[MAX_AT_ONCE:]
                await self._write_group(job_id, [write for write in group if not write.future.done()])
        finally:
            del self._tasks[job_id]
            for write in self._waiting.pop(job_id, []):
                write.future.cancel()

    async def _write_group(self, job_id: UUID, group: list[_Write]) -> None:
        try:
            async with self._database.transaction() as connection:
                if not any(write.lasting for write in group):
                    await connection.execute("SET LOCAL synchronous_commit = off")
                # First, so that groups of several workers wait here and not in a ring.
                await connection.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
                results = [await write.effect(connection) for write in group]
        except Exception as error:
            if len(group) == 1:
                _settle(group[0], error=error)
                return
            for write in group:
                await self._write_group(job_id, [write])
            return
        for write, result in zip(group, results, strict=True):
            _settle(write, result)


def _settle(write: _Write, result: Any = None, *, error: Exception | None = None) -> None:
    # One whose caller was cancelled meanwhile is committed all the same: every write can be repeated.
    if write.future.done():
        return
    if error is not None:
        write.future.set_exception(error)
    else:
        write.future.set_result(result)
