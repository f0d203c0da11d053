"""Which other sites' pages may call the API from a browser; none, unless a setting names them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    "Authorization", "X-API-Key", "Content-Type", "Content-Encoding", "Idempotency-Key", "Last-Event-ID", "Prefer",
    "Cache-Control", "Towpath-Deadline", "Towpath-Webhook-Url", "Towpath-Webhook-Secret", "Towpath-Webhook-Metadata",
    "X-Client-Origin", "X-Request-Id",
)  # fmt: skip
RESPONSE_HEADERS = (
    "X-Request-Id", "Retry-After", "Location", "Warning", "Allow", "WWW-Authenticate", "Idempotency-Replayed",
    "Preference-Applied", "X-Total-Count", "Towpath-Webhook-Secret", "Towpath-Total-Rows", "Towpath-Total-Rows-Exact",
    "Towpath-Truncated", "Content-Disposition", "RateLimit", "RateLimit-Policy",
)  # fmt: skip
PREFLIGHT_SECONDS = 600
CODEC = "/codec/"


def with_cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of some origins send what they have a key for; our cookies are never theirs to send.

    Args:
        app: All of the application: a preflight has no key, and an error is to be read as well.
        origins: Exact origins, or `*`; none: the application as it is.
    """
    if not origins:
        return app
    others = CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=REQUEST_HEADERS,
        expose_headers=RESPONSE_HEADERS,
        allow_credentials=False,
        max_age=PREFLIGHT_SECONDS,
    )

    async def by_path(scope: Scope, receive: Receive, send: Send) -> None:
        # The codec is for the Temporal UI alone, and answers its preflights itself.
        own = scope["type"] == "http" and scope["path"].startswith(CODEC)
        await (app if own else others)(scope, receive, send)

    return by_path
