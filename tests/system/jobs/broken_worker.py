"""A worker whose activities can be broken from outside: a JSON file names them, and the error that they raise."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from towpath import worker
from towpath.activities.interceptor import ActivityGuard
from towpath.core.queues import Queue
from towpath.enrichment import pipeline
from towpath.entities.service import indexing
from towpath.runtime.settings import get_settings
from towpath.vectors.service import chunks

FILE = "TOWPATH_BREAK_FILE"


def endless() -> Exception:
    """An error whose causes go round in a ring, and which is a group besides."""
    first = OverflowError("connect(): port must be 0-65535.")
    group = ExceptionGroup("all failed", [ExceptionGroup("nested", [first])])
    first.__cause__ = group
    return group


ERRORS: dict[str, Any] = {
    "index": lambda: IndexError("tuple index out of range"),
    "value": lambda: ValueError("invalid literal"),
    "long": lambda: RuntimeError("x" * 1_000_000),
    "endless": endless,
    "database": lambda: psycopg.OperationalError("the connection is lost"),
    "network": lambda: ConnectionRefusedError("nobody listens"),
}


class Breaker(ActivityInboundInterceptor):
    """Raises in place of the activities that the file names."""

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        broken = json.loads(Path(os.environ[FILE]).read_text() or "{}")
        name = broken.get(activity.info().activity_type)
        if name is not None:
            raise ERRORS[name]()
        return await self.next.execute_activity(input)


class BreakingGuard(ActivityGuard):
    """The guard, with the breaker inside of it: where the activities themselves are."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return super().intercept_activity(Breaker(next))


POISON = "poison-item"
"""An item that says this breaks the code that works on it."""


def poisoned(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that raises what nobody foresaw when it meets the item."""

    def call(*args: Any, **options: Any) -> Any:
        if POISON in repr(args):
            raise IndexError("tuple index out of range")
        return function(*args, **options)

    return call


if __name__ == "__main__":
    indexing.make_draft = poisoned(indexing.make_draft)  # type: ignore[assignment]
    chunks.payload_text = poisoned(chunks.payload_text)  # type: ignore[assignment]
    pipeline.assemble = poisoned(pipeline.assemble)  # type: ignore[assignment]
    worker.ActivityGuard = BreakingGuard  # type: ignore[misc]
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    asyncio.run(worker.serve(get_settings(), list(Queue)))
