"""A loopback server that speaks OpenAI's embeddings API, counts what is paid for, and fails as it is told."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.support.loopback import LoopbackHandler, serving

DIMENSIONS = 32
KEY = "sk-loopback"
MAX_HOLD_SECONDS = 120


def vector_of(text: str) -> list[float]:
    """The vector that the server gives a text: of its own, and always the same."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    found = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return [float(one) for one in found / np.linalg.norm(found)]


@dataclass
class EmbeddingServer:
    """The server's state.

    Attributes:
        seconds: How long each call takes.
        refused: A text with this word in it is refused with 400.
        script: Statuses with headers for the next calls, before it answers again.
        paid: How often each text was embedded.
        holds_at: After so many paid texts, calls wait for `release`; None: none waits.
    """

    url: str = ""
    seconds: float = 0.0
    refused: str = "\x00"
    script: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    paid: Counter[str] = field(default_factory=Counter)
    holds_at: int | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    def hold(self, after: int) -> None:
        """Let calls wait once so many texts have been paid for."""
        self.released.clear()
        self.holds_at = after

    def release(self) -> None:
        """Answer what waits, and let nothing wait any more."""
        self.holds_at = None
        self.released.set()

    def answer(self, path: str, key: str, body: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Status, headers and body of the answer to a call."""
        texts = body["input"]
        with self.lock:
            self.calls.append(body)
            status, headers = self.script.pop(0) if self.script else (200, {})
        if path != "/v1/embeddings":
            return 404, {}, _error("no such path")
        if key != f"Bearer {KEY}":
            return 401, {}, _error("wrong key")
        if status != 200:
            return status, headers, _error("as told")
        if any(self.refused in text for text in texts):
            return 400, {}, _error("the input is refused")
        time.sleep(self.seconds)
        if self.holds_at is not None and self.paid.total() >= self.holds_at:
            self.released.wait(MAX_HOLD_SECONDS)
        with self.lock:
            self.paid.update(texts)
        data = [
            {"object": "embedding", "index": place, "embedding": vector_of(text)} for place, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 3 * len(texts), "total_tokens": 3 * len(texts)}
        # Order is told by `index`, not by place.
        return 200, {}, {"object": "list", "data": data[::-1], "model": body["model"], "usage": usage}


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}


@contextmanager
def embedding_server() -> Iterator[EmbeddingServer]:
    """Run one."""
    served = EmbeddingServer()

    class Handler(LoopbackHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, answer = served.answer(self.path, self.headers.get("Authorization", ""), body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    with serving(Handler) as url:
        served.url = f"{url}/v1"
        yield served
