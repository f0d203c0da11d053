"""Batches through the official client of OpenAI's API."""

from __future__ import annotations

import json
import time
from typing import Any

from openai import OpenAI
from openai.types import Batch

from tests.support.builders import Organization

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
LLM = "openai::gpt-4o"
FINAL = ("completed", "failed", "expired", "cancelled")


def client_of(org: Organization) -> OpenAI:
    """The official client, told the façade's address and a key of the organization."""
    return OpenAI(base_url=f"{str(org.http.base_url).rstrip('/')}/v1", api_key=org.key, max_retries=0)


def line(custom_id: str, *, url: str = CHAT, method: str = "POST", **body: Any) -> dict[str, Any]:
    """A request of a file."""
    return {"custom_id": custom_id, "method": method, "url": url, "body": body}


def question(number: int, model: str = LLM, **more: Any) -> dict[str, Any]:
    """A chat completion that is unlike those of other numbers."""
    return line(f"q-{number}", model=model, messages=[{"role": "user", "content": f"Question {number}"}], **more)


def jsonl(*lines: Any) -> bytes:
    """A file of lines; what is no text is written as JSON."""
    return b"".join((one if isinstance(one, str) else json.dumps(one)).encode() + b"\n" for one in lines)


def upload(client: OpenAI, *lines: Any, name: str = "requests.jsonl") -> str:
    """Upload a file of requests; its id."""
    return client.files.create(file=(name, jsonl(*lines)), purpose="batch").id


def start(client: OpenAI, *lines: Any, endpoint: str = CHAT, window: str = "24h", **more: Any) -> Batch:
    """Make a batch of lines."""
    return client.batches.create(
        input_file_id=upload(client, *lines), endpoint=endpoint, completion_window=window, **more
    )


def ended(client: OpenAI, batch_id: str, *states: str, seconds: float = 90) -> Batch:
    """Wait until a batch is in one of some states, by default at its end."""
    ends = time.monotonic() + seconds
    while (batch := client.batches.retrieve(batch_id)).status not in (states or FINAL):
        assert time.monotonic() < ends, batch
        time.sleep(0.05)
    return batch


def rows(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of an output or error file."""
    assert file_id is not None
    return [json.loads(one) for one in client.files.content(file_id).text.splitlines()]
