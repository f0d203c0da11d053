"""A loopback HTTP server in threads, for the tests' stand-ins of what is remote."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


class LoopbackHandler(BaseHTTPRequestHandler):
    """A connection that is kept, and says nothing on the console."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes; without this the second waits 40 ms for the reader's delayed acknowledgement.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve until the end; the base URL."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
