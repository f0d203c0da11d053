"""A loopback site that entities are read from, in every shape and failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.loopback import LoopbackHandler, serving

ENTITIES = [{"name": "Vega Lamps"}]
PAGES: dict[str, tuple[int, bytes]] = {
    "/list": (200, json.dumps(ENTITIES).encode()),
    "/wrapped": (200, json.dumps({"meta": 1, "results": ENTITIES}).encode()),
    "/text": (200, b"no json"),
    "/number": (200, b"7"),
    "/broken": (500, b"oops"),
}


@contextmanager
def source_server(*, needed: tuple[str, str] | None = None) -> Iterator[str]:
    """Run one that wants a header; its URL."""

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:
            status, body = PAGES.get(self.path, (404, b"no such page"))
            if needed is not None and self.headers.get(needed[0]) != needed[1]:
                status, body = 401, b"who are you?"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as url:
        yield url
