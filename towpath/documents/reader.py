"""Reads documents page by page, in a few child processes that are used again and again."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from towpath.core.errors import ErrorCode, TowpathError, UnavailableError
from towpath.documents.faults import document_error
from towpath.documents.files import copy_to_disk
from towpath.documents.process import Child, ChildDiedError
from towpath.documents.types import DocumentInfo, DocumentKind, ImageType, OcrMode, PageBody, PageContent, ReadLimits
from towpath.documents.wire import Request


class DocumentReader:
    """Documents of any kind, read without touching their bytes in this process.

    Children are started when they are needed, reused, and replaced after a fault. Each keeps the document of its
    last request open, and is asked for that one's next page when it is free. What is wrong with a document ends with
    an error that is not to be retried: `BadInputError` or `TooLargeError` with one of the codes DOCUMENT_ENCRYPTED,
    DOCUMENT_DAMAGED, DOCUMENT_TOO_LARGE, UNSUPPORTED_FILE_TYPE, PAGE_OUT_OF_RANGE, PAGE_TOO_LARGE, PAGE_TIMEOUT,
    READER_DIED, and the page in `extra["page"]`.

    Args:
        limits: Of reading one document.
        children: Processes at once, and so requests at once; others wait.
        threads: That recognise one page.
    """

    def __init__(self, limits: ReadLimits | None = None, *, children: int = 2, threads: int = 1) -> None:
        self._limits = limits or ReadLimits()
        self._threads = threads
        self._free = asyncio.Semaphore(children)
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Return the process ids of the children."""
        return [child.pid for child in [*self._idle, *self._busy]]

    async def describe(self, path: Path, kind: DocumentKind, *, name: str | None = None) -> DocumentInfo:
        """Find out how many pages a document has, its size and its digest.

        Args:
            path: The file.
            kind: Its kind.
            name: What the file is called; the path's own name by default.
        """
        request = Request(do="describe", path=_absolute(path), kind=kind, name=name or path.name)
        return DocumentInfo.model_validate_json(await self._answer(request))

    async def read_page(self, path: Path, kind: DocumentKind, page: int, *, ocr: OcrMode = "auto") -> PageContent:
        """Read what one page holds.

        Args:
            path: The file.
            kind: Its kind.
            page: From 1.
            ocr: Whether pages are read by sight.
        """
        request = Request(do="read", path=_absolute(path), kind=kind, pages=[page], ocr=ocr)
        return PageContent.model_validate_json(await self._answer(request))

    async def read_pages(
        self, path: Path, kind: DocumentKind, pages: Sequence[int], *, ocr: OcrMode = "auto"
    ) -> AsyncGenerator[PageContent, None]:
        """Read several pages in the order given, and yield each as soon as it is read; one child reads them all.

        Who leaves before the end closes the generator (`contextlib.aclosing`): its child is ended and replaced.

        Args:
            path: The file.
            kind: Its kind.
            pages: From 1.
            ocr: Whether pages are read by sight.
        """
        request = Request(do="read", path=_absolute(path), kind=kind, pages=list(pages), ocr=ocr)
        async with aclosing(self._answers(request)) as answers:
            async for body in answers:
                yield PageContent.model_validate_json(body)

    async def read_bodies(
        self, path: Path, kind: DocumentKind, pages: Sequence[int], *, ocr: OcrMode = "auto"
    ) -> AsyncGenerator[PageBody, None]:
        """Read several pages for a caller who only stores them, not looking into them.

        Args:
            path: The file.
            kind: Its kind.
            pages: From 1.
            ocr: Whether pages are read by sight.
        """
        request = Request(do="read", path=_absolute(path), kind=kind, pages=list(pages), ocr=ocr)
        async with aclosing(self._answers(request)) as answers:
            async for body in answers:
                yield PageBody.of(body)

    async def render_page(
        self, path: Path, kind: DocumentKind, page: int, *, most_pixels: int, media: ImageType = "image/png"
    ) -> bytes:
        """Render a page upright: a PDF's at 200 dots an inch, an image as it is, made smaller to fit.

        Args:
            path: The file.
            kind: Its kind.
            page: From 1.
            most_pixels: Width times height of the result, at most.
            media: Its format.

        Raises:
            BadInputError: The kind has no looks; or as the class says.
        """
        pixels = min(most_pixels, self._limits.most_pixels)
        return await self._answer(
            Request(do="render", path=_absolute(path), kind=kind, pages=[page], most_pixels=pixels, media=media)
        )

    async def read_text(
        self, path: Path, *, name: str | None = None, media_type: str | None = None, charset: str | None = None
    ) -> str:
        """Read the text of a whole document: of plain text, HTML, or a PDF with a text layer.

        Args:
            path: The file.
            name: The file's name or URL, for its suffix and for messages; the path's own name by default.
            media_type: As the server told it; None: not told.
            charset: As the server told it.

        Raises:
            BadInputError: Also UNREADABLE and UNSUPPORTED_MEDIA_TYPE.
        """
        request = Request(
            do="text", path=_absolute(path), name=name or path.name, media_type=media_type, charset=charset
        )
        return (await self._answer(request)).decode()

    async def text_of(self, data: bytes, *, name: str, media_type: str | None, charset: str | None = None) -> str:
        """Read the text of bytes that are no file yet."""
        async with copy_to_disk(io.BytesIO(data)) as path:
            return await self.read_text(path, name=name, media_type=media_type, charset=charset)

    async def close(self) -> None:
        """End all children; requests that run end with an error."""
        self._closed = True
        children = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(child.kill() for child in children))

    async def _answer(self, request: Request) -> bytes:
        """Return the one answer to a request."""
        bodies = [body async for body in self._answers(request)]
        # Two, when a child was ended between its answer and its last word.
        if not bodies:
            raise document_error(ErrorCode.READER_DIED, "the process that reads documents gave no answer")
        return bodies[-1]

    async def _answers(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Yield a request's answers; begun again once, where it stopped, when somebody ended the child."""
        left = list(request.pages)
        for repeats in (1, 0):
            try:
                async with aclosing(self._try(request.model_copy(update={"pages": left}))) as answers:
                    async for answer in answers:
                        # First, so that a repeat does not bring what its reader already has.
                        del left[:1]
                        yield answer
            except ChildDiedError as death:
                page = left[0] if left else None
                if death.was_late:
                    raise self._late(page) from death
                self._assert_open()
                if not (death.was_sent and repeats):
                    where = "the document" if page is None else f"page {page}"
                    detail = f"the process that read {where} died of {death}; it may use {self._limits.memory_mb} MB"
                    raise document_error(ErrorCode.READER_DIED, detail, page) from death
            except TimeoutError as error:
                raise self._late(left[0] if left else None) from error
            else:
                return

    async def _try(self, request: Request) -> AsyncGenerator[bytes, None]:
        async with self._free:
            child = await self._child(request.path)
            self._busy.add(child)
            sound = False
            try:
                async with aclosing(child.ask(request, self._limits.seconds_a_page)) as answers:
                    async for _, body in answers:
                        yield body
                sound = True
            except TowpathError as error:
                sound = not error.extra.pop("fatal", False)
                raise
            finally:
                self._busy.discard(child)
                if sound and not self._closed:
                    self._idle.append(child)
                else:
                    # Shielded: it is gone also when the caller is cancelled.
                    await asyncio.shield(child.kill())

    async def _child(self, path: str) -> Child:
        """Return a free child: the one that has the document open, the one used last, or a new one."""
        if self._idle:
            place = next((at for at, child in enumerate(self._idle) if child.last_path == path), -1)
            return self._idle.pop(place)
        self._assert_open()
        child = await Child.start(self._limits, self._threads)
        try:
            self._assert_open()
        except UnavailableError:
            await child.kill()
            raise
        return child

    def _assert_open(self) -> None:
        if self._closed:
            raise UnavailableError("the reader of documents is closed")

    def _late(self, page: int | None) -> TowpathError:
        what = "opening the document" if page is None else f"page {page}"
        detail = f"{what} takes longer than {self._limits.seconds_a_page:g} s"
        return document_error(ErrorCode.PAGE_TIMEOUT, detail, page)


def _absolute(path: Path) -> str:
    return str(path.absolute())
