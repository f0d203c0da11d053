"""A worker whose activities can be broken from outside: a JSON file names them, and the error that they raise."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from towpath import worker
from towpath.activities.interceptor import ActivityGuard
from towpath.core.queues import Queue
from towpath.enrichment.domain.runs import assemble_result
from towpath.entities.domain.parsing import make_draft
from towpath.runtime.settings import get_settings
from towpath.vectors.domain.items import payload_text

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


POISONED = (make_draft, payload_text, assemble_result)
"""What works on one item, in an activity that serves many: named here, so that a new name breaks the import."""


def poison_everywhere(function: Callable[..., Any]) -> None:
    """Put the poisoned function wherever a module of ours has imported it."""
    bad = poisoned(function)
    for name, module in list(sys.modules.items()):
        if name.startswith("towpath."):
            for attribute, value in list(vars(module).items()):
                if value is function:
                    setattr(module, attribute, bad)


if __name__ == "__main__":
    for function in POISONED:
        poison_everywhere(function)
    worker.ActivityGuard = BreakingGuard  # type: ignore[misc, attr-defined]
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    asyncio.run(worker.serve(get_settings(), list(Queue)))
