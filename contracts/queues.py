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
