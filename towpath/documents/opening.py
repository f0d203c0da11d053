"""Paths -> open documents, one kept open; on the child's side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from towpath.core.errors import ErrorCode, NotFoundError
from towpath.core.extras import Extra, using
from towpath.documents.base import Document
from towpath.documents.faults import damaged_error, document_error
from towpath.documents.ocr import Recogniser
from towpath.documents.types import IMAGE_KINDS, OFFICE_KINDS, DocumentInfo, DocumentKind, ReadLimits

PIECE = 1 << 20

Seen = tuple[str, DocumentKind, int, int, int]
"""Path, kind, inode, size and time of change: what is the same is the same file."""


class Opener:
    """Opens documents and keeps the last one, because its next page is asked for next.

    Args:
        limits: Of reading.
        threads: Of recognition.
        loading: A context that libraries and the models of recognition are loaded in.
    """

    def __init__(self, limits: ReadLimits, threads: int, loading: Callable[[], AbstractContextManager[None]]) -> None:
        self._limits = limits
        self._threads = threads
        self._loading = loading
        self._openers: dict[DocumentKind, Callable[[Path], Document]] = {}
        self._open: tuple[Seen, Document] | None = None
        self._recogniser: Recogniser | None = None

    def document(self, path: str, kind: DocumentKind) -> Document:
        """Open a document, or return the one that is open.

        Raises:
            BadInputError: Encrypted or damaged.
            TooLargeError: Beyond a limit.
            NotFoundError: It is not there any more.
            MissingExtraError: The kind is read with the extra `documents`, which is not installed.
        """
        seen = self._check_file(path, kind)
        if self._open is not None and self._open[0] == seen:
            return self._open[1]
        self._forget()
        if kind not in self._openers:
            with self._loading(), using(Extra.DOCUMENTS, f"reading a document of the kind {kind.upper()}"):
                self._openers[kind] = self._opener(kind)
        document = self._openers[kind](Path(path))
        try:
            document.assert_pages()
        except BaseException:
            document.close()
            raise
        self._open = (seen, document)
        return document

    def describe(self, path: str, kind: DocumentKind, name: str) -> DocumentInfo:
        """Describe a document before its pages are read."""
        document = self.document(path, kind)
        digest = hashlib.sha256()
        size = 0
        with Path(path).open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
                size += len(piece)
        return DocumentInfo(kind=kind, pages=document.pages, size=size, sha256=digest.hexdigest(), file_name=name)

    def recogniser(self) -> Recogniser:
        """Return the one of this process, loaded on first use."""
        if self._recogniser is None:
            with self._loading():
                self._recogniser = Recogniser(self._threads)
        return self._recogniser

    def _check_file(self, path: str, kind: DocumentKind) -> Seen:
        try:
            stat = Path(path).stat()
        except OSError as error:
            raise NotFoundError("the document's file is not there") from error
        if stat.st_size == 0:
            raise damaged_error("the document is empty")
        if stat.st_size > self._limits.most_bytes:
            most = self._limits.most_bytes
            raise document_error(
                ErrorCode.DOCUMENT_TOO_LARGE, f"the document has {stat.st_size:,} bytes; the limit is {most:,}"
            )
        return path, kind, stat.st_ino, stat.st_size, stat.st_mtime_ns

    def _opener(self, kind: DocumentKind) -> Callable[[Path], Document]:
        """Return what opens a kind; its libraries are loaded when the first document of the kind comes."""
        limits = self._limits
        if kind == DocumentKind.PDF:
            from towpath.documents.pdf import PdfFile

            return lambda path: PdfFile(path, limits, self.recogniser)
        if kind in IMAGE_KINDS:
            from towpath.documents.pictures import PictureFile

            return lambda path: PictureFile(path, kind, limits, self.recogniser)
        if kind in OFFICE_KINDS:
            from towpath.documents import office

            files: dict[DocumentKind, Callable[[Path, ReadLimits], Document]] = {
                DocumentKind.DOCX: office.WordFile,
                DocumentKind.XLSX: office.SheetFile,
                DocumentKind.PPTX: office.SlidesFile,
            }
            return lambda path: files[kind](path, limits)
        from towpath.documents.texts import TextFile

        return lambda path: TextFile(path, kind, limits)

    def _forget(self) -> None:
        if self._open is not None:
            _, document = self._open
            self._open = None
            document.close()
