"""What every open document can do, on the child's side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from towpath.core.errors import ErrorCode
from towpath.documents.faults import document_error
from towpath.documents.types import ImageType, OcrMode, PageContent, ReadLimits

if TYPE_CHECKING:
    from towpath.documents.ocr import Recogniser

Recognisers = Callable[[], "Recogniser"]
"""Gives the one recogniser of a child, loaded when it is first asked for."""


class Document(ABC):
    """A document that is open; its pages are counted from 1.

    Args:
        limits: Of reading.
    """

    def __init__(self, limits: ReadLimits) -> None:
        self.limits = limits

    @property
    @abstractmethod
    def pages(self) -> int:
        """Return how many there are."""

    @abstractmethod
    def read(self, page: int, ocr: OcrMode) -> PageContent:
        """Read what a page holds."""

    def render(self, page: int, most_pixels: int, media: ImageType) -> bytes:
        """Render a page as an image file.

        Raises:
            BadInputError: The kind has no looks.
        """
        raise document_error(ErrorCode.UNSUPPORTED_FILE_TYPE, "only PDFs and images have pages to look at", page)

    def close(self) -> None:  # noqa: B027 - some kinds hold nothing open
        """Let go of the file."""

    def assert_page(self, page: int) -> None:
        """Refuse a page that is not there.

        Raises:
            BadInputError: It is not.
        """
        if not 1 <= page <= self.pages:
            raise document_error(
                ErrorCode.PAGE_OUT_OF_RANGE, f"page {page} is not among the document's {self.pages}", page
            )

    def assert_pages(self) -> None:
        """Refuse a document of too many pages.

        Raises:
            TooLargeError: It has.
        """
        most = self.limits.most_pages
        if self.pages > most:
            raise document_error(
                ErrorCode.DOCUMENT_TOO_LARGE, f"the document has {self.pages} pages; the limit is {most}"
            )
