"""The task queues: what kind of work waits where."""

from __future__ import annotations

from enum import StrEnum


class Queue(StrEnum):
    """A Temporal task queue; `worker.py --queues` chooses which ones a worker serves."""

    ENGINE = "engine"
    """Workflows and small projections."""
    COMPUTE = "compute"
    """Indexing, matching, embedding, OCR: as many slots as cores."""
    LLM = "llm"
    """Calls of language models: slots by the provider's quota."""
    IO = "io"
    """Webhooks and fetches."""


def read_queues(text: str) -> list[Queue]:
    """The queues that a comma-separated list names, each once.

    Raises:
        ValueError: One is unknown, or there is none.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    known = ", ".join(Queue)
    for name in names:
        if name not in set(Queue):
            raise ValueError(f"unknown queue {name!r}; known: {known}")
    if not names:
        raise ValueError(f"no queue is named; known: {known}")
    return [Queue(name) for name in names]
