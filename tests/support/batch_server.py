"""The loopback provider with batch endpoints: OpenAI's files and batches, Anthropic's message batches.

Batches end at once, or when a test lets them; a test can hold any step before and after it has taken effect.
"""

from __future__ import annotations

import email
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from tests.support.llm_server import (
    GATE_SECONDS,
    KEY,
    Fault,
    Handler,
    LlmServer,
    _anthropic,
    _form,
    _openai,
    _texts,
)
from tests.support.loopback import serving

ANSWERED, ERRORED, EXPIRED, MALFORMED = "answered", "errored", "expired", "malformed"


@dataclass
class StoredBatch:
    """A batch of either protocol.

    Attributes:
        api: Whose protocol.
        calls: The calls by their ids.
        results: What became of each.
    """

    id: str
    api: str
    calls: dict[str, dict[str, Any]]
    metadata: dict[str, str] = field(default_factory=dict)
    file_id: str = ""
    created: float = field(default_factory=time.time)
    ended: bool = False
    cancelling: bool = False
    failed: str | None = None
    results: dict[str, tuple[str, Any]] = field(default_factory=dict)


@dataclass
class Hold:
    """Holds a step: `reached` is set when it comes, and it goes on with `release`."""

    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


@dataclass
class BatchLlmServer(LlmServer):
    """The server's state.

    Attributes:
        files: Uploaded files and files of results, by id: name and content.
        batches: All batches, the newest last.
        ends: Whether a batch ends at once.
        outcome: What becomes of a call, by model and prompt.
        holds: The steps that are held, each once.
        batch_paid: How often each prompt was answered by a batch.
        fail: Batches fail with this code before they begin.
    """

    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    batches: list[StoredBatch] = field(default_factory=list)
    ends: bool = True
    outcome: Callable[[str, str], str] = lambda _model, _prompt: ANSWERED
    holds: dict[str, Hold] = field(default_factory=dict)
    batch_paid: Counter[tuple[str, str]] = field(default_factory=Counter)
    submitted: Counter[tuple[str, str]] = field(default_factory=Counter)
    fail: str | None = None

    def reset(self) -> None:
        """Forget everything, as at the start."""
        super().reset()
        with self.lock:
            for hold in self.holds.values():
                hold.release.set()
            self.files, self.batches, self.ends, self.holds, self.fail = {}, [], True, {}, None
            self.batch_paid, self.submitted = Counter(), Counter()
            self.outcome = lambda _model, _prompt: ANSWERED

    def hold(self, step: str) -> Hold:
        """Hold the next time that a step comes."""
        self.holds[step] = Hold()
        return self.holds[step]

    def pass_step(self, step: str) -> None:
        """Wait where a test holds a step."""
        hold = self.holds.get(step)
        if hold is not None and not hold.reached.is_set():
            hold.reached.set()
            hold.release.wait(GATE_SECONDS)

    def finish(self) -> None:
        """Let every batch end."""
        self.ends = True
        for batch in self.batches:
            self.settle(batch)

    def settle(self, batch: StoredBatch) -> None:
        """Answer the calls of a batch, as far as it was not cancelled."""
        with self.lock:
            if batch.ended:
                return
            for identifier, body in batch.calls.items():
                if identifier not in batch.results:
                    batch.results[identifier] = self._result(batch, body)
            batch.ended = True

    def answer_some(self, count: int) -> None:
        """Answer the first calls of each batch, which goes on."""
        with self.lock:
            for batch in self.batches:
                for identifier in list(batch.calls)[:count]:
                    batch.results.setdefault(identifier, self._result(batch, batch.calls[identifier]))

    def _result(self, batch: StoredBatch, body: dict[str, Any]) -> tuple[str, Any]:
        if batch.cancelling:
            return "cancelled", None
        prompt = _texts(body["messages"])
        outcome = self.outcome(body["model"], prompt)
        if outcome in {ERRORED, EXPIRED}:
            return outcome, None
        value: Any = self.value(body["model"], prompt, _form(body)) if outcome == ANSWERED else "no JSON at all"
        text = value if isinstance(value, str) else json.dumps(value)
        self.batch_paid[body["model"], prompt] += 1
        anthropic = batch.api == "anthropic"
        reply = _anthropic(body, value, text, Fault()) if anthropic else _openai(body, text, Fault())
        reply["usage"] = self.usage(anthropic=anthropic)
        return ANSWERED, reply


class BatchHandler(Handler):
    """One connection."""

    served: BatchLlmServer

    def do_GET(self) -> None:
        self._route("GET", b"")

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if path.endswith(("/chat/completions", "/messages")):
            super().do_POST()
            return
        self._route("POST", self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _route(self, method: str, body: bytes) -> None:
        key = self.headers.get("x-api-key") or self.headers.get("Authorization", "").removeprefix("Bearer ")
        if key != KEY:
            self._send(401, {}, {"error": {"type": "authentication_error", "message": "wrong key"}})
            return
        url = urlsplit(self.path)
        parts = [part for part in url.path.split("/") if part and part != "v1"]
        if parts[0] == "messages":
            self._route_messages(method, parts[2:], url.query, body)
        elif parts[0] == "files":
            self._route_files(method, parts[1:], body)
        else:
            self._route_batches(method, parts[1:], body)

    def _route_files(self, method: str, parts: list[str], body: bytes) -> None:
        if parts:
            self._content(self.served.files[parts[0]][1])
        elif method == "POST":
            self._upload(body)
        else:
            self._list([self._file_object(file_id) for file_id in reversed(self.served.files)])

    def _route_batches(self, method: str, parts: list[str], body: bytes) -> None:
        match parts:
            case [] if method == "POST":
                self._create(json.loads(body))
            case []:
                self._list([self._openai_batch(batch) for batch in reversed(self._of("openai"))])
            case [batch_id, "cancel"]:
                self._cancel(batch_id, self._openai_batch)
            case [batch_id]:
                self._look(batch_id, self._openai_batch)

    def _route_messages(self, method: str, parts: list[str], query: str, body: bytes) -> None:
        match parts:
            case [] if method == "POST":
                self._create_messages(json.loads(body))
            case []:
                limit = int(parse_qs(query).get("limit", ["20"])[0])
                self._list([self._anthropic_batch(batch) for batch in reversed(self._of("anthropic"))][:limit])
            case [batch_id, "results"]:
                self._content(self._anthropic_results(self._find(batch_id)))
            case [batch_id, "cancel"]:
                self._cancel(batch_id, self._anthropic_batch)
            case [batch_id]:
                self._look(batch_id, self._anthropic_batch)

    def _of(self, api: str) -> list[StoredBatch]:
        return [batch for batch in self.served.batches if batch.api == api]

    def _find(self, batch_id: str) -> StoredBatch:
        return next(batch for batch in self.served.batches if batch.id == batch_id)

    def _list(self, rows: list[dict[str, Any]]) -> None:
        ends = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"]} if rows else {"first_id": None, "last_id": None}
        self._send(200, {}, {"object": "list", "data": rows, "has_more": False, **ends})

    def _content(self, content: bytes) -> None:
        """Send a file; a test can hold it in the middle."""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = content.find(b"\n", len(content) // 2) + 1
        self.wfile.write(content[:half])
        self.wfile.flush()
        self.served.pass_step("results:half")
        self.wfile.write(content[half:])

    def _upload(self, body: bytes) -> None:
        served = self.served
        served.pass_step("upload:before")
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        message: Any = email.message_from_bytes(head + body)
        part = next(part for part in message.get_payload() if part.get_filename())
        with served.lock:
            file_id = f"file-{uuid4().hex}"
            served.files[file_id] = (part.get_filename(), part.get_payload(decode=True))
        served.pass_step("upload:after")
        self._send(200, {}, self._file_object(file_id))

    def _file_object(self, file_id: str) -> dict[str, Any]:
        name, content = self.served.files[file_id]
        return {
            "id": file_id, "object": "file", "bytes": len(content), "created_at": 1, "filename": name,
            "purpose": "batch", "status": "processed",
        }  # fmt: skip

    def _create(self, body: dict[str, Any]) -> None:
        lines = [json.loads(line) for line in self.served.files[body["input_file_id"]][1].splitlines()]
        assert len({line["body"]["model"] for line in lines}) == 1, "a batch of OpenAI's has one model"
        assert all(line["url"] == body["endpoint"] and line["method"] == "POST" for line in lines)
        calls = {line["custom_id"]: line["body"] for line in lines}
        batch = StoredBatch("", "openai", calls, body.get("metadata") or {}, body["input_file_id"])
        self._begin(batch, self._openai_batch)

    def _create_messages(self, body: dict[str, Any]) -> None:
        calls = {request["custom_id"]: request["params"] for request in body["requests"]}
        self._begin(StoredBatch("", "anthropic", calls), self._anthropic_batch)

    def _begin(self, batch: StoredBatch, describe: Callable[[StoredBatch], dict[str, Any]]) -> None:
        served = self.served
        assert all(len(identifier) <= 64 for identifier in batch.calls)
        served.pass_step("create:before")
        with served.lock:
            batch.id = f"{'msgbatch' if batch.api == 'anthropic' else 'batch'}_{uuid4().hex}"
            batch.failed, batch.ended = served.fail, served.fail is not None
            served.batches.append(batch)
            for body in batch.calls.values():
                served.submitted[body["model"], _texts(body["messages"])] += 1
        if served.ends:
            served.settle(batch)
        served.pass_step("create:after")
        self._send(200, {}, describe(batch))

    def _look(self, batch_id: str, describe: Callable[[StoredBatch], dict[str, Any]]) -> None:
        self.served.pass_step("look")
        self._send(200, {}, describe(self._find(batch_id)))

    def _cancel(self, batch_id: str, describe: Callable[[StoredBatch], dict[str, Any]]) -> None:
        batch = self._find(batch_id)
        if batch.ended:
            self._send(409, {}, {"error": {"type": "invalid_request_error", "message": "it has ended"}})
            return
        batch.cancelling = True
        shown = describe(batch)
        self.served.settle(batch)
        self._send(200, {}, shown)

    def _openai_batch(self, batch: StoredBatch) -> dict[str, Any]:
        kinds = Counter(kind for kind, _ in batch.results.values())
        status = "in_progress"
        if batch.failed:
            status = "failed"
        elif batch.ended:
            status = "cancelled" if batch.cancelling else "expired" if kinds[EXPIRED] else "completed"
        elif batch.cancelling:
            status = "cancelling"
        files: dict[str, str | None] = {"output_file_id": None, "error_file_id": None}
        if batch.ended and not batch.failed:
            for name, wanted in (("output_file_id", True), ("error_file_id", False)):
                lines = [
                    json.dumps(_openai_line(identifier, kind, reply))
                    for identifier, (kind, reply) in batch.results.items()
                    if (kind == ANSWERED) is wanted
                ]
                if lines:
                    files[name] = f"{batch.id}-{name}"
                    self.served.files[f"{batch.id}-{name}"] = (f"{name}.jsonl", "\n".join(lines).encode())
        errors = {"object": "list", "data": [{"code": batch.failed, "message": f"told: {batch.failed}"}]}
        return {
            "id": batch.id, "object": "batch", "endpoint": "/v1/chat/completions", "completion_window": "24h",
            "input_file_id": batch.file_id, "status": status, "created_at": int(batch.created),
            "metadata": batch.metadata, "errors": errors if batch.failed else None,
            "request_counts": {
                "total": len(batch.calls), "completed": kinds[ANSWERED], "failed": kinds.total() - kinds[ANSWERED],
            },
            **files,
        }  # fmt: skip

    def _anthropic_batch(self, batch: StoredBatch) -> dict[str, Any]:
        kinds = Counter(kind for kind, _ in batch.results.values()) if batch.ended else Counter[str]()
        created = datetime.fromtimestamp(batch.created, UTC)
        status = "ended" if batch.ended else "canceling" if batch.cancelling else "in_progress"
        results_url = f"{self.served.url}/v1/messages/batches/{batch.id}/results" if batch.ended else None
        return {
            "id": batch.id, "type": "message_batch", "processing_status": status,
            "created_at": created.isoformat(), "expires_at": (created + timedelta(hours=24)).isoformat(),
            "ended_at": created.isoformat() if batch.ended else None, "archived_at": None,
            "cancel_initiated_at": created.isoformat() if batch.cancelling else None, "results_url": results_url,
            "request_counts": {
                "processing": 0 if batch.ended else len(batch.calls), "succeeded": kinds[ANSWERED],
                "errored": kinds[ERRORED], "canceled": kinds["cancelled"], "expired": kinds[EXPIRED],
            },
        }  # fmt: skip

    @staticmethod
    def _anthropic_results(batch: StoredBatch) -> bytes:
        lines = []
        for identifier, (kind, reply) in batch.results.items():
            result: dict[str, Any] = {"type": {ANSWERED: "succeeded", "cancelled": "canceled"}.get(kind, kind)}
            if kind == ANSWERED:
                result["message"] = reply
            if kind == ERRORED:
                error = {"type": "invalid_request_error", "message": "as told"}
                result["error"] = {"type": "error", "error": error, "request_id": None}
            lines.append(json.dumps({"custom_id": identifier, "result": result}))
        return "\n".join(lines).encode()


def _openai_line(identifier: str, kind: str, reply: Any) -> dict[str, Any]:
    line: dict[str, Any] = {"id": f"batch_req_{identifier}", "custom_id": identifier, "response": None, "error": None}
    if kind == ANSWERED:
        line["response"] = {"status_code": 200, "request_id": "r", "body": reply}
    elif kind == ERRORED:
        body = {"error": {"message": "as told", "type": "server_error"}}
        line["response"] = {"status_code": 500, "request_id": "r", "body": body}
    else:
        line["error"] = {"code": f"batch_{kind}", "message": f"the batch {kind}"}
    return line


@contextmanager
def batch_server() -> Iterator[BatchLlmServer]:
    """Run one; its base URLs are those of `llm_server`."""
    served = BatchLlmServer()
    with serving(type("BoundBatchHandler", (BatchHandler,), {"served": served})) as served.url:
        yield served
