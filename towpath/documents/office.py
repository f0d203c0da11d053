"""Office files: DOCX one page, XLSX a page a sheet, PPTX a page a slide."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import mammoth
import openpyxl
import pptx

from towpath.documents.archives import assert_sound
from towpath.documents.base import Document
from towpath.documents.layout import write_table
from towpath.documents.markup import convert_html
from towpath.documents.texts import MAX_COLUMNS, write_rows
from towpath.documents.types import DocumentKind, OcrMode, PageContent, ReadLimits, ReadMethod

MAX_ROWS = 20_000
MAX_GROUPS = 8
ENGLISH_METRIC_UNITS = 12_700


class WordFile(Document):
    """A DOCX; its pages exist only in print, so it is one.

    Args:
        path: Of the file.
        limits: Of reading.
    """

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        super().__init__(limits)
        assert_sound(path, DocumentKind.DOCX, limits)
        self._path = path

    @property
    def pages(self) -> int:
        """Return one: it has no pages of its own."""
        return 1

    def read(self, page: int, ocr: OcrMode) -> PageContent:
        """Read the whole text; notes at its end, pictures as what is said in their place."""
        with self._path.open("rb") as file:
            converted = mammoth.convert_to_html(
                file, convert_image=_describe_picture, include_embedded_style_map=False, external_file_access=False
            )
        return PageContent(page=page, content=convert_html(converted.value), method=ReadMethod.OFFICE)


class SheetFile(Document):
    """An XLSX: values as they were last computed, without formulas.

    Args:
        path: Of the file.
        limits: Of reading.
    """

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        super().__init__(limits)
        assert_sound(path, DocumentKind.XLSX, limits)
        # A stored document has a digest for its name; of a path, openpyxl would look at the suffix.
        self._file = path.open("rb")
        try:
            self._book: Any = openpyxl.load_workbook(self._file, read_only=True, data_only=True, keep_links=False)
        except BaseException:
            self._file.close()
            raise
        self._sheets: list[Any] = list(self._book.worksheets)

    @property
    def pages(self) -> int:
        """Return how many sheets there are."""
        return len(self._sheets)

    def read(self, page: int, ocr: OcrMode) -> PageContent:
        """Read a sheet's name and its table."""
        sheet = self._sheets[page - 1]
        # What a file says of its size need not be so; the rows themselves are counted.
        sheet.reset_dimensions()
        rows = sheet.iter_rows(max_row=MAX_ROWS + 1, max_col=MAX_COLUMNS + 1, values_only=True)
        seen = _Counted(rows)
        table, cut = write_rows(([_format_cell(value) for value in row] for row in seen), self.limits.most_characters)
        return PageContent(
            page=page,
            content=f"## {sheet.title}\n\n{table}".strip(),
            method=ReadMethod.OFFICE,
            truncated=cut or seen.count > MAX_ROWS,
        )

    def close(self) -> None:
        """Let go of the file."""
        self._book.close()
        self._file.close()


class SlidesFile(Document):
    """A PPTX.

    Args:
        path: Of the file.
        limits: Of reading.
    """

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        super().__init__(limits)
        assert_sound(path, DocumentKind.PPTX, limits)
        with path.open("rb") as file:
            self._deck: Any = pptx.Presentation(file)
        self._slides: list[Any] = list(self._deck.slides)

    @property
    def pages(self) -> int:
        """Return how many slides there are."""
        return len(self._slides)

    def read(self, page: int, ocr: OcrMode) -> PageContent:
        """Read a slide's title, its texts and tables from the top, and its notes."""
        slide = self._slides[page - 1]
        title = slide.shapes.title
        blocks = [] if title is None else [f"# {_one_line(title.text_frame.text)}"]
        shapes = [shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id]
        for shape in sorted(shapes, key=lambda each: (each.top or 0, each.left or 0)):
            blocks += _shape_blocks(shape, 0)
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = slide.notes_slide.notes_text_frame.text.strip()
            blocks += ["Notes:", _lines(notes)] if notes else []
        width, height = self._deck.slide_width, self._deck.slide_height
        return PageContent(
            page=page,
            content="\n\n".join(block for block in blocks if block.strip("# ")),
            width=width / ENGLISH_METRIC_UNITS if width else None,
            height=height / ENGLISH_METRIC_UNITS if height else None,
            method=ReadMethod.OFFICE,
        )


class _Counted:
    """An iterator that knows how many it gave."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for row in self._rows:
            self.count += 1
            if self.count > MAX_ROWS:
                return
            yield row


def _describe_picture(image: Any) -> list[Any]:
    """Replace a picture of a DOCX by what its writer says of it."""
    return [mammoth.html.text(image.alt_text)] if image.alt_text else []


def _format_cell(value: Any) -> str:
    """Return a cell as its reader would write it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(" ")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value)


def _shape_blocks(shape: Any, depth: int) -> Iterator[str]:
    if getattr(shape, "has_table", False):
        yield write_table([[_one_line(cell.text) for cell in row.cells] for row in shape.table.rows])
    elif shape.has_text_frame:
        lines = [_paragraph(paragraph) for paragraph in shape.text_frame.paragraphs]
        yield "\n".join(line for line in lines if line.strip())
    elif hasattr(shape, "shapes") and depth < MAX_GROUPS:
        for inner in shape.shapes:
            yield from _shape_blocks(inner, depth + 1)


def _paragraph(paragraph: Any) -> str:
    text = _one_line(paragraph.text)
    return f"{'  ' * (paragraph.level - 1)}- {text}" if paragraph.level and text else text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _lines(text: str) -> str:
    return "\n".join(line.strip() for line in text.replace("\v", "\n").splitlines())
