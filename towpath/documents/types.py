"""Documents: which kinds are read, what a page holds, and what reading may take."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, Field

MEBIBYTE = 1 << 20

OcrMode = Literal["auto", "always", "never"]
"""Whether a page is read by sight: where it holds no text of its own, always, or never."""
ImageType = Literal["image/png", "image/jpeg"]
Box = tuple[float, float, float, float]
"""`x0, y0, x1, y1` in fractions of the page, 0..1, counted from its top left corner."""


TRUNCATED_TAIL = b'"truncated":true}'
PAGE_HEAD = re.compile(rb'\{"page":(\d+),"confidence":(null|[-+.\deE]+),')


class DocumentKind(StrEnum):
    """The kinds of documents that are read."""

    PDF = "pdf"
    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    TIFF = "tiff"
    DOCX = "docx"
    XLSX = "xlsx"
    PPTX = "pptx"
    HTML = "html"
    MARKDOWN = "markdown"
    TEXT = "text"
    CSV = "csv"


IMAGE_KINDS = frozenset({DocumentKind.PNG, DocumentKind.JPEG, DocumentKind.WEBP, DocumentKind.TIFF})
OFFICE_KINDS = frozenset({DocumentKind.DOCX, DocumentKind.XLSX, DocumentKind.PPTX})
VISIBLE_KINDS = IMAGE_KINDS | {DocumentKind.PDF}
"""Kinds whose pages can be rendered."""


class ReadMethod(StrEnum):
    """How a page was read: its own text, by sight, or out of an office file."""

    TEXT = "text"
    OCR = "ocr"
    OFFICE = "office"


# Not a model: a page has hundreds, and a plain class is made and read several times as fast.
@dataclass(slots=True)
class Word:
    """A word of a page.

    Attributes:
        text: Without spaces.
        confidence: 0..1; 1 when the page's own text says it.
    """

    text: str
    box: Box
    confidence: float = 1.0


class PageContent(BaseModel):
    """What one page holds."""

    # What is asked of many pages comes first, and can be read without the words that follow: see `PageBody`.
    page: int = Field(ge=1)
    confidence: float | None = Field(default=None, ge=0, le=1, description="Of recognition; null: nothing to doubt.")
    content: str = Field(description="Markdown.")
    words: list[Word] = Field(default=[], description="In reading order; empty for kinds without places.")
    width: float | None = Field(default=None, description="Points, or pixels of an image; null: the kind has no size.")
    height: float | None = None
    method: ReadMethod
    # The last member: `PageBody` reads it by the end of the JSON.
    truncated: bool = Field(default=False, description="The page holds more than was kept.")


@dataclass(frozen=True, slots=True)
class PageBody:
    """A page on its way from its reader to the store, as the JSON that `PageContent` writes.

    Who only keeps it need not take hundreds of words apart and put them together again.
    """

    page: int
    confidence: float | None
    json: bytes

    @property
    def truncated(self) -> bool:
        """Return whether the page holds more than was kept."""
        return self.json.endswith(TRUNCATED_TAIL)

    @classmethod
    def of(cls, body: bytes) -> PageBody:
        """Make a body, with what its first members say.

        Raises:
            ValueError: It was not written by `PageContent`.
        """
        head = PAGE_HEAD.match(body)
        if head is None:
            raise ValueError("no page")
        sure = None if head[2] == b"null" else float(head[2])
        return cls(int(head[1]), sure, body)


class DocumentInfo(BaseModel):
    """A document before its pages are read."""

    kind: DocumentKind
    pages: int = Field(ge=0)
    size: int = Field(ge=0, description="Bytes.")
    sha256: str
    file_name: str


class ReadLimits(BaseModel):
    """What reading one document may take."""

    most_bytes: int = Field(default=200 * MEBIBYTE, ge=1, description="Size of the file.")
    most_pages: int = Field(default=2_000, ge=1)
    most_pixels: int = Field(default=100_000_000, ge=1, description="Of an image, and of a page that is rendered.")
    seconds_a_page: float = Field(default=60.0, gt=0, description="For opening the file and for each page.")
    memory_mb: int = Field(
        default=3_072, ge=512, description="Address space of a process that reads; sight takes 2,000."
    )
    most_characters: int = Field(default=200_000, ge=1, description="Kept of each page.")
    most_unpacked_bytes: int = Field(default=1_024 * MEBIBYTE, ge=1, description="An office file, decompressed.")
