"""What other rooms do in the transactions of the kernel, which knows none of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from towpath.db.engine import Connection
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import DeliveryRef


@dataclass(frozen=True, slots=True)
class EndHook:
    """What happens at the end of a run, in the transaction that ends it.

    Attributes:
        queue: Called with the ended job and its error, and returns the deliveries that announce it.
        queued: Returns those of an attempt that are not through yet, where the end comes a second time.
    """

    queue: Callable[[Connection, JobRow, dict[str, Any] | None], Awaitable[list[DeliveryRef]]]
    queued: Callable[[Connection, JobRow, int], Awaitable[list[DeliveryRef]]]


_END_HOOKS: list[EndHook] = []


def register_end_hook(hook: EndHook) -> None:
    """Register what happens at the end of every run; a second call with the same hook adds nothing."""
    if hook not in _END_HOOKS:
        _END_HOOKS.append(hook)


async def queue_deliveries(connection: Connection, job: JobRow, error: dict[str, Any] | None) -> list[DeliveryRef]:
    """Queue the deliveries that announce a job's end, in the transaction that ends it."""
    return [ref for hook in _END_HOOKS for ref in await hook.queue(connection, job, error)]


async def find_queued_deliveries(connection: Connection, job: JobRow, attempt: int) -> list[DeliveryRef]:
    """Return what an attempt's end has queued, and what is not through yet."""
    return [ref for hook in _END_HOOKS for ref in await hook.queued(connection, job, attempt)]
