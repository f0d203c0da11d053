"""A loopback server that answers with exactly the bytes a test gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Handler = Callable[[str, dict[str, str], asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Where it listens and what it was asked.

    Attributes:
        answers: A path's bytes, or what writes them.
        asked: Path and headers (names in small letters) of each request.
    """

    port: int = 0
    answers: dict[str, bytes | Handler] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if length := int(headers.get("content-length", "0")):
            await reader.readexactly(length)
        self.asked.append((path, headers))
        answer = self.answers.get(path, answered(404))
        try:
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(path, headers, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()


def answered(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer on the wire."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin1") + body


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    """Run one."""
    served = RawServer()
    server = await asyncio.start_server(served.handle, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
