"""How an activity's errors reach Temporal: typed, and retried only where a retry can help."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from contracts.errors import ErrorCode, TowpathError

HEARTBEAT_SECONDS = 1.0


@asynccontextmanager
async def effect() -> AsyncIterator[None]:
    """Run an activity's body: heartbeats while it lasts (a local one has none), and turns our errors into Temporal's.

    Raises:
        ApplicationError: With the error's code as its type; not retryable where our tree says so.
    """
    beating = None if activity.info().is_local else asyncio.create_task(_beat())
    try:
        yield
    except TowpathError as error:
        # Who asks for time gets it; else Temporal's back-off decides.
        delay = timedelta(seconds=error.retry_after) if error.retryable and error.retry_after else None
        raise ApplicationError(
            error.detail, type=error.code, non_retryable=not error.retryable, next_retry_delay=delay
        ) from error
    except MemoryError as error:
        raise ApplicationError("out of memory", type=ErrorCode.INTERNAL, non_retryable=True) from error
    finally:
        if beating is not None:
            beating.cancel()


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(HEARTBEAT_SECONDS)
