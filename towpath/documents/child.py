"""The process that reads documents: `python -m clients.documents.child LIMITS THREADS PARENT`.

It takes one request at a time from its input and answers on what was its output; whatever a library prints is dropped.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from towpath.core.errors import ErrorCode, MissingExtraError, TowpathError
from towpath.documents.confine import allow_seconds, confine
from towpath.documents.faults import document_error
from towpath.documents.opening import Opener
from towpath.documents.plain import read_plain_text
from towpath.documents.types import PageContent, ReadLimits
from towpath.documents.wire import LOAD_SECONDS, Fault, Request, Tag, read, write

COLLECTED_AFTER = 50_000
# How libraries say in their own words that there is no memory.
NO_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "insufficient memory",
    "failed to allocate",
    "cannot allocate memory",
    "out of memory",
    "failed to map segment",
)


def main() -> None:
    """Serve until the input ends."""
    limits, threads = ReadLimits.model_validate_json(sys.argv[1]), int(sys.argv[2])
    confine(limits, int(sys.argv[3]))
    requests, answers = _channel()
    reader = _Reader(limits, threads, lambda tag, body=b"": write(answers, tag, body))
    # A page's words come and go together and refer to nothing in a circle: looking for circles often is in vain.
    gc.freeze()
    gc.set_threshold(COLLECTED_AFTER)
    write(answers, Tag.READY)
    while (received := read(requests)) is not None:
        reported = reader.serve(Request.model_validate_json(received[1]))
        if reported is None:
            write(answers, Tag.DONE)
            continue
        write(answers, Tag.FAULT, reported.model_dump_json().encode())
        if reported.fatal:
            return


class _Send(Protocol):
    def __call__(self, tag: Tag, body: bytes = b"") -> None: ...


class _Reader:
    def __init__(self, limits: ReadLimits, threads: int, send: _Send) -> None:
        self._limits = limits
        self._threads = threads
        self._send = send
        self._opener = Opener(limits, threads, self._loading)
        self._page: int | None = None

    def serve(self, request: Request) -> Fault | None:
        """Answer a request; gives what went wrong."""
        self._page = None
        try:
            for tag, body in self._answers(request):
                self._send(tag, body)
        except MissingExtraError as error:
            return Fault(code=error.code, detail=error.detail, missing=(error.missing, error.purpose))
        except TowpathError as error:
            page = error.extra.get("page", self._page)
            return Fault(code=error.code, detail=error.detail, page=page if isinstance(page, int) else None)
        except BrokenPipeError:
            raise
        except Exception as error:
            return self._fault(error, request)
        return None

    def _answers(self, request: Request) -> Iterator[tuple[Tag, bytes]]:
        allow_seconds(self._limits.seconds_a_page, self._threads)
        if request.do == "describe":
            info = self._opener.describe(request.path, request.kind, request.name)
            yield Tag.INFO, info.model_dump_json().encode()
            return
        if request.do == "text":
            yield Tag.TEXT, self._text(request).encode()
            return
        document = self._opener.document(request.path, request.kind)
        for self._page in request.pages:
            document.assert_page(self._page)
            allow_seconds(self._limits.seconds_a_page, self._threads)
            if request.do == "render":
                yield Tag.IMAGE, document.render(self._page, request.most_pixels, request.media)
            else:
                read = self._cut(document.read(self._page, request.ocr))
                yield Tag.PAGE, read.model_dump_json().encode()

    def _text(self, request: Request) -> str:
        path = Path(request.path)
        size, most = path.stat().st_size, self._limits.most_bytes
        if size > most:
            raise document_error(ErrorCode.DOCUMENT_TOO_LARGE, f"{request.name} has {size} bytes; {most} are read")
        return read_plain_text(
            path.read_bytes(),
            media_type=request.media_type,
            name=request.name,
            charset=request.charset,
            most_pages=self._limits.most_pages,
        )

    @contextmanager
    def _loading(self) -> Iterator[None]:
        """Give libraries and models a time of their own, which is not the page's."""
        allow_seconds(LOAD_SECONDS, self._threads)
        self._send(Tag.LOADING)
        yield
        self._send(Tag.LOADED)
        allow_seconds(self._limits.seconds_a_page, self._threads)

    def _cut(self, read: PageContent) -> PageContent:
        most = self._limits.most_characters
        if len(read.content) > most:
            read.content, read.truncated = read.content[:most], True
        return read

    def _fault(self, error: Exception, request: Request) -> Fault:
        """Report what a library raised: no memory, or a file that it cannot make sense of."""
        message = str(error).lower()
        if isinstance(error, MemoryError) or any(words in message for words in NO_MEMORY):
            detail = f"reading needs more memory than {self._limits.memory_mb} MB"
            return Fault(code=ErrorCode.READER_DIED, detail=detail, page=self._page, fatal=True)
        if isinstance(error, RecursionError):
            return Fault(code=ErrorCode.DOCUMENT_DAMAGED, detail="the document is nested too deeply", page=self._page)
        detail = f"the document is a broken {request.kind.upper()}: {type(error).__name__}"
        return Fault(code=ErrorCode.DOCUMENT_DAMAGED, detail=detail, page=self._page)


def _channel() -> tuple[BinaryIO, BinaryIO]:
    """Return the pipes of the parent, out of the reach of what libraries print and read."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1):
        os.dup2(nothing, each)
    os.close(nothing)
    return requests, answers


if __name__ == "__main__":
    main()
