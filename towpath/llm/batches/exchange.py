"""Stands in for the provider in a single call, below the SDK and instructor.

So the body that goes into a batch is the one that a live call sends, and a result of a batch is read, checked and
repaired by what reads a live answer: nothing knows how either is made.
"""

from __future__ import annotations

from typing import Any, Protocol

import httpx2
import orjson

JSON = {"content-type": "application/json"}


class Exchange(Protocol):
    """Answers requests in the provider's place."""

    def answer(self, request: httpx2.Request) -> httpx2.Response | None:
        """Return the answer to a request; None: it is sent."""
        ...


class CapturedError(Exception):
    """Ends a call whose body was all that was wanted."""


class Capture:
    """Takes the body of a request, which is not sent.

    Attributes:
        body: The body.
    """

    def __init__(self) -> None:
        self.body: bytes | None = None

    def answer(self, request: httpx2.Request) -> httpx2.Response | None:
        """Take the body.

        Raises:
            CapturedError: Always.
        """
        self.body = request.content
        raise CapturedError


class Replay:
    """Answers the first request of a call with what a batch has brought; what follows is sent.

    Args:
        reply: The body of the answer.
        paid: Whether it is booked already: then it tells of no tokens.
    """

    def __init__(self, reply: bytes, *, paid: bool = False) -> None:
        self._reply: bytes | None = _without_usage(reply) if paid else reply

    def answer(self, request: httpx2.Request) -> httpx2.Response | None:
        """Return the stored answer, once."""
        if self._reply is None:
            return None
        reply, self._reply = self._reply, None
        return httpx2.Response(200, content=reply, headers=JSON, request=request)


def _without_usage(reply: bytes) -> bytes:
    body = orjson.loads(reply)
    if isinstance(body, dict) and isinstance(body.get("usage"), dict):
        body["usage"] = _zeroed(body["usage"])
    return orjson.dumps(body)


def _zeroed(usage: dict[str, Any]) -> dict[str, Any]:
    zeroed: dict[str, Any] = {}
    for name, value in usage.items():
        if isinstance(value, dict):
            zeroed[name] = _zeroed(value)
        else:
            zeroed[name] = 0 if isinstance(value, int | float) and not isinstance(value, bool) else value
    return zeroed
