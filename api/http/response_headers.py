"""Headers that every answer has unless its route says otherwise: nothing is kept, guessed at, framed or run."""

from __future__ import annotations

import base64
import hashlib
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PUBLIC_PATHS = ("/docs-files/",)
"""Scripts and styles of the documentation: the same for everyone, changed by a release alone."""
PUBLIC = "public, max-age=3600"
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
PICTURE = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
HSTS = "max-age=31536000"
INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class ResponseHeaders:
    """Pure ASGI, because a wrapper around the response would buffer streams.

    Args:
        app: What it wraps: all of the application, so that errors and preflights have the headers too.
        https: Whether people come by HTTPS alone, whatever this request came by.
        cookies: Whether cookies need HTTPS: then what came by it is to stay there.
    """

    def __init__(self, app: ASGIApp, *, https: bool, cookies: bool) -> None:
        self._app = app
        self._https = https
        self._cookies = cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, and add what its answer lacks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                svg = headers.get("content-type", "").startswith("image/svg+xml")
                headers.setdefault("Content-Security-Policy", PICTURE if svg else NOTHING)
                public = scope["path"].startswith(PUBLIC_PATHS) and message["status"] < 400
                headers.setdefault("Cache-Control", PUBLIC if public else "no-store")
                if self._https or (self._cookies and scope["scheme"] == "https"):
                    headers.setdefault("Strict-Transport-Security", HSTS)
                _keep_here(scope, headers)
            await send(message)

        await self._app(scope, receive, with_headers)


def _keep_here(scope: Scope, headers: MutableHeaders) -> None:
    """Make a redirect to the Host of the request one to a path: the router's own name a host that anybody may send."""
    base = f"{scope['scheme']}://{Headers(scope=scope).get('host', '')}"
    location = headers.get("location", "")
    if location.startswith(f"{base}/"):
        # A path that begins with two slashes would be read as a host.
        headers["location"] = "/" + location.removeprefix(base).lstrip("/")


def docs_policy(page: str) -> str:
    """What a page of the documentation may load: our own files, and the script that stands in it."""
    scripts = " ".join(f"'sha256-{_digest(script)}'" for script in INLINE.findall(page))
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data: blob:;"
        " font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
