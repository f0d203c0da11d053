"""Reads bodies as streams, bounded and decompressed; `towpath.jobs.staging` stages what is in them."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from towpath.api.http.body_limit import allow, too_large
from towpath.api.http.media import NDJSON, media_type
from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.json_values import BYTE_ORDER_MARK
from towpath.jobs.staging import UploadBody

AHEAD = "towpath.ahead"
AHEAD_BYTES = 1 << 20
"""Read before a place among the uploads is taken: most bodies end before."""
INFLATED_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """How large the body of an upload may be in each of its forms, and the settings that say so."""

    json_bytes: int
    json_setting: str
    ndjson_bytes: int | None = None
    """As `max_ndjson_bytes` says; None: one JSON object is the only form."""

    def of(self, request: Request) -> tuple[int, str]:
        """Return the bound of a request's form, and the setting that says so."""
        if self.ndjson_bytes is not None and is_ndjson(request):
            return self.ndjson_bytes, "max_ndjson_bytes"
        return self.json_bytes, self.json_setting


async def body_pieces(request: Request, *, limit: int, setting: str | None = None) -> AsyncIterator[bytes]:
    """Read the body, decompressed, in pieces of bounded size.

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
    """Read a small body at once; a byte order mark before it is ignored."""
    pieces = [piece async for piece in body_pieces(request, limit=limit, setting=setting)]
    return b"".join(pieces).removeprefix(BYTE_ORDER_MARK)


def open_body(request: Request, bounds: BodyBounds) -> UploadBody:
    """Open the body of an upload; nothing of it is read before its pieces are asked for."""
    limit, setting = bounds.of(request)
    return UploadBody(body_pieces(request, limit=limit, setting=setting), is_ndjson(request))


def is_ndjson(request: Request) -> bool:
    """Say whether the body is one item a line; its route has settled that it is that or JSON."""
    return media_type(request.headers) == NDJSON
