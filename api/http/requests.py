"""A request's id: taken from the client or made, in every answer and every log line."""

from __future__ import annotations

import asyncio
import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
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
    """What is known of who makes the request at hand."""
    facts: dict[str, str] = scope.setdefault("towpath.caller", {})
    return facts


def request_id(scope: Scope) -> str:
    """The id of the request at hand."""
    return str(scope.get("towpath.request_id", ""))


def shown_path(path: str) -> str:
    """A path as it may stand in a log: without keys and tokens, and not endless."""
    shown = CODEC_TOKEN.sub("/codec/.../", KEY.sub(r"\1...", path))
    return shown if len(shown) <= MAX_PATH else f"{shown[:MAX_PATH]}..."


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


class RequestIds:
    """Pure ASGI, because a wrapper around the response would buffer streams.

    Args:
        app: What it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request its id and the answer the same."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        # Made here, for what a route below puts into a scope of its own would not be seen.
        scope["towpath.caller"] = {}
        scope["towpath.request_id"] = given if USABLE.fullmatch(given) else str(uuid4())

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id(scope)
                if message["status"] < 400:
                    headers.update(scope.get("towpath.headers", {}))
            await send(message)

        await self._app(scope, receive, with_id)
