"""Stages a body of many items as it comes: cut, checked, and written page by page in the transaction of its job."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import UUID

from towpath.core.errors import BadInputError, ErrorCode, TooLargeError, TowpathError
from towpath.core.json_stream import HEAD_BYTES, ArraySplitter, LineSplitter, Slice, Splitter, scalar_member
from towpath.core.json_values import BadValueError, read_json
from towpath.db.engine import Connection
from towpath.jobs.store.staging import StagedItem, add_failures, stage_page
from towpath.jobs.types import FailedItem

PAGE_BYTES = 4 << 20
MAX_IDENTITY = 512


@dataclass(frozen=True, slots=True)
class UploadBody:
    """The body of an upload on its way in.

    Attributes:
        pieces: Its bytes, decompressed; whoever opened it bounds their number.
        is_ndjson: Whether it holds one item a line, instead of one JSON object or list.
    """

    pieces: AsyncIterator[bytes]
    is_ndjson: bool

    async def digest(self, *, start: bytes) -> bytes:
        """Read the body for its digest alone, for a request that has been answered before.

        Args:
            start: What the digest covers besides the body.
        """
        digest = hashlib.sha256(start)
        async for piece in self.pieces:
            digest.update(piece)
        return digest.digest()


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one upload may hold: items, bytes of an item, and items of a page."""

    items: int
    item_bytes: int
    page_items: int


@dataclass(frozen=True, slots=True)
class ItemKind:
    """What one kind of upload is a list of.

    Args:
        name: The member that holds the list, and the word for the items.
        identity: The member that names an item.
        read: Checks one item and gives it its uid; raises `TowpathError`.
        fails_alone: Whether an item that is not of the form fails only itself; else it fails the upload. One that is
            too large, or has a value that no part can hold, always fails alone.
        on_failure: Called with an item that has failed alone.
        keeps_failed: Whether a failed item is kept to be shown as it was sent.
        may_be_empty: Whether a list without items is one.
        may_be_bare: Whether the list itself may be the body, without an object around it.
    """

    name: str
    identity: str
    read: Callable[[Slice, int], StagedItem]
    fails_alone: bool = True
    may_be_empty: bool = False
    on_failure: Callable[[Slice], None] | None = None
    keeps_failed: bool = False
    may_be_bare: bool = False


@dataclass(slots=True)
class StagedUpload:
    """What has been staged."""

    digest: bytes
    items: int = 0
    failed: int = 0
    pages: int = 0
    options: dict[str, bytes] = field(default_factory=dict)
    """The other members of the body, as they came."""


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
        self._upload = StagedUpload(digest=b"")

    async def stage(self, body: UploadBody, *, start: bytes) -> StagedUpload:
        """Read the whole body.

        Args:
            body: The body, as it comes.
            start: What the digest covers besides the body.

        Raises:
            BadInputError: The body as a whole cannot be taken; nothing of it is.
            TooLargeError: It holds too much.
        """
        self._lines = body.is_ndjson
        splitter: Splitter
        if self._lines:
            splitter = LineSplitter(most_bytes=self._limits.item_bytes)
        else:
            splitter = ArraySplitter(
                most_bytes=self._limits.item_bytes, name=self._kind.name, bare=self._kind.may_be_bare
            )
        digest = hashlib.sha256(start)
        async for piece in body.pieces:
            digest.update(piece)
            for item in splitter.feed(piece):
                await self._take(item)
        for item in splitter.close():
            if self._lines:
                self._refuse_cut_line(item)
            await self._take(item)
        await self._flush()
        self._upload.digest = digest.digest()
        if self._upload.items == 0 and not self._kind.may_be_empty:
            raise BadInputError(
                f"{self._kind.name} must not be empty", code=ErrorCode.EMPTY_LIST, field=self._kind.name
            )
        self._upload.options = {_name(key): raw for key, raw in splitter.options.items()}
        return self._upload

    async def stage_one(self, raw: bytes, *, start: bytes) -> StagedUpload:
        """Stage a single item that has been read already.

        Raises:
            BadInputError: It cannot be taken.
        """
        await self._add(self._kind.read(Slice(0, raw), 0))
        await self._flush()
        self._upload.digest = hashlib.sha256(start + raw).digest()
        return self._upload

    def _refuse_cut_line(self, cut: Slice) -> None:
        if not cut.whole:
            return
        try:
            self._kind.read(cut, self._upload.items)
        except BadInputError as error:
            if error.code is ErrorCode.INVALID_JSON:
                raise BadInputError(
                    f"the last line, at offset {cut.offset}, has no line break and is not valid JSON:"
                    " the body was cut off",
                    code=ErrorCode.TRUNCATED_BODY,
                ) from error

    async def _take(self, cut: Slice) -> None:
        position = self._upload.items
        if position >= self._limits.items:
            raise TooLargeError(f"more than {self._limits.items} {self._kind.name} in one request")
        try:
            if not cut.whole:
                max_bytes = self._limits.item_bytes
                raise TooLargeError(
                    f"{self._kind.name}[{position}], at offset {cut.offset}, is larger than {max_bytes} bytes"
                )
            item = self._kind.read(cut, position)
        except TowpathError as error:
            if not self._is_alone(error):
                raise
            item = self._failed(cut, error)
        await self._add(item)

    async def _add(self, item: StagedItem) -> None:
        item.raw = item.raw.replace(b"\r", b" ").replace(b"\n", b" ")
        self._items.append(item)
        self._bytes += len(item.raw)
        self._upload.items += 1
        if len(self._items) >= self._limits.page_items or self._bytes >= PAGE_BYTES:
            await self._flush()

    def _is_alone(self, error: TowpathError) -> bool:
        """Say whether an error is that of one item, and not of the upload."""
        if isinstance(error, BadValueError | TooLargeError):
            return True
        # A line of NDJSON stands alone; JSON that is broken in one place is broken as a whole.
        return self._kind.fails_alone and (self._lines or error.code is not ErrorCode.INVALID_JSON)

    def _failed(self, cut: Slice, error: TowpathError) -> StagedItem:
        if self._kind.on_failure is not None:
            self._kind.on_failure(cut)
        name = _identity(cut.raw, self._kind.identity) if isinstance(error, BadValueError | TooLargeError) else None
        # Of what is too large only a stand-in is kept: no step of the job looks at it.
        raw = cut.raw if cut.whole else b"null"
        return StagedItem(raw=raw, id=name, code=error.code, message=error.detail)

    async def _flush(self) -> None:
        if not self._items:
            return
        first = self._upload.items - len(self._items)
        bad = await stage_page(self._connection, self._job_id, self._upload.pages, first, self._items)
        self._upload.failed += bad
        failures = [
            FailedItem(
                index=first + position_in_page, id=item.id, stage="staging", code=item.code, message=item.message,
                item=item.raw.decode() if self._kind.keeps_failed and item.code is ErrorCode.NULL_BYTE else None,
            )
            for position_in_page, item in enumerate(self._items)
            if item.code is not None
        ]  # fmt: skip
        await add_failures(self._connection, self._job_id, failures)
        self._upload.pages += 1
        self._items, self._bytes = [], 0


def _name(key: bytes) -> str:
    return str(read_json(key))


def _identity(raw: bytes, name: str) -> str | None:
    """Look for the id of an item that cannot be read as a whole, in its beginning."""
    member = scalar_member(raw[:HEAD_BYTES], name)
    if member is None:
        return None
    try:
        return str(read_json(member))[:MAX_IDENTITY]
    except BadInputError:
        return None
