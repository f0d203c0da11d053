"""A request that only reads ends when its client leaves, and so does what it asked of the database.

Without it a page that nobody waits for any more goes on to its end, and a client that gives up and asks again piles
one such page on the other. Ended are GET, HEAD, and the POSTs below, whose body is only a long question. Every other
request goes on: what it has begun to write must come to its end, and a job whose row is committed must be started.

The handler's task is cancelled, once; psycopg then cancels the running statement in Postgres and waits for that, the
transaction rolls back, and the connection goes back into the pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towpath.api.http.requests import request_id
from towpath.core.errors import TowpathError

logger = logging.getLogger(__name__)

SAFE_METHODS = {"GET", "HEAD"}
QUESTIONS = {
    "/embeddings/similarity-search",
    "/embeddings/payload-search",
    "/embeddings/payload-count",
    "/api/enrichment/estimate",
}
"""Paths of POSTs that change nothing and call no paid model."""


class EndWithClient:
    """Pure ASGI, because a wrapper around the response would buffer streams.

    Once an answer has begun, its end is the business of who sends it: streams look for the client themselves.

    Args:
        app: What it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request, beside a look-out for its client where it only reads."""
        if scope["type"] == "http" and _only_reads(scope):
            await _Watched(scope, receive, send).run(self._app)
        else:
            await self._app(scope, receive, send)


def _only_reads(scope: Scope) -> bool:
    if scope["method"] in SAFE_METHODS:
        return True
    return scope["method"] == "POST" and scope["path"].removeprefix("/api/v1") in QUESTIONS


class _Watched:
    """One request whose messages pass through here, so that the client's leaving is seen while nobody asks for them."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        # One at a time: a body is not read faster than the handler takes it, and its limits stay the handler's.
        self._messages: asyncio.Queue[Message | Exception] = asyncio.Queue(maxsize=1)
        self._requested = asyncio.Event()
        if scope["method"] in SAFE_METHODS:
            self._requested.set()
        self._begun = False
        self._has_left = False

    async def run(self, app: ASGIApp) -> None:
        handler = asyncio.ensure_future(app(self._scope, self._hand, self._relay))
        lookout = asyncio.create_task(self._look(handler))
        try:
            await handler
        except asyncio.CancelledError:
            if not self._has_left:
                raise
            logger.info(
                "%s %s: the client has left, request %s",
                self._scope["method"], self._scope["path"], request_id(),
            )  # fmt: skip
        finally:
            # Neither outlives the request, whoever ends it.
            for task in (handler, lookout):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await lookout

    async def _hand(self) -> Message:
        self._requested.set()
        message = await self._messages.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def _relay(self, message: Message) -> None:
        self._begun = True
        await self._send(message)

    async def _look(self, handler: asyncio.Future[None]) -> None:
        """Hand the client's messages on; when it leaves before the answer has begun, end the handler."""
        # A body is not read before the handler wants it: who asks may have no key.
        await self._requested.wait()
        try:
            while (message := await self._receive())["type"] != "http.disconnect":
                await self._messages.put(message)
        except TowpathError as error:
            await self._messages.put(error)
            return
        if not self._begun and not handler.done():
            self._has_left = True
            handler.cancel()
        while True:
            # Who asks hears of it as often as it asks.
            await self._messages.put(message)
