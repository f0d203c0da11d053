"""A receiver of webhooks on loopback that keeps what it got and answers as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.loopback import LoopbackHandler, serving


@dataclass
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


@dataclass
class Script:
    """How one request is answered; `hang` seconds first, or not at all."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang: float = 0.0
    close: bool = False
    body: bytes = b""


@dataclass
class Receiver:
    """The server's state; scripts are used up one by one, then everything is answered 200."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    by_path: dict[str, Script] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, path: str) -> list[Got]:
        """The requests to a path."""
        with self.lock:
            return [one for one in self.got if one.path == path]

    def wait(self, path: str, count: int = 1, seconds: float = 30) -> list[Got]:
        """Wait for so many requests to a path."""
        ends = time.monotonic() + seconds
        while len(found := self.of(path)) < count:
            assert time.monotonic() < ends, f"{len(found)} of {count} requests to {path}"
            time.sleep(0.02)
        return found


class _Handler(LoopbackHandler):
    served: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        served = self.served
        with served.lock:
            served.got.append(Got(self.path, dict(self.headers), body, time.time()))
            script = served.by_path.get(self.path) or (served.scripts.pop(0) if served.scripts else Script())
        time.sleep(script.hang)
        if script.close:
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(script.status)
        for name, value in {"Content-Length": str(len(script.body)), **script.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(script.body)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run one."""
    served = Receiver()
    with serving(type("BoundHandler", (_Handler,), {"served": served})) as served.url:
        yield served
