"""Cuts calls into batches, and names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar
from uuid import UUID

from towpath.llm.batches.types import BatchLimits

Key = TypeVar("Key")
FRAME_BYTES = 200
"""What a line of a batch holds beside the body, at most."""
PREFIX = "towpath-"


def batch_name(batch_id: UUID) -> str:
    """Return the name under which a batch is found at its provider."""
    return f"{PREFIX}{batch_id.hex}"


def custom_id(name: str, number: int) -> str:
    """Return the id of a call of a batch: at most 64 letters, digits and dashes, as both providers want it."""
    return f"{name}-{number}"


def number_of(name: str, identifier: str) -> int | None:
    """Return the place of a call in the batch of a name; None: it is another batch's."""
    head, _, number = identifier.rpartition("-")
    return int(number) if head == name and number.isdecimal() else None


def cut(calls: Iterable[tuple[Key, int]], limits: BatchLimits) -> Iterator[list[Key]]:
    """Cut calls into batches, in their order.

    Args:
        calls: The calls with the bytes of their bodies.
        limits: What a batch may hold; a call that is larger is alone.
    """
    batch: list[Key] = []
    size = 0
    for key, body_bytes in calls:
        line = body_bytes + FRAME_BYTES
        if batch and (len(batch) >= limits.calls or size + line > limits.bytes):
            yield batch
            batch, size = [], 0
        batch.append(key)
        size += line
    if batch:
        yield batch
