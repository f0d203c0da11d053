"""What parent and child say to each other: frames of a length, a letter and a body, over the child's pipes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import BinaryIO, Literal

from pydantic import BaseModel

from towpath.core.errors import ErrorCode
from towpath.documents.types import DocumentKind, ImageType, OcrMode

LENGTH_BYTES = 4
MAX_BODY = 512 << 20
LOAD_SECONDS = 120.0
"""For a child to start, and for its libraries and models to come in."""


class Tag(IntEnum):
    """What a frame's body is; the letters make a dump readable.

    READY no body, once; ASK a `Request`; INFO, PAGE and FAULT JSON; TEXT UTF-8; IMAGE the bytes themselves;
    DONE no body. LOADING and LOADED, without a body, around what is no part of a page: libraries and models come in.
    """

    READY = ord("R")
    ASK = ord("A")
    INFO = ord("I")
    PAGE = ord("P")
    TEXT = ord("T")
    IMAGE = ord("M")
    FAULT = ord("F")
    DONE = ord("D")
    LOADING = ord("L")
    LOADED = ord("l")


class Request(BaseModel):
    """What a child is asked; it answers with frames and a last one that is DONE or FAULT.

    Attributes:
        path: Absolute.
        kind: For `text` the plainest one: what it is shows when it is read.
        pages: From 1; for `describe` and `text` empty.
        name: For `describe` and `text`: what the file is called.
        media_type: For `text`: as its source told it.
        charset: For `text`: as its source told it.
    """

    do: Literal["describe", "read", "render", "text"]
    path: str
    kind: DocumentKind = DocumentKind.TEXT
    name: str = ""
    pages: Sequence[int] = ()
    ocr: OcrMode = "auto"
    most_pixels: int = 0
    media: ImageType = "image/png"
    media_type: str | None = None
    charset: str | None = None


class Fault(BaseModel):
    """Why a request ended early.

    Attributes:
        fatal: The child ends as well.
        missing: The extra that is not installed, and what it is needed for; None: that is not why.
    """

    code: ErrorCode
    detail: str
    page: int | None = None
    fatal: bool = False
    missing: tuple[str, str] | None = None


def make_frame(tag: Tag, body: bytes = b"") -> bytes:
    """Make a frame as it goes over the pipe."""
    return len(body).to_bytes(LENGTH_BYTES, "big") + bytes([tag]) + body


def write(stream: BinaryIO, tag: Tag, body: bytes = b"") -> None:
    """Send a frame; waits while the other side does not read."""
    stream.write(make_frame(tag, body))
    stream.flush()


def read(stream: BinaryIO) -> tuple[Tag, bytes] | None:
    """Read the next frame; None: the other side is gone."""
    head = stream.read(LENGTH_BYTES + 1)
    if len(head) <= LENGTH_BYTES:
        return None
    length = int.from_bytes(head[:LENGTH_BYTES], "big")
    body = stream.read(length)
    return (Tag(head[LENGTH_BYTES]), body) if len(body) == length else None
