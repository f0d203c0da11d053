"""The door before every route: what no part can hold is refused here, in paths, queries and JSON bodies."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from towpath.api.http.errors import answer_error
from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.json_values import read_json

PAGES = ("/console", "/chat/", "/sign-")
MAX_EPILOGUE = 1024
"""Bytes behind the last boundary of a form, which mean nothing."""
UNREADABLE = b"%EF%BF%BD"
"""The character that stands for what cannot be read."""


class Intake:
    """Refuses a path or a query with a NUL character or bytes that are not UTF-8, whichever route it is for.

    Args:
        app: What it wraps.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] == "http":
            try:
                _check_place(scope.get("raw_path") or scope["path"].encode(), "the path")
                if scope["path"].startswith(PAGES):
                    # What a person has typed or followed is looked for, and not found.
                    scope["query_string"] = scope["query_string"].replace(b"%00", UNREADABLE)
                else:
                    _check_query(scope["query_string"])
            except BadInputError as error:
                answer = answer_error(Request(scope), error)
                await answer(scope, receive, send)
                return
            if boundary := _boundary(scope):
                receive = _whole_form(receive, boundary)
        await self._app(scope, receive, send)


def _boundary(scope: Scope) -> bytes | None:
    """What divides the parts of a form; None: the body is none."""
    content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    media, options = parse_options_header(content_type)
    return options.get(b"boundary") if media == b"multipart/form-data" else None


def _whole_form(receive: Receive, boundary: bytes) -> Receive:
    """Refuses a form that breaks off: its parser would take what came for the whole, and drop the field it was in."""
    end = b"--" + boundary + b"--"
    tail = b""

    async def checked() -> Message:
        nonlocal tail
        message = await receive()
        if message["type"] == "http.request":
            tail = (tail + message.get("body", b""))[-len(end) - MAX_EPILOGUE :]
            if not message.get("more_body", False) and end not in tail:
                raise BadInputError(
                    "the form breaks off before its last boundary", code=ErrorCode.TRUNCATED_BODY, field="body"
                )
        return message

    return checked


def _check_query(raw: bytes) -> None:
    for pair in raw.split(b"&"):
        name, _, value = pair.partition(b"=")
        field = _check_place(name, "a query parameter's name")
        _check_place(value, field)


def _check_place(raw: bytes, field: str) -> str:
    if b"\0" in raw or b"%00" in raw:
        raise BadInputError(f"{field} contains a null byte", code=ErrorCode.NULL_BYTE, field=field)
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise BadInputError(f"{field} is not UTF-8", code=ErrorCode.INVALID_ENCODING, field=field) from error


async def checked_body(request: Request) -> None:
    """Check, as a dependency of every route, that a JSON body holds nothing that cannot be stored.

    Routes that read their body themselves do so by `read_json`, which is the same check.

    Raises:
        BadInputError: The place of the value is named.
    """
    media = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if getattr(request.scope.get("route"), "body_field", None) is None or not media.endswith("json"):
        return
    if raw := await request.body():
        read_json(raw)
