"""A tenant that does everything that could keep others from their work, all at once and again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import orjson

from tests.support.console.console_data import make_extraction
from tests.support.console.site import make_model
from towpath.db.engine import Database

RUNAWAY = {"type": "object", "properties": {"customer": {"type": "string", "pattern": "^(a+)+$"}}}
MATCHED = "a" * 30 + "!"
"""A backtracking engine is at it for minutes, and twice as long for each further letter."""
YAML = b"views: [" + b"a," * 300_000 + b"a]"
PIECE = bytes(1 << 20)
PIECES = 250
SLOW_UPLOADS = 12
STREAMS = 400
DRIP_SECONDS = 0.5
LARGE = b" " * (1 << 20)
"""After so much an upload holds a place."""


@dataclass
class Noise:
    """What the tenant was answered: status and body by what it did."""

    url: str
    key: str
    model: UUID
    finished: UUID
    running: UUID
    answers: dict[str, list[tuple[int, dict[str, Any]]]] = field(default_factory=dict)
    streams: int = 0

    def note(self, what: str, status: int, body: bytes) -> None:
        given = orjson.loads(body) if body[:1] == b"{" else {}
        self.answers.setdefault(what, []).append((status, given))


@asynccontextmanager
async def noise(url: str, key: str, database: Database, organization: str) -> AsyncIterator[Noise]:
    """Make the noise as long as this lasts."""
    finished = await make_extraction(database, organization, data={"customer": "x"}, schema=RUNAWAY, review=False)
    running = await make_extraction(database, organization, review=False, ended=False)
    made = Noise(
        url, key, await make_model(database, organization), finished=finished.job_id, running=running.job_id
    )  # fmt: skip
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, timeout=600, limits=limits) as client:
        work = [
            *(_slow_upload(made, large=number % 2 == 0) for number in range(SLOW_UPLOADS)),
            *(_stream(made) for _ in range(STREAMS)),
            _annotate(made, client), _yaml(made, client), _flood(made, "/v1/indexes"),
            _flood(made, "/api/auth/login"),
        ]  # fmt: skip
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _open(noise: Noise, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(noise.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"{head}\r\nHost: here\r\nX-API-Key: {noise.key}\r\n".encode())
    return reader, writer


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return int(head.split()[1]), await reader.readexactly(length)


async def _slow_upload(noise: Noise, *, large: bool) -> None:
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await _open(noise, "POST /v1/entities/batch HTTP/1.1")
            writer.write(b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            if large:
                writer.write(f"{len(LARGE):x}\r\n".encode() + LARGE + b"\r\n")
            answering = asyncio.create_task(_answer(reader))
            try:
                while not answering.done():
                    writer.write(b"1\r\n \r\n")
                    await asyncio.wait({answering}, timeout=DRIP_SECONDS)
                noise.note("slow upload", *answering.result())
            finally:
                answering.cancel()
                writer.close()
        await asyncio.sleep(DRIP_SECONDS)


async def _stream(noise: Noise) -> None:
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await _open(noise, f"GET /v1/jobs/{noise.running}/events HTTP/1.1")
            writer.write(b"\r\n")
            try:
                status, body = await _answer(reader)
                if status != 200:
                    noise.note("stream", status, body)
                else:
                    noise.streams += 1
                    await reader.read()
            finally:
                writer.close()
        await asyncio.sleep(1)


async def _annotate(noise: Noise, client: httpx.AsyncClient) -> None:
    body = {"jobId": str(noise.finished), "annotatedData": {"customer": MATCHED}}
    while True:
        answer = await client.post("/annotate", json=body)
        noise.note("runaway pattern", answer.status_code, answer.content)
        await asyncio.sleep(DRIP_SECONDS)


async def _yaml(noise: Noise, client: httpx.AsyncClient) -> None:
    while True:
        answer = await client.put(
            f"/v1/models/{noise.model}/content", content=YAML, headers={"Content-Type": "application/yaml"}
        )
        noise.note("yaml", answer.status_code, answer.content)
        await asyncio.sleep(DRIP_SECONDS)


async def _flood(noise: Noise, path: str) -> None:
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await _open(noise, f"POST {path} HTTP/1.1")
            writer.write(b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            answering = asyncio.create_task(_answer(reader))
            try:
                with contextlib.suppress(OSError):
                    for _ in range(PIECES):
                        if answering.done():
                            break
                        writer.write(f"{len(PIECE):x}\r\n".encode() + PIECE + b"\r\n")
                        await writer.drain()
                noise.note("flood", *await answering)
            finally:
                answering.cancel()
                writer.close()
        await asyncio.sleep(DRIP_SECONDS)
