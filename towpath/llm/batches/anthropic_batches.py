"""The batch endpoint of Anthropic: one request holds all calls.

A batch has no name there, and while it runs nothing of it can be read but its counts. So a batch whose creation was
never answered is told by its calls' ids once it has ended, and until then by how many calls it has.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import anthropic
import orjson
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse

from towpath.llm.batches.cutting import number_of
from towpath.llm.batches.remote import CLOCK_SKEW, CREATE_SECONDS, MAX_BYTES, MAX_PROBLEM, PAGE
from towpath.llm.batches.types import BatchLimits, CallResult, NamedCall, RemoteBatch, ResultKind, Search

MAX_CALLS = 100_000
ENDED = "ended"


class AnthropicBatches:
    """The endpoint through the SDK.

    Args:
        options: Of the SDK's client.
        max_calls: How many calls a batch may hold.
    """

    def __init__(self, options: dict[str, Any], *, max_calls: int) -> None:
        self.limits = BatchLimits(calls=min(max_calls, MAX_CALLS), bytes=MAX_BYTES)
        self._client = anthropic.AsyncAnthropic(**options)

    async def upload(self, name: str, calls: Sequence[NamedCall], *, again: bool) -> str | None:
        """Do nothing: the calls go with the request that creates the batch."""
        return None

    async def create(self, name: str, calls: Sequence[NamedCall], file_id: str | None) -> RemoteBatch:
        """Create the batch; the ids of its calls hold its name."""
        requests: Any = [{"custom_id": call.custom_id, "params": orjson.loads(call.body)} for call in calls]
        return _described(await self._client.messages.batches.create(requests=requests, timeout=CREATE_SECONDS))

    async def find(self, name: str, *, calls: int, since: datetime, known: frozenset[str]) -> Search:
        """Look through the batches since the creation was begun.

        One that has ended shows by its first result whether it is the one. One of as many calls that still runs may be
        it: nobody can say before it has ended.
        """
        undecided = False
        async for batch in self._client.messages.batches.list(limit=PAGE):
            if batch.created_at < since - CLOCK_SKEW:
                break
            counts = batch.request_counts
            total = counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired
            if batch.id in known or total != calls:
                continue
            if batch.processing_status != ENDED:
                undecided = True
            elif await self._has_name(batch.id, name):
                return Search(match=_described(batch))
        return Search(undecided=undecided)

    async def _has_name(self, remote_id: str, name: str) -> bool:
        async for result in await self._client.messages.batches.results(remote_id):
            return number_of(name, result.custom_id) is not None
        return False

    async def look(self, remote_id: str) -> RemoteBatch:
        """Look how far a batch is."""
        return _described(await self._client.messages.batches.retrieve(remote_id))

    async def cancel(self, remote_id: str) -> RemoteBatch:
        """Have the provider stop; what is answered by then stays. One that has ended is left as it is."""
        try:
            return _described(await self._client.messages.batches.cancel(remote_id))
        except (anthropic.BadRequestError, anthropic.ConflictError):
            return await self.look(remote_id)

    async def results(self, batch: RemoteBatch) -> AsyncIterator[CallResult]:
        """Read the results, line by line."""
        async for result in await self._client.messages.batches.results(batch.id):
            yield _result_of(result)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _described(batch: MessageBatch) -> RemoteBatch:
    counts = batch.request_counts
    return RemoteBatch(
        id=batch.id,
        state=batch.processing_status,
        has_ended=batch.processing_status == ENDED,
        answered=counts.succeeded,
        failed=counts.errored + counts.canceled + counts.expired,
    )


def _result_of(response: MessageBatchIndividualResponse) -> CallResult:
    result = response.result
    if result.type == "succeeded":
        return CallResult(response.custom_id, ResultKind.ANSWERED, reply=result.message.to_json().encode())
    if result.type == "errored":
        return CallResult(response.custom_id, ResultKind.FAILED, problem=result.error.error.message[:MAX_PROBLEM])
    kind = ResultKind.EXPIRED if result.type == "expired" else ResultKind.CANCELLED
    return CallResult(response.custom_id, kind, problem=f"the batch {kind}")
