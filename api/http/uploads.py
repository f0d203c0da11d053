"""Reads a body of many items as a stream: bounded, decompressed, cut, checked, and staged page by page."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import UUID

from starlette.requests import ClientDisconnect, Request

from towpath.api.http.body_limit import allow, too_large
from towpath.api.http.media import NDJSON, media_type
from towpath.core.errors import BadInputError, ErrorCode, TooLargeError, TowpathError
from towpath.core.json_stream import HEAD_BYTES, ArraySplitter, LineSplitter, Slice, Splitter, scalar_member
from towpath.core.json_values import BYTE_ORDER_MARK, BadValueError, read_json
from towpath.db.engine import Connection
from towpath.jobs.store.staging import StagedItem, add_failures, stage_page
from towpath.jobs.types import FailedItem

PAGE_BYTES = 4 << 20
AHEAD = "towpath.ahead"
AHEAD_BYTES = 1 << 20
"""Read before a place among the uploads is taken: most bodies end before."""
INFLATED_PIECE = 1 << 18
MAX_IDENTITY = 512


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one upload may hold."""

    json_bytes: int
    """As the setting `json_setting` says."""
    json_setting: str
    items: int
    item_bytes: int
    page_items: int
    ndjson_bytes: int | None = None
    """As `max_ndjson_bytes` says; None: one JSON object is the only form."""


@dataclass(frozen=True, slots=True)
class ItemKind:
    """What one kind of upload is a list of.

    Args:
        name: The member that holds the list, and the word for the items.
        identity: The member that names an item.
        read: Checks one item and gives it its uid; raises `TowpathError`.
        alone: Whether an item that is not of the form fails only itself; else it fails the upload. One that is too
            large, or has a value that no part can hold, always fails alone.
        note_failed: Takes note of an item that has failed alone.
        shown: Whether a failed item is kept to be shown as it was sent.
        may_be_empty: Whether a list without items is one.
    """

    name: str
    identity: str
    read: Callable[[Slice, int], StagedItem]
    alone: bool = True
    may_be_empty: bool = False
    note_failed: Callable[[Slice], None] | None = None
    shown: bool = False


@dataclass(slots=True)
class Upload:
    """What has been staged."""

    digest: bytes
    items: int = 0
    failed: int = 0
    pages: int = 0
    options: dict[str, bytes] = field(default_factory=dict)
    """The other members of the body, as they came."""


async def body_pieces(request: Request, *, limit: int, setting: str | None = None) -> AsyncIterator[bytes]:
    """The body, decompressed, in pieces of bounded size.

    Args:
        request: The request; `Content-Encoding: gzip` is understood.
        limit: The most bytes, as they come and after decompression.
        setting: The setting that says so.

    Raises:
        TooLargeError: While reading, as soon as the limit is passed.
        SlowBody: It does not come.
        BadInputError: The gzip is broken, the encoding unknown, or the client stopped sending.
    """
    allow(request.scope, limit, setting)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip"}:
        raise BadInputError(
            f"Content-Encoding {encoding} is not understood; send gzip", code=ErrorCode.INVALID_ENCODING
        )
    raw = _raw_pieces(request)
    size = 0
    async for piece in raw if encoding in {"identity", ""} else _inflated(raw):
        size += len(piece)
        if size > limit:
            raise too_large(limit, setting)
        yield piece


async def read_ahead(request: Request) -> bool:
    """Read the beginning of a body that has not been read; who reads the body gets it from there.

    Returns:
        Whether that was all of it.

    Raises:
        TooLarge, SlowBody: As the request's meter says.
        BadInputError: The client stopped sending.
    """
    rest = _stream(request)
    ahead: list[bytes] = []
    request.scope[AHEAD] = (ahead, rest)
    size = 0
    async for piece in rest:
        ahead.append(piece)
        size += len(piece)
        if size >= AHEAD_BYTES:
            return False
    return True


async def _raw_pieces(request: Request) -> AsyncIterator[bytes]:
    ahead, rest = request.scope.pop(AHEAD, ([], None))
    while ahead:
        yield ahead.pop(0)
    async for piece in rest or _stream(request):
        yield piece


async def _stream(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect as error:
        raise BadInputError("the connection closed in the middle", code=ErrorCode.TRUNCATED_BODY) from error


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
        raise BadInputError(f"the gzip body is broken: {error}", code=ErrorCode.INVALID_ENCODING) from error
    if started and not inflater.eof:
        raise BadInputError("the gzip body ends too early", code=ErrorCode.TRUNCATED_BODY)


async def read_whole(request: Request, *, limit: int, setting: str | None = None) -> bytes:
    """A small body at once; a byte order mark before it is ignored."""
    pieces = [piece async for piece in body_pieces(request, limit=limit, setting=setting)]
    return b"".join(pieces).removeprefix(BYTE_ORDER_MARK)


async def digest_body(request: Request, limits: UploadLimits, *, start: bytes) -> bytes:
    """Only the digest of a body, for a request that has been answered before."""
    digest = hashlib.sha256(start)
    limit, setting = body_bound(request, limits)
    async for piece in body_pieces(request, limit=limit, setting=setting):
        digest.update(piece)
    return digest.digest()


def is_ndjson(request: Request) -> bool:
    """Whether the body is one item a line; its route has settled that it is that or JSON."""
    return media_type(request.headers) == NDJSON


def body_bound(request: Request, limits: UploadLimits) -> tuple[int, str]:
    """The most bytes of a body of its form, and the setting that says so."""
    if is_ndjson(request) and limits.ndjson_bytes is not None:
        return limits.ndjson_bytes, "max_ndjson_bytes"
    return limits.json_bytes, limits.json_setting


class Stager:
    """Stages the items of one request into one job, in the caller's transaction.

    Args:
        connection: Its transaction makes the upload whole or undone.
        job_id: The job to come.
        limits: What the upload may hold.
        kind: What the items are.
    """

    def __init__(self, connection: Connection, job_id: UUID, limits: UploadLimits, kind: ItemKind) -> None:
        self._connection = connection
        self._job_id = job_id
        self._limits = limits
        self._kind = kind
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
            BadInputError: The body as a whole cannot be taken; nothing of it is.
            TooLargeError: It holds too much.
        """
        most, setting = body_bound(request, self._limits)
        self._lines = is_ndjson(request)
        splitter: Splitter
        if self._lines:
            splitter = LineSplitter(most_bytes=self._limits.item_bytes)
        else:
            bare = self._limits.ndjson_bytes is not None
            splitter = ArraySplitter(most_bytes=self._limits.item_bytes, name=self._kind.name, bare=bare)
        digest = hashlib.sha256(start)
        async for piece in body_pieces(request, limit=most, setting=setting):
            digest.update(piece)
            for found in splitter.feed(piece):
                await self._take(found)
        for found in splitter.close():
            if self._lines:
                self._refuse_cut_line(found)
            await self._take(found)
        await self._flush()
        self._upload.digest = digest.digest()
        if self._upload.items == 0 and not self._kind.may_be_empty:
            raise BadInputError(
                f"{self._kind.name} must not be empty", code=ErrorCode.EMPTY_LIST, field=self._kind.name
            )
        self._upload.options = {_name(key): raw for key, raw in splitter.options.items()}
        return self._upload

    async def stage_one(self, raw: bytes, *, start: bytes) -> Upload:
        """Stage a single item that has been read already.

        Raises:
            BadInputError: It cannot be taken.
        """
        self._kind.read(Slice(0, raw), 0)
        await self._take(Slice(0, raw))
        await self._flush()
        self._upload.digest = hashlib.sha256(start + raw).digest()
        return self._upload

    def _refuse_cut_line(self, found: Slice) -> None:
        if not found.whole:
            return
        try:
            self._kind.read(found, self._upload.items)
        except BadInputError as error:
            if error.code is ErrorCode.INVALID_JSON:
                raise BadInputError(
                    f"the last line, at offset {found.offset}, has no line break and is not valid JSON:"
                    " the body was cut off",
                    code=ErrorCode.TRUNCATED_BODY,
                ) from error

    async def _take(self, found: Slice) -> None:
        position = self._upload.items
        if position >= self._limits.items:
            raise TooLargeError(f"more than {self._limits.items} {self._kind.name} in one request")
        try:
            if not found.whole:
                most = self._limits.item_bytes
                raise TooLargeError(
                    f"{self._kind.name}[{position}], at offset {found.offset}, is larger than {most} bytes"
                )
            item = self._kind.read(found, position)
        except TowpathError as error:
            if not self._is_alone(error):
                raise
            item = self._failed(found, error)
        item.raw = item.raw.replace(b"\r", b" ").replace(b"\n", b" ")
        self._items.append(item)
        self._bytes += len(item.raw)
        self._upload.items += 1
        if len(self._items) >= self._limits.page_items or self._bytes >= PAGE_BYTES:
            await self._flush()

    def _is_alone(self, error: TowpathError) -> bool:
        """Whether an error is that of one item, and not of the upload."""
        if isinstance(error, BadValueError | TooLargeError):
            return True
        # A line of NDJSON stands alone; JSON that is broken in one place is broken as a whole.
        return self._kind.alone and (self._lines or error.code is not ErrorCode.INVALID_JSON)

    def _failed(self, found: Slice, error: TowpathError) -> StagedItem:
        if self._kind.note_failed is not None:
            self._kind.note_failed(found)
        name = _identity(found.raw, self._kind.identity) if isinstance(error, BadValueError | TooLargeError) else None
        # Of what is too large only a stand-in is kept: no step of the job looks at it.
        raw = found.raw if found.whole else b"null"
        return StagedItem(raw=raw, id=name, code=error.code, message=error.detail)

    async def _flush(self) -> None:
        if not self._items:
            return
        first = self._upload.items - len(self._items)
        bad = await stage_page(self._connection, self._job_id, self._upload.pages, first, self._items)
        self._upload.failed += bad
        failures = [
            FailedItem(
                index=first + place, id=item.id, stage="staging", code=item.code, message=item.message,
                item=item.raw.decode() if self._kind.shown and item.code is ErrorCode.NULL_BYTE else None,
            )
            for place, item in enumerate(self._items)
            if item.code is not None
        ]  # fmt: skip
        await add_failures(self._connection, self._job_id, failures)
        self._upload.pages += 1
        self._items, self._bytes = [], 0


def _name(key: bytes) -> str:
    return str(read_json(key))


def _identity(raw: bytes, name: str) -> str | None:
    """The id of an item that cannot be read as a whole, where its beginning has one."""
    found = scalar_member(raw[:HEAD_BYTES], name)
    if found is None:
        return None
    try:
        return str(read_json(found))[:MAX_IDENTITY]
    except BadInputError:
        return None
