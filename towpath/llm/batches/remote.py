"""What is asked of a provider's batch endpoint, whichever its protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from towpath.llm.batches.types import BatchLimits, CallResult, NamedCall, RemoteBatch, Search
from towpath.llm.types import NO_KEY, ProviderConfig, WireFormat

CREATE_SECONDS = 60.0
"""How long the request that creates a batch may take."""
MAX_BYTES = 64 << 20
"""What one batch holds at most: far below what providers take, so that a worker can hold it."""
CLOCK_SKEW = timedelta(hours=1)
"""How far a provider's clock may be from ours."""
PAGE = 100
"""How many of a list are read at once."""
MAX_PROBLEM = 500


class BatchEndpoint(Protocol):
    """The batch endpoint of a provider.

    Errors are the SDK's own; `towpath.llm.faults` translates them.
    """

    limits: BatchLimits

    async def upload(self, name: str, calls: Sequence[NamedCall], *, again: bool) -> str | None:
        """Bring the calls to the provider, where that is a step of its own.

        Args:
            name: The name of the batch.
            calls: Its calls.
            again: Whether an earlier try may have done so.

        Returns:
            The provider's id of the file.
        """
        ...

    async def create(self, name: str, calls: Sequence[NamedCall], file_id: str | None) -> RemoteBatch:
        """Have the provider begin."""
        ...

    async def find(self, name: str, *, calls: int, since: datetime, known: frozenset[str]) -> Search:
        """Look for a batch whose creation was never answered.

        Args:
            name: Its name.
            calls: How many calls it has.
            since: When its creation was begun.
            known: Ids at the provider that are other batches.
        """
        ...

    async def look(self, remote_id: str) -> RemoteBatch:
        """Look how far a batch is."""
        ...

    async def cancel(self, remote_id: str) -> RemoteBatch:
        """Have the provider stop; what is answered by then stays."""
        ...

    def results(self, batch: RemoteBatch) -> AsyncIterator[CallResult]:
        """Read the results of a batch that has ended."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


def make_endpoint(config: ProviderConfig, *, seconds: float, max_calls: int) -> BatchEndpoint:
    """Make the client of a provider's batch endpoint.

    Args:
        config: The provider.
        seconds: Longest wait for an answer.
        max_calls: How many calls a batch may hold.
    """
    common: dict[str, Any] = {
        "api_key": config.key or NO_KEY,
        "base_url": config.url,
        # The caller looks for a lost batch before it sends one again, which a retry of the SDK's does not.
        "max_retries": 0,
        "timeout": max(seconds, CREATE_SECONDS),
    }
    if config.api is WireFormat.ANTHROPIC:
        from towpath.llm.batches.anthropic_batches import AnthropicBatches

        return AnthropicBatches(common, max_calls=max_calls)
    from towpath.llm.batches.openai_batches import OpenAIBatches

    return OpenAIBatches(common, max_calls=max_calls)
