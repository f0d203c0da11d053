"""Each request leaves one line, whatever becomes of it, and nothing secret in it."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from tests.support.serving import served
from tests.support.waiting import until
from towpath.api.app import create_app
from towpath.api.http.errors import add_error_handlers
from towpath.api.http.request_log import RequestLog
from towpath.api.http.requests import add_request_ids
from towpath.runtime.settings import Settings


@dataclass
class Probe:
    """A small application behind the real log, on a real server."""

    url: str = ""
    begun: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    lines: list[str] = field(default_factory=list)

    def line(self, path: str) -> str:
        """The line of the request of a path; there must be one alone."""
        found = until(lambda: [one for one in self.lines if f"path={path}" in one], f"line of {path}")
        assert len(found) == 1
        return found[0]


class Keeper(logging.Handler):
    """Keeps what is logged."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage())


@pytest.fixture
def probe() -> Iterator[Probe]:
    """The application, with routes that wait, break and stream."""
    given = Probe()
    app = FastAPI()

    @app.get("/things/{name:path}")
    async def thing(name: str) -> str:
        return name

    @app.post("/things")
    async def add(request: Request) -> int:
        return len(await request.body())

    @app.get("/slow")
    async def slow() -> str:
        given.begun.set()
        await asyncio.to_thread(given.go.wait, 60)
        return "done"

    @app.get("/broken")
    async def broken() -> str:
        raise LookupError("secret detail")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first\n"
            given.begun.set()
            await asyncio.to_thread(given.go.wait, 60)
            yield b"last\n"

        return StreamingResponse(parts())

    add_error_handlers(app)
    app.add_middleware(RequestLog)
    add_request_ids(app)
    logger = logging.getLogger("towpath.requests")
    keeper = Keeper(given.lines)
    logger.addHandler(keeper)
    try:
        with served(app) as given.url:
            yield given
            given.go.set()
    finally:
        logger.removeHandler(keeper)


def leave(probe: Probe, path: str, *, after: str | None = None) -> None:
    """Ask for something and go before it has come, or when a part of it has."""
    where = urlsplit(probe.url)
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert probe.begun.wait(30)
        seen = b""
        while after is not None and after.encode() not in seen:
            seen += connection.recv(4096)


def test_an_answer_leaves_a_line_with_its_route_status_and_time(probe: Probe) -> None:
    httpx.get(f"{probe.url}/things/one", headers={"X-Request-Id": "mine-1"})

    line = probe.line("/things/one")
    assert line.startswith("method=GET route=/things/{name:path} path=/things/one status=200 ms=")
    assert line.endswith(" request_id=mine-1")


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/slow/", 404), ("/things", 405)])
def test_a_refused_request_leaves_one_too(probe: Probe, path: str, status: int) -> None:
    assert httpx.get(f"{probe.url}{path}", follow_redirects=False).status_code in {status, 307}

    assert " status=" in probe.line(path)


def test_a_defect_leaves_a_line_with_500(probe: Probe) -> None:
    answer = httpx.get(f"{probe.url}/broken")

    assert answer.status_code == 500
    line = probe.line("/broken")
    assert line.endswith(f" request_id={answer.json()['request_id']}")
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"]
    assert " status=500 " in line and " end=error " in line
    assert "secret detail" not in line


def test_a_stream_leaves_its_line_at_its_end(probe: Probe) -> None:
    with httpx.stream("GET", f"{probe.url}/stream") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "first"
        assert probe.begun.wait(30)
        assert probe.lines == []
        probe.go.set()
        assert list(lines) == ["last"]

    line = probe.line("/stream")
    assert " status=200 " in line and "end=" not in line


def test_a_client_that_left_before_the_answer_is_499(probe: Probe) -> None:
    leave(probe, "/slow")
    # The server has read the end of the connection when it answers the next one.
    httpx.get(f"{probe.url}/things/after")
    probe.go.set()

    assert " status=499 " in probe.line("/slow") and " end=left " in probe.line("/slow")


def test_a_stream_that_was_left_says_so(probe: Probe) -> None:
    leave(probe, "/stream", after="first")
    httpx.get(f"{probe.url}/things/after")
    probe.go.set()

    line = probe.line("/stream")
    assert " status=200 " in line and " end=left " in line


def test_a_body_that_nobody_reads_is_not_asked_for(probe: Probe) -> None:
    where = urlsplit(probe.url)
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall(
            b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 404")


def test_a_body_still_reaches_its_route_whole(probe: Probe) -> None:
    assert httpx.post(f"{probe.url}/things", content=b"x" * 300_000).json() == 300_000


KEY = "ent_" + "a2" * 20


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/things/x?token=SECRET1&key=SECRET1", "/things/x "),
        ("/things/a%0Amethod=GET%20status=200", '"/things/a\\nmethod=GET status=200" '),
        ("/things/%1b%5b2J%e2%80%a8", '"/things/\\u001b[2J\\u2028" '),
        ("/things/%22quoted%22", '"/things/\\"quoted\\"" '),
        (f"/things/{KEY}", "/things/ent_a2a2a2a2... "),
        ("/things/" + "z" * 2000, "/things/" + "z" * 292 + "... "),
    ],
)
def test_a_path_is_one_word_without_a_secret(probe: Probe, path: str, shown: str) -> None:
    httpx.get(f"{probe.url}{path}", headers={"Authorization": "Bearer SECRET2", "Cookie": "a=SECRET2"})

    (line,) = until(lambda: list(probe.lines), "line")
    assert f"path={shown}" in line
    assert "SECRET2" not in line and KEY not in line and "token" not in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_the_setting_decides_whether_there_is_a_log(wanted: bool) -> None:
    make: Callable[..., FastAPI] = create_app
    app = make(Settings(request_log=wanted))

    assert (RequestLog in [one.cls for one in app.user_middleware]) is wanted
