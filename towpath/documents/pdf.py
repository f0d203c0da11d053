"""PDFs: the words of a page's text layer with their places, or the page rendered and read by sight."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2
import pypdfium2.raw as pdfium

from towpath.core.errors import ErrorCode
from towpath.documents.base import Document, Recognisers
from towpath.documents.faults import damaged_error, document_error, page_too_large_error
from towpath.documents.layout import write_markdown
from towpath.documents.ocr import MAX_SIDE
from towpath.documents.pictures import encode_picture
from towpath.documents.types import ImageType, OcrMode, PageContent, ReadLimits, ReadMethod, Word

POINTS_AN_INCH = 72
DOTS_AN_INCH = 200
# A side that no sheet has; the format's own limit is 14,400.
MAX_POINTS = 100_000.0
DIGITS = 5
BOX_BYTES = ctypes.sizeof(pdfium.FS_RECTF)
# Characters that a page needs to be read by its own text, where pictures cover that share of it.
FEW_CHARACTERS = ((0.6, 120), (0.05, 12))
# Share of characters that fonts without names give.
MAX_NAMELESS = 0.3
FORM_DEPTH = 4
SOFT_HYPHENS = "\x02\ufffe"
_WORD = re.compile(f"[^\\s\x00{SOFT_HYPHENS}]+[{SOFT_HYPHENS}]?")
_HYPHENATED = re.compile(f"[{SOFT_HYPHENS}]")
_NAMELESS = re.compile("[\ufffd\ue000-\uf8ff\x00-\x08\x0e-\x1f]")
_REASONS = {
    pdfium.FPDF_ERR_PASSWORD: ErrorCode.DOCUMENT_ENCRYPTED,
    pdfium.FPDF_ERR_SECURITY: ErrorCode.DOCUMENT_ENCRYPTED,
}

Floats = npt.NDArray[np.float64]


class PdfFile(Document):
    """An open PDF.

    Args:
        path: Of the file.
        limits: Of reading.
        recogniser: For pages without text of their own.

    Raises:
        BadInputError: Encrypted or damaged.
    """

    def __init__(self, path: Path, limits: ReadLimits, recogniser: Recognisers) -> None:
        super().__init__(limits)
        self._recogniser = recogniser
        try:
            self._pdf = pypdfium2.PdfDocument(path)
        except pypdfium2.PdfiumError as error:
            if _REASONS.get(error.err_code) is not None:
                raise document_error(ErrorCode.DOCUMENT_ENCRYPTED, "the document is encrypted") from error
            raise damaged_error("the document is a broken PDF") from error
        self._has_form = self._pdf.get_formtype() != pdfium.FORMTYPE_NONE
        if self._has_form:
            self._pdf.init_forms()

    @property
    def pages(self) -> int:
        """Return how many there are."""
        return len(self._pdf)

    def read(self, page: int, ocr: OcrMode) -> PageContent:
        """Read the text layer; or what is seen, if there is none to speak of or that is asked for."""
        with self._page(page) as sheet:
            width, height = sheet.get_size()
            if ocr == "always":
                return self._recognise(sheet, page)
            text, words, truncated = self._layer(sheet)
            if ocr == "auto" and _is_scan(sheet, text):
                return self._recognise(sheet, page)
            return PageContent(
                page=page,
                content=write_markdown(words, width, height),
                words=words,
                width=round(width, 2),
                height=round(height, 2),
                method=ReadMethod.TEXT,
                truncated=truncated,
            )

    def render(self, page: int, most_pixels: int, media: ImageType) -> bytes:
        """Render a page at 200 dots an inch, or what the pixels allow."""
        with self._page(page) as sheet:
            width, height = sheet.get_size()
            scale = min(DOTS_AN_INCH / POINTS_AN_INCH, math.sqrt(most_pixels / (width * height)))
            bitmap = _bitmap(sheet, page, scale)
            return encode_picture(bitmap.to_pil(), media)

    def close(self) -> None:
        """Let go of the file."""
        self._pdf.close()

    @contextmanager
    def _page(self, page: int) -> Iterator[Any]:
        try:
            width, height = self._pdf.get_page_size(page - 1)
            _assert_size(page, width, height)
            sheet = self._pdf[page - 1]
            if self._has_form and sheet.flatten() == pdfium.FLATTEN_SUCCESS:
                # What is filled in becomes text of the page once it is loaded anew.
                sheet.close()
                sheet = self._pdf[page - 1]
        except pypdfium2.PdfiumError as error:
            raise damaged_error(f"page {page} is broken", page) from error
        try:
            yield sheet
        except pypdfium2.PdfiumError as error:
            raise damaged_error(f"page {page} is broken", page) from error
        finally:
            sheet.close()

    def _layer(self, sheet: Any) -> tuple[str, list[Word], bool]:
        """Read the page's own text, its words, and whether it is cut."""
        layer = sheet.get_textpage()
        try:
            count = layer.count_chars()
            read_count = min(count, self.limits.most_characters)
            text = _text(layer, read_count)
            matches = list(_WORD.finditer(text))
            words = _words(matches, _places(layer, matches), sheet) if matches else []
            return text, words, count > read_count
        finally:
            layer.close()

    def _recognise(self, sheet: Any, page: int) -> PageContent:
        width, height = sheet.get_size()
        scale = min(DOTS_AN_INCH / POINTS_AN_INCH, MAX_SIDE / max(width, height))
        bitmap = _bitmap(sheet, page, scale)
        words, sure = self._recogniser().read(bitmap.to_numpy())
        return PageContent(
            page=page,
            content=write_markdown(words, width, height),
            words=words,
            confidence=sure,
            width=round(width, 2),
            height=round(height, 2),
            method=ReadMethod.OCR,
        )


def _bitmap(sheet: Any, page: int, scale: float) -> Any:
    width, height = sheet.get_size()
    if min(width, height) * scale < 1:
        raise page_too_large_error(page, f"is {width:.0f} by {height:.0f} points, too long to be looked at")
    return sheet.render(scale=scale, may_draw_forms=False)


def _assert_size(page: int, width: float, height: float) -> None:
    if not (math.isfinite(width) and math.isfinite(height)) or max(width, height) > MAX_POINTS:
        raise page_too_large_error(page, f"is {width:g} by {height:g} points")
    if min(width, height) <= 0:
        raise damaged_error(f"page {page} has no size", page)


def _text(layer: Any, count: int) -> str:
    """Read the first characters; each at the place that its box has in the layer."""
    text = str(layer.get_text_range(0, count)) if count else ""
    if len(text) != count:
        # Characters that the library leaves out or adds shift the rest: ask for each.
        codes = (pdfium.FPDFText_GetUnicode(layer, place) for place in range(count))
        text = "".join(" " if not code or 0xD800 <= code <= 0xDFFF or code > 0x10FFFF else chr(code) for code in codes)
    return text


def _places(layer: Any, matches: Sequence[re.Match[str]]) -> Floats:
    """Read the boxes of the first and the last character of each word: left, top, right, bottom in points."""
    boxes = (pdfium.FS_RECTF * (2 * len(matches)))()
    ask, raw, at = pdfium.FPDFText_GetLooseCharBox, layer.raw, ctypes.byref
    first, place = boxes[0], 0
    for word in matches:
        start, end = word.span()
        ask(raw, start, at(first, place))
        ask(raw, end - 1, at(first, place + BOX_BYTES))
        place += 2 * BOX_BYTES
    return np.frombuffer(boxes, dtype=np.float32).astype(np.float64).reshape(-1, 2, 2, 2)


def _words(matches: Sequence[re.Match[str]], places: Floats, sheet: Any) -> list[Word]:
    """Make words with boxes in fractions of the page as it is shown: cropped and turned."""
    left, bottom, right, top = sheet.get_bbox()
    low = (places.min(axis=(1, 2)) - (left, bottom)) / (right - left, top - bottom)
    high = (places.max(axis=(1, 2)) - (left, bottom)) / (right - left, top - bottom)
    x, y, far_x, far_y = low[:, 0], low[:, 1], high[:, 0], high[:, 1]
    sides = {
        90: (y, x, far_y, far_x),
        180: (1 - far_x, y, 1 - x, far_y),
        270: (1 - far_y, 1 - far_x, 1 - y, 1 - x),
    }
    boxes = np.stack(sides.get(sheet.get_rotation(), (x, 1 - far_y, far_x, 1 - y)), axis=1)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    shown = ((middle >= 0) & (middle <= 1)).all(axis=1).tolist()
    clipped = boxes.clip(0.0, 1.0).round(DIGITS).tolist()
    return [
        Word(_HYPHENATED.sub("-", word[0]), tuple(box))
        for word, box, seen in zip(matches, clipped, shown, strict=True)
        if seen
    ]


def _is_scan(sheet: Any, text: str) -> bool:
    """Return whether a page's own text says too little of what is seen on it."""
    plain = "".join(text.split())
    if plain and len(_NAMELESS.findall(plain)) > MAX_NAMELESS * len(plain):
        return True
    if len(plain) >= FEW_CHARACTERS[0][1]:
        return False
    covered = _measure_pictures(sheet)
    return any(covered >= share and len(plain) < few for share, few in FEW_CHARACTERS)


def _measure_pictures(sheet: Any) -> float:
    """Return the share of the page that its pictures cover, at most 1."""
    left, bottom, right, top = sheet.get_bbox()
    covered = 0.0
    for picture in sheet.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=FORM_DEPTH):
        x0, y0, x1, y1 = picture.get_bounds()
        covered += max(0.0, min(x1, right) - max(x0, left)) * max(0.0, min(y1, top) - max(y0, bottom))
        if covered >= (right - left) * (top - bottom):
            return 1.0
    return float(covered / ((right - left) * (top - bottom)))
