"""The batch endpoint of OpenAI: a file of lines goes up, a batch names it, files of lines come back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

import openai
import orjson
from openai.types import Batch

from towpath.llm.batches.remote import CLOCK_SKEW, CREATE_SECONDS, MAX_BYTES, MAX_PROBLEM, PAGE
from towpath.llm.batches.types import BatchLimits, CallResult, NamedCall, RemoteBatch, ResultKind, Search

ENDPOINT: Final = "/v1/chat/completions"
MAX_CALLS = 50_000
NAME = "towpath"
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
OVER_QUOTA = "token_limit_exceeded"
EXPIRED, CANCELLED = "batch_expired", "batch_cancelled"


class OpenAIBatches:
    """The endpoint through the SDK.

    Args:
        options: Of the SDK's client.
        max_calls: How many calls a batch may hold.
    """

    def __init__(self, options: dict[str, Any], *, max_calls: int) -> None:
        self.limits = BatchLimits(calls=min(max_calls, MAX_CALLS), bytes=MAX_BYTES)
        self._client = openai.AsyncOpenAI(**options)

    async def upload(self, name: str, calls: Sequence[NamedCall], *, again: bool) -> str | None:
        """Upload the calls as a file of the batch's name; one that an earlier try has uploaded whole is taken."""
        content = b"\n".join(map(_line_of, calls))
        filename = f"{name}.jsonl"
        if again:
            async for file in self._client.files.list(purpose="batch", limit=PAGE, order="desc"):
                if file.filename == filename and file.bytes == len(content):
                    return file.id
        uploaded = await self._client.files.create(
            file=(filename, content, "application/jsonl"), purpose="batch", timeout=max(CREATE_SECONDS, 600.0)
        )
        return uploaded.id

    async def create(self, name: str, calls: Sequence[NamedCall], file_id: str | None) -> RemoteBatch:
        """Create the batch over its file, with its name in the metadata."""
        created = await self._client.batches.create(
            input_file_id=file_id or "",
            endpoint=ENDPOINT,
            completion_window="24h",
            metadata={NAME: name},
            timeout=CREATE_SECONDS,
        )
        return _described(created)

    async def find(self, name: str, *, calls: int, since: datetime, known: frozenset[str]) -> Search:
        """Look through the batches since the creation was begun: the metadata has the name."""
        oldest = (since - CLOCK_SKEW).timestamp()
        async for batch in self._client.batches.list(limit=PAGE):
            if (batch.metadata or {}).get(NAME) == name:
                return Search(match=_described(batch))
            if batch.created_at < oldest:
                break
        return Search()

    async def look(self, remote_id: str) -> RemoteBatch:
        """Look how far a batch is."""
        return _described(await self._client.batches.retrieve(remote_id))

    async def cancel(self, remote_id: str) -> RemoteBatch:
        """Have the provider stop; what is answered by then stays. One that has ended is left as it is."""
        try:
            return _described(await self._client.batches.cancel(remote_id))
        except (openai.BadRequestError, openai.ConflictError):
            return await self.look(remote_id)

    async def results(self, batch: RemoteBatch) -> AsyncIterator[CallResult]:
        """Read the output and the error file, line by line."""
        for file_id in batch.files:
            async with self._client.files.with_streaming_response.content(file_id) as response:
                async for line in response.iter_lines():
                    if line.strip():
                        yield _result_of(orjson.loads(line))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()


def _line_of(call: NamedCall) -> bytes:
    # The body's own bytes, unread: it is what a live call sends.
    head = orjson.dumps({"custom_id": call.custom_id, "method": "POST", "url": ENDPOINT})
    return head[:-1] + b',"body":' + call.body + b"}"


def _described(batch: Batch) -> RemoteBatch:
    counts = batch.request_counts
    errors = (batch.errors.data if batch.errors else None) or []
    files = (batch.output_file_id, batch.error_file_id)
    return RemoteBatch(
        id=batch.id,
        state=batch.status,
        has_ended=batch.status in ENDED,
        has_failed=batch.status == "failed",
        is_over_quota=any(error.code == OVER_QUOTA for error in errors),
        answered=counts.completed if counts else 0,
        failed=counts.failed if counts else 0,
        files=tuple(file for file in files if file),
        problem="; ".join(error.message or error.code or "" for error in errors)[:MAX_PROBLEM],
    )


def _result_of(line: dict[str, Any]) -> CallResult:
    identifier = str(line.get("custom_id"))
    response, error = line.get("response") or {}, line.get("error") or {}
    if response.get("status_code") == 200 and not error:
        return CallResult(identifier, ResultKind.ANSWERED, reply=orjson.dumps(response.get("body")))
    code = error.get("code")
    kind = {EXPIRED: ResultKind.EXPIRED, CANCELLED: ResultKind.CANCELLED}.get(str(code), ResultKind.FAILED)
    stated = error or (response.get("body") or {}).get("error") or {}
    problem = stated.get("message") if isinstance(stated, dict) else stated
    return CallResult(identifier, kind, problem=str(problem or f"status {response.get('status_code')}")[:MAX_PROBLEM])
