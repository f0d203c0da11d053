"""A request's id: taken from the client or made, in every answer and every log line."""

from __future__ import annotations

import asyncio
import re
from uuid import uuid4

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

USABLE = re.compile(r"[A-Za-z0-9._\-]{1,128}")
MAX_PATH = 300
# Put there by mistake, a key would be kept in the clear.
KEY = re.compile(r"(ent_[a-z2-7]{8})[a-z2-7]+", re.IGNORECASE)
CODEC_TOKEN = re.compile(r"^/codec/.+/")


def add_header(scope: Scope, name: str, value: str) -> None:
    """Put a header on the answer of the request at hand, whichever route makes it."""
    scope.setdefault("towpath.headers", {})[name] = value


def note_caller(scope: Scope, **facts: str) -> None:
    """Keep who makes the request at hand, for the log: `organization`, and the beginning of the `key`."""
    caller_of(scope).update(facts)


def caller_of(scope: Scope) -> dict[str, str]:
    """Return what is known of who makes the request at hand."""
    facts: dict[str, str] = scope.setdefault("towpath.caller", {})
    return facts


def request_id() -> str:
    """Return the id of the request at hand; empty outside of one."""
    return correlation_id.get() or ""


def shown_path(path: str) -> str:
    """Return a path as it may stand in a log: without keys and tokens, and not endless."""
    masked = CODEC_TOKEN.sub("/codec/.../", KEY.sub(r"\1...", path))
    return masked if len(masked) <= MAX_PATH else f"{masked[:MAX_PATH]}..."


class HeadRequests:
    """Serves a HEAD as the GET of the same path, without its body: for routes that tell of GET alone.

    Args:
        app: What it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers of a GET; a stream is told that its reader has gone."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        gone = asyncio.Event()

        async def until_gone() -> Message:
            if gone.is_set():
                return {"type": "http.disconnect"}
            message = asyncio.ensure_future(receive())
            leaving = asyncio.ensure_future(gone.wait())
            await asyncio.wait([message, leaving], return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            if message.done():
                return message.result()
            message.cancel()
            return {"type": "http.disconnect"}

        async def head_alone(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                gone.set()

        await self._app({**scope, "method": "GET"}, until_gone, head_alone)


def usable_or_new(request_id: str) -> str:
    """Return the id that a client sent if it can stand in a log line, else a new one."""
    return request_id if USABLE.fullmatch(request_id) else str(uuid4())


def add_request_ids(app: FastAPI) -> None:
    """Give each request an id and its answer the same, outside of all that was added before.

    Args:
        app: Middleware that is added later runs outside of it and knows no id.
    """
    app.add_middleware(
        CorrelationIdMiddleware,
        header_name="X-Request-Id",
        update_request_header=False,
        generator=lambda: str(uuid4()),
        # As its validator, the pattern would write a warning for each request that somebody cares to send.
        validator=None,
        transformer=usable_or_new,
    )
    app.add_middleware(AnswerHeaders)


class AnswerHeaders:
    """Puts what routes have noted with `add_header` on the answer, unless it is an error.

    Pure ASGI, because a wrapper around the response would buffer streams.

    Args:
        app: What it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make room for what is noted, and send it along."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Made here, for what a route below puts into a scope of its own would not be seen.
        scope["towpath.caller"] = {}

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                MutableHeaders(scope=message).update(scope.get("towpath.headers", {}))
            await send(message)

        await self._app(scope, receive, with_headers)
