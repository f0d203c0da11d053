"""What is said of a path or a method that is not served: what is."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request
from fastapi.routing import iter_route_contexts
from starlette.routing import Match
from starlette.types import Scope

from towpath.core.suggestions import find_nearest_path

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MAX_SHOWN = 200


def find_methods(request: Request) -> list[str]:
    """Return all methods that a request's path is served with, by whichever routes."""
    scope: Scope = {
        "type": "http",
        "path": request.scope["path"],
        "root_path": request.scope.get("app_root_path", ""),
        "headers": [],
        "query_string": b"",
        "app": request.app,
    }
    served = [
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]
    # `HeadRequests` serves a HEAD wherever there is a GET.
    return [method for method in METHODS if method in served or (method == "HEAD" and "GET" in served)]


def join_with_or(words: Sequence[str]) -> str:
    """Join words of which one is to be chosen: `GET, POST or DELETE`."""
    listed = [word for word in words if word != "HEAD"] or list(words)
    return " or ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)


def describe_unknown_path(request: Request) -> str:
    """Return a sentence that a path is not served, with the one that may have been meant."""
    path = request.scope["path"]
    contexts = iter_route_contexts(request.app.routes)
    paths = [str(context.path) for context in contexts if getattr(context, "include_in_schema", False)]
    near = find_nearest_path(path[:MAX_SHOWN], paths)
    short = path if len(path) <= MAX_SHOWN else f"{path[:MAX_SHOWN]}..."
    return f"nothing is served at {short}" + (f"; did you mean {near}?" if near else "")
