"""What a body is said to be: one reading of `Content-Type` for all routes."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Scope

from towpath.core.errors import UnsupportedMediaTypeError

JSON = "application/json"
NDJSON = "application/x-ndjson"
YAML = "application/yaml"
FORM = "application/x-www-form-urlencoded"
SAME = {
    "application/ndjson": NDJSON,
    "application/jsonl": NDJSON,
    "application/x-jsonlines": NDJSON,
    "application/x-yaml": YAML,
    "text/yaml": YAML,
    "text/x-yaml": YAML,
}
"""Other names of one type."""


def media_type(headers: Headers) -> str:
    """Return the type of a body without its parameters; empty: none is told."""
    media = headers.get("content-type", "").split(";")[0].strip().lower()
    return SAME.get(media, media)


def settle_media(scope: Scope, accepted: Iterable[str]) -> UnsupportedMediaTypeError | None:
    """Settle what a request's body is read as.

    A body without a type, or with the one that curl gives to every `-d`, is JSON where JSON is taken. From a
    browser it is not: another site's page can send such a body without asking, but not one that is called JSON.

    Args:
        scope: Of the request; its `Content-Type` is set to what the body is read as.
        accepted: The types that the route takes.

    Returns:
        Why the body cannot be read; None: it can, or there is none.
    """
    headers, types = Headers(scope=scope), list(accepted)
    media = media_type(headers)
    if media in types or (JSON in types and media.endswith("+json")):
        return None
    if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
        return None
    browser = "origin" in headers or "sec-fetch-site" in headers
    if JSON in types and media in {"", FORM} and not browser:
        MutableHeaders(scope=scope)["content-type"] = JSON
        return None
    problem = f"Content-Type {media[:100]} is not understood" if media else "Content-Type is missing"
    return UnsupportedMediaTypeError(f"{problem}; send {' or '.join(types)}", field="Content-Type")
