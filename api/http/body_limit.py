"""Bounds every body, of every route: how large it may be, how slowly it may come, how long it may take.

The bytes are counted as they come, so that a body without a length, or with a false one, is bounded as well. A route
that takes more than the small default says so when it begins to read (`allow`). What is refused is not read: it is
answered, a little of the rest is thrown away, so that the client gets to see the answer, and the connection closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from math import inf
from typing import cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towpath.api.http.requests import caller_of
from towpath.core.errors import SlowBodyError, TooLargeError
from towpath.runtime.settings import Settings

METER = "towpath.body"
SIGN_IN_BYTES = 16 << 10
SIGN_IN_PATHS = ("/api/auth/", "/sign-", "/password-reset", "/invitation")
"""Where anybody may send a body: it is small."""
IGNORED_BYTES = 64 << 10
"""A body that nobody reads costs the connection where it is larger."""
LINGER_BYTES = 8 << 20
LINGER_SECONDS = 5.0
"""How much, and how long, is read only to be thrown away; of a caller that is known the time alone counts."""


class BodyLimit:
    """Puts a meter before the body of each request.

    Args:
        app: What it wraps.
        settings: The limits.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with its body measured."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        meter = _Meter(scope, receive, send, self._settings)
        scope[METER] = meter
        await self._app(scope, meter.receive, meter.send)


def allow(scope: Scope, limit: int, setting: str | None = None) -> None:
    """Let the body of the request at hand be as large as its route takes it.

    Args:
        scope: Of the request.
        limit: In bytes as they come; what is compressed is counted again by who unpacks it.
        setting: The setting that says so; None: it is fixed.

    Raises:
        TooLargeError: The body says that it is larger.
    """
    meter = cast("_Meter | None", scope.get(METER))
    if meter is not None:
        meter.allow(limit, setting)


def body_size(scope: Scope) -> int:
    """Return how many bytes of the body have come."""
    meter = cast("_Meter | None", scope.get(METER))
    return 0 if meter is None else meter.size


def too_large(limit: int, setting: str | None) -> TooLargeError:
    """Says which limit a body is beyond."""
    suffix = f", the limit of TOWPATH_{setting.upper()}" if setting else ""
    return TooLargeError(f"the body is larger than {limit} bytes{suffix}")


class _Meter:
    """One request's body."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: Settings) -> None:
        self._receive = receive
        self._send = send
        self._scope = scope
        headers = Headers(scope=scope)
        # The parser hands on blanks behind a length, and zeros before it.
        length = headers.get("content-length", "").strip(" \t")
        plain = length.lstrip("0") or length[:1]
        self._announced = int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 20 else None
        # A request without either has no body; one whose length cannot be read has a body of unknown length.
        self._whole = "transfer-encoding" not in headers and ("content-length" not in headers or self._announced == 0)
        self._limit, self._setting = settings.max_body_bytes, cast("str | None", "max_body_bytes")
        if scope["path"].startswith(SIGN_IN_PATHS):
            self._limit, self._setting = SIGN_IN_BYTES, None
        self._rate, self._grace = settings.upload_min_rate, settings.upload_grace_seconds
        # Each byte that comes lets it wait a little more, up to the grace.
        self._credit = self._grace
        self._remaining = self._longest = settings.upload_seconds
        self.size = 0
        self._lingers = False

    def allow(self, limit: int, setting: str | None) -> None:
        self._limit, self._setting = limit, setting
        self._check()

    def _check(self) -> None:
        if max(self.size, self._announced or 0) > self._limit:
            raise too_large(self._limit, self._setting)

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        self._check()
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(self._credit, self._remaining) if self._rate else self._remaining):
                message = await self._receive()
        except TimeoutError as error:
            raise self._too_slow(time.monotonic() - began) from error
        # Only what the client lets wait counts: whoever reads may take as long as it needs.
        waited = time.monotonic() - began
        self._remaining -= waited
        if message["type"] != "http.request":
            self._whole = True
            return message
        came = len(message.get("body", b""))
        self.size += came
        if self._rate:
            self._credit = min(self._grace, self._credit - waited + came / self._rate)
        self._whole = not message.get("more_body", False)
        self._check()
        return message

    def _too_slow(self, waited: float) -> SlowBodyError:
        if self._remaining <= waited:
            return SlowBodyError(
                f"the body took longer than {self._longest:g} s, the limit of TOWPATH_UPLOAD_SECONDS;"
                f" {self.size} bytes had come"
            )
        return SlowBodyError(
            f"the body comes too slowly: after {self._grace:g} s at least {self._rate} bytes a second are needed"
            f" (TOWPATH_UPLOAD_GRACE_SECONDS, TOWPATH_UPLOAD_MIN_RATE); {self.size} bytes had come"
        )

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._is_unread(message["status"]):
            self._lingers = True
            MutableHeaders(scope=message)["Connection"] = "close"
        if self._lingers and message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _is_unread(self, status: int) -> bool:
        """Return whether so much of the body is left that the server should not read on only to throw it away."""
        if self._whole:
            return False
        return self._announced is None or self._announced - self.size > IGNORED_BYTES or status in {408, 413}

    async def _linger(self) -> None:
        """Throw a little away: a connection that is closed with bytes unread takes its answer with it."""
        thrown, most = 0, inf if caller_of(self._scope) else LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while thrown < most:
                    message = await self._receive()
                    thrown += len(message.get("body", b""))
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
