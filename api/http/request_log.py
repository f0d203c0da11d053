"""One line in the log for each request, so that the request id of an answer leads to what happened.

    INFO towpath.requests method=GET route=/v1/jobs/{job_id} path="/v1/jobs/5f" status=404 ms=3.1 organization=default
    key=ent_abcdefgh request_id=0d0e...

No query, body or header is in it: they hold tokens, keys and passwords. `end` is there when an answer did not get
to its end: `left` by its client, an `error`, `cancelled` or `cut` by the end of the server.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towpath.api.http.requests import caller_of, request_id, shown_path

logger = logging.getLogger("towpath.requests")

CLIENT_LEFT = 499
"""The client went before the answer began; no standard status says that, this one of nginx is widely known."""
WORD = re.compile(r"[A-Za-z0-9._~:/{}\-]+")


class RequestLog:
    """Writes the line when the answer has gone out: of a stream at its end.

    Args:
        app: What it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # The setting that turns the log off decides, not the level of all other lines.
        logger.setLevel(logging.INFO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and tell what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, receive, send)
        began = time.perf_counter()
        try:
            await self._app(scope, answer.receive, answer.send)
        except BaseException as error:
            answer.fail(error)
            raise
        finally:
            logger.info("%s", _line(scope, answer, (time.perf_counter() - began) * 1000))


class _Answer:
    """Listens to both directions of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._read = not {name for name, _ in scope["headers"]} & {b"content-length", b"transfer-encoding"}
        self._has_left = False
        self._whole = False
        self.status = 0
        self.end: str | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self._has_left |= message["type"] == "http.disconnect" and not self._whole
        self._read |= message["type"] == "http.request" and not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._look()
            self.status = CLIENT_LEFT if self._has_left else message["status"]
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._whole = True
            self.end = "left" if self._has_left else None
        await self._send(message)

    async def _look(self) -> None:
        """Ask the server whether the client is still there: nobody else does before a plain answer."""
        # One whose body was not read is told to send it when it is asked for; it is not asked for now.
        if self._has_left or not self._read:
            return
        asking = asyncio.ensure_future(self._wait_until_left())
        try:
            # One turn of the loop: a server that knows that the client has gone says so without waiting.
            await asyncio.wait({asking}, timeout=0)
        finally:
            asking.cancel()

    async def _wait_until_left(self) -> None:
        while not self._has_left:
            await self.receive()

    def fail(self, error: BaseException) -> None:
        """Note how it ended without a whole answer."""
        raised = 500 if isinstance(error, Exception) else CLIENT_LEFT
        self.status = self.status or (CLIENT_LEFT if self._has_left else raised)
        self.end = "left" if self._has_left else "error" if isinstance(error, Exception) else "cancelled"

    def finish(self) -> None:
        """Note that a stream stopped before its end: its client left, or the server stops."""
        if not self._whole and self.end is None:
            self.status, self.end = self.status or CLIENT_LEFT, "left" if self._has_left else "cut"


def _line(scope: Scope, answer: _Answer, milliseconds: float) -> str:
    answer.finish()
    route = scope.get("route")
    caller = caller_of(scope)
    fields: dict[str, Any] = {
        "method": scope["method"],
        "route": getattr(route, "path", None),
        "path": shown_path(scope["path"]),
        "status": answer.status,
        "ms": f"{milliseconds:.1f}",
        "organization": caller.get("organization"),
        "key": caller.get("key"),
        "end": answer.end,
        "request_id": request_id(),
    }
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items() if value is not None)


def _value(value: Any) -> str:
    """Return a value as one word, or quoted with everything escaped that could end the line or begin a field."""
    text = str(value)
    return text if WORD.fullmatch(text) else json.dumps(text)
