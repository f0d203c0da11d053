"""Texts of one page: plain, Markdown, HTML, and tables with separators."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from towpath.core.extras import Extra, using
from towpath.documents.base import Document
from towpath.documents.faults import damaged_error
from towpath.documents.layout import write_table
from towpath.documents.types import DocumentKind, OcrMode, PageContent, ReadLimits, ReadMethod

# Of a character, at most; and of markup around each character that stays.
CHARACTER_BYTES = 4
MARKUP_BYTES = 40
GUESSED_BYTES = 1 << 18
DELIMITERS = (",", ";", "\t", "|")
SNIFFED_LINES = 50
MAX_COLUMNS = 200
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([\w-]{1,40})", re.IGNORECASE)


class TextFile(Document):
    """A text; one page.

    Args:
        path: Of the file.
        kind: HTML, Markdown, text or CSV.
        limits: Of reading.
    """

    def __init__(self, path: Path, kind: DocumentKind, limits: ReadLimits) -> None:
        super().__init__(limits)
        self._path = path
        self._kind = kind

    @property
    def pages(self) -> int:
        """Return one: it has no pages of its own."""
        return 1

    def read(self, page: int, ocr: OcrMode) -> PageContent:
        """Read the whole text as Markdown."""
        most = self.limits.most_characters
        share = MARKUP_BYTES if self._kind == DocumentKind.HTML else CHARACTER_BYTES
        with self._path.open("rb") as file:
            data = file.read(share * most + 1)
        cut = len(data) > share * most
        if self._kind == DocumentKind.HTML:
            with using(Extra.DOCUMENTS, "reading HTML"):
                from towpath.documents.markup import convert_html
            content = convert_html(decode_text(data, read_declared_charset(data)))
        elif self._kind == DocumentKind.CSV:
            content, short = _csv_markdown(decode_text(data), most)
            cut = cut or short
        else:
            content = decode_text(data).replace("\r\n", "\n").replace("\x00", "").strip()
        return PageContent(page=page, content=content, method=ReadMethod.TEXT, truncated=cut)


def write_rows(rows: Iterable[Sequence[str]], most_characters: int) -> tuple[str, bool]:
    """Write rows as one Markdown table, and return whether there were more than fit.

    Args:
        rows: The header first; empty rows and empty columns at the right are left out.
    """
    lines: list[Sequence[str]] = []
    length = 0
    cut = False
    for row in rows:
        cut = cut or len(row) > MAX_COLUMNS
        cells = _trim(row[:MAX_COLUMNS])
        if not cells:
            continue
        length += sum(map(len, cells)) + 3 * len(cells)
        if length > most_characters:
            cut = True
            break
        lines.append(cells)
    return (write_table(lines) if lines else ""), cut


def decode_text(data: bytes, declared: str | None = None) -> str:
    """Decode bytes by their mark, their declared encoding, UTF-8, or a guess; a character cut at the end is left out.

    Raises:
        BadInputError: No text in an encoding that is known.
    """
    marked = next((encoding for mark, encoding in MARKS if data.startswith(mark)), None)
    for encoding in filter(None, [marked, declared, "utf-8"]):
        try:
            return codecs.getincrementaldecoder(encoding)().decode(data)
        except (LookupError, UnicodeError):
            continue
    if b"\x00" in data[:GUESSED_BYTES]:
        raise damaged_error("the document is no text")
    from charset_normalizer import from_bytes

    guess = from_bytes(data[:GUESSED_BYTES]).best()
    if guess is None:
        raise damaged_error("the document is no text in an encoding that is known")
    return data.decode(guess.encoding, "replace")


def read_declared_charset(data: bytes) -> str | None:
    """Read the charset that a page declares in its first bytes."""
    charset = _META_CHARSET.search(data[:4096])
    return charset[1].decode("ascii") if charset else None


def _csv_markdown(text: str, most: int) -> tuple[str, bool]:
    csv.field_size_limit(most)
    sheet = text.replace("\x00", "")
    try:
        return write_rows(_read_rows(sheet, _delimiter(sheet)), most)
    except csv.Error as error:
        raise damaged_error("the document is no table with separators") from error


def _read_rows(text: str, delimiter: str) -> Iterable[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _delimiter(text: str) -> str:
    """Return the separator by which most of the first lines have the same number of cells, and more than one."""
    best, mark = 0.0, ","
    # The last line may be cut.
    sample = "\n".join(text[: SNIFFED_LINES * 1000].splitlines()[:SNIFFED_LINES])
    for delimiter in DELIMITERS:
        try:
            widths = [len(row) for row in _read_rows(sample, delimiter) if row]
        except csv.Error:
            continue
        usual = max(set(widths), key=widths.count, default=1)
        worth = widths.count(usual) / len(widths) * min(usual, 10) if usual > 1 else 0.0
        if worth > best:
            best, mark = worth, delimiter
    return mark


def _trim(row: Sequence[str]) -> list[str]:
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells
