"""Reads a body of entities as a stream: bounded, decompressed, cut, checked, and staged page by page."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from starlette.requests import ClientDisconnect, Request

from contracts.errors import BadInput, ErrorCode, TooLarge, TowpathError
from contracts.jobs import FailedItem
from domain.entities import ScalarFields, parse_entity
from domain.json_stream import ArraySplitter, LineSplitter, Slice, Splitter
from domain.matching import entity_uid
from stores.db import Connection
from stores.staging import StagedItem, add_failures, stage_page

MOST_ENTITY_BYTES = 1 << 20
PAGE_BYTES = 4 << 20
SILENCE_SECONDS = 60.0
INFLATED_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one upload may hold."""

    json_bytes: int
    ndjson_bytes: int
    entities: int
    page_items: int


@dataclass(slots=True)
class Upload:
    """What has been staged."""

    digest: bytes
    items: int = 0
    failed: int = 0
    pages: int = 0
    fields: ScalarFields = field(default_factory=ScalarFields)


async def body_pieces(request: Request, *, limit: int) -> AsyncIterator[bytes]:
    """The body, decompressed, in pieces of bounded size.

    Args:
        request: The request; `Content-Encoding: gzip` is understood.
        limit: The most bytes after decompression.

    Raises:
        TooLarge: While reading, as soon as the limit is passed.
        BadInput: The gzip is broken, the encoding unknown, or the client stopped sending.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip"}:
        raise BadInput(f"Content-Encoding {encoding} is not understood; send gzip", code=ErrorCode.INVALID_ENCODING)
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise TooLarge(f"the body is larger than {limit} bytes")
    raw = _raw_pieces(request)
    size = 0
    async for piece in raw if encoding in {"identity", ""} else _inflated(raw):
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        yield piece


async def _raw_pieces(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                piece = await anext(stream, None)
        except TimeoutError as error:
            raise BadInput("the body stopped in the middle", code=ErrorCode.TRUNCATED_BODY) from error
        except ClientDisconnect as error:
            raise BadInput("the connection closed in the middle", code=ErrorCode.TRUNCATED_BODY) from error
        if piece is None:
            return
        if piece:
            yield piece


async def _inflated(raw: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    inflater = zlib.decompressobj(wbits=31)
    started = False
    try:
        async for piece in raw:
            started = True
            rest = piece
            while rest:
                if inflater.eof:
                    # A gzip file may be several, one behind the other.
                    inflater = zlib.decompressobj(wbits=31)
                out = inflater.decompress(rest, INFLATED_PIECE)
                if out:
                    yield out
                rest = inflater.unconsumed_tail or inflater.unused_data
        while not inflater.eof and (out := inflater.decompress(b"", INFLATED_PIECE)):
            yield out
    except zlib.error as error:
        raise BadInput(f"the gzip body is broken: {error}", code=ErrorCode.INVALID_ENCODING) from error
    if started and not inflater.eof:
        raise BadInput("the gzip body ends too early", code=ErrorCode.TRUNCATED_BODY)


async def read_whole(request: Request, *, limit: int) -> bytes:
    """A small body at once."""
    return b"".join([piece async for piece in body_pieces(request, limit=limit)])


async def digest_body(request: Request, limits: UploadLimits, *, start: bytes) -> bytes:
    """Only the digest of a body, for a request that has been answered before."""
    digest = hashlib.sha256(start)
    async for piece in body_pieces(request, limit=_limit(request, limits)):
        digest.update(piece)
    return digest.digest()


def is_ndjson(request: Request) -> bool:
    """Whether the body is one entity a line.

    Raises:
        BadInput: Neither JSON nor NDJSON.
    """
    media = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if media in {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}:
        return True
    if media == "application/json" or media.endswith("+json"):
        return False
    raise BadInput(
        f"Content-Type {media} is not understood; send application/json or application/x-ndjson",
        code=ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    )


def _limit(request: Request, limits: UploadLimits) -> int:
    return limits.ndjson_bytes if is_ndjson(request) else limits.json_bytes


class Stager:
    """Stages the entities of one request into one job, in the caller's transaction.

    Args:
        connection: Its transaction makes the upload whole or undone.
        job_id: The job to come.
        limits: What the upload may hold.
    """

    def __init__(self, connection: Connection, job_id: UUID, limits: UploadLimits) -> None:
        self._connection = connection
        self._job_id = job_id
        self._limits = limits
        self._items: list[StagedItem] = []
        self._bytes = 0
        self._lines = False
        self._upload = Upload(digest=b"")

    async def stage(self, request: Request, *, start: bytes) -> Upload:
        """Read the whole body.

        Args:
            request: The request.
            start: What the digest covers besides the body.

        Raises:
            BadInput: The body as a whole cannot be taken; nothing of it is.
            TooLarge: It holds too much.
        """
        self._lines = is_ndjson(request)
        splitter: Splitter
        splitter = (LineSplitter if self._lines else ArraySplitter)(most_bytes=MOST_ENTITY_BYTES)
        digest = hashlib.sha256(start)
        async for piece in body_pieces(request, limit=_limit(request, self._limits)):
            digest.update(piece)
            for found in splitter.feed(piece):
                await self._take(found)
        for found in splitter.close():
            if self._lines:
                self._refuse_cut_line(found)
            await self._take(found)
        await self._flush()
        self._upload.digest = digest.digest()
        if self._upload.items == 0:
            raise BadInput("entities must not be empty", code=ErrorCode.EMPTY_LIST, field="entities")
        unknown = sorted(splitter.options)
        if unknown:
            raise BadInput(f"unknown member {unknown[0].decode()} beside entities", field=unknown[0].decode())
        return self._upload

    async def stage_one(self, raw: bytes, *, start: bytes) -> Upload:
        """Stage a single entity that has been read already.

        Raises:
            BadInput: It cannot be taken.
        """
        parse_entity(raw)
        await self._take(Slice(0, raw))
        await self._flush()
        self._upload.digest = hashlib.sha256(start + raw).digest()
        return self._upload

    def _refuse_cut_line(self, found: Slice) -> None:
        try:
            parse_entity(found.raw)
        except BadInput as error:
            if error.code is ErrorCode.INVALID_JSON:
                raise BadInput(
                    f"the last line, at offset {found.offset}, has no line break and is not valid JSON:"
                    " the body was cut off",
                    code=ErrorCode.TRUNCATED_BODY,
                ) from error

    async def _take(self, found: Slice) -> None:
        position = self._upload.items
        if position >= self._limits.entities:
            raise TooLarge(f"more than {self._limits.entities} entities in one request")
        item = StagedItem(raw=found.raw.replace(b"\r", b" ").replace(b"\n", b" "))
        try:
            entity = parse_entity(found.raw, f"entities[{position}]", offset=found.offset)
            item.uid = entity_uid(entity["id"])
            item.id = str(entity["id"])
            self._upload.fields.see(entity)
        except TowpathError as error:
            # A line of NDJSON stands alone; JSON that is broken in one place is broken as a whole.
            if error.code is ErrorCode.INVALID_JSON and not self._lines:
                raise
            item.code, item.message = error.code, error.detail
        self._items.append(item)
        self._bytes += len(item.raw)
        self._upload.items += 1
        if len(self._items) >= self._limits.page_items or self._bytes >= PAGE_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        if not self._items:
            return
        first = self._upload.items - len(self._items)
        bad = await stage_page(self._connection, self._job_id, self._upload.pages, first, self._items)
        self._upload.failed += bad
        failures = [
            FailedItem(index=first + place, id=item.id, stage="staging", code=item.code, message=item.message)
            for place, item in enumerate(self._items)
            if item.code is not None
        ]
        await add_failures(self._connection, self._job_id, failures)
        self._upload.pages += 1
        self._items, self._bytes = [], 0
