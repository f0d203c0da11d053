"""The text of a document as a whole: plain text and Markdown, HTML, PDF with a text layer."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from towpath.core.errors import BadInputError, ErrorCode, TooLargeError
from towpath.core.extras import Extra, using
from towpath.documents.texts import decode_text, read_declared_charset

MAX_CHARACTERS = 10_000_000

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
PDF_TYPES = frozenset({"application/pdf", "application/x-pdf"})
# Says nothing: the name and the first bytes decide.
VAGUE_TYPES = frozenset({None, "application/octet-stream", "binary/octet-stream", "application/x-download"})
TEXT_TYPES = frozenset(
    {"application/json", "application/xml", "application/yaml", "application/x-yaml", "application/x-ndjson"}
)
HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})


def read_plain_text(
    data: bytes, *, media_type: str | None, name: str, charset: str | None = None, most_pages: int = 2_000
) -> str:
    """Read the text of a document.

    Args:
        media_type: As the server told it; None: not told.
        name: The file's name or URL, for its suffix and for messages.
        charset: As the server told it.
        most_pages: Of a PDF.

    Raises:
        BadInputError: Empty, encrypted, broken, or of a kind that is not read.
        TooLargeError: A PDF of too many pages.
        MissingExtraError: HTML or a PDF, and the extra `documents` is not installed.
    """
    if not data:
        raise _unreadable(name, "is empty")
    kind = (media_type or "").lower() or None
    suffix = PurePosixPath(name).suffix.lower()
    if b"%PDF-" in data[:1024]:
        text = _pdf_text(data, name, most_pages)
    elif kind in PDF_TYPES:
        raise _unreadable(name, "is no PDF")
    elif kind in HTML_TYPES or (kind in VAGUE_TYPES and (suffix in HTML_SUFFIXES or _looks_like_html(data))):
        text = _html_text(_decode(data, name, charset or read_declared_charset(data)))
    elif kind in VAGUE_TYPES or kind in TEXT_TYPES or _is_text(kind or ""):
        text = _decode(data, name, charset)
    else:
        raise BadInputError(f"{name} is of the type {kind}, which is not read", code=ErrorCode.UNSUPPORTED_MEDIA_TYPE)
    text = text.replace("\x00", "").strip()
    if not text:
        raise _unreadable(name, "holds no text")
    return text[:MAX_CHARACTERS]


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind.endswith(("+json", "+xml"))


def _looks_like_html(data: bytes) -> bool:
    start = data[:1024].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _decode(data: bytes, name: str, charset: str | None) -> str:
    try:
        return decode_text(data, charset)
    except BadInputError as error:
        raise _unreadable(name, error.detail.removeprefix("the document ")) from error


def _html_text(page: str) -> str:
    with using(Extra.DOCUMENTS, "reading HTML"):
        import lxml.html
        from inscriptis import Inscriptis
        from inscriptis.css_profiles import CSS_PROFILES
        from inscriptis.model.config import ParserConfig
        from lxml.etree import ParserError

    try:
        # An encoding in the page's own XML declaration no longer holds, and lxml refuses text with one.
        tree = lxml.html.fromstring(page.encode(), parser=lxml.html.HTMLParser(encoding="utf-8"))
    except ParserError:
        return ""
    return str(Inscriptis(tree, ParserConfig(css=CSS_PROFILES["strict"])).get_text())


def _pdf_text(data: bytes, name: str, most_pages: int) -> str:
    with using(Extra.DOCUMENTS, "reading a PDF"):
        import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        reason = "is encrypted" if "assword" in str(error) else "is a broken PDF"
        raise _unreadable(name, reason) from error
    try:
        if len(document) > most_pages:
            detail = f"{name} has {len(document)} pages; the limit is {most_pages}"
            raise TooLargeError(detail, code=ErrorCode.DOCUMENT_TOO_LARGE)
        return "\n\n".join(_page_text(document, number) for number in range(len(document)))
    except pypdfium2.PdfiumError as error:
        raise _unreadable(name, "is a broken PDF") from error
    finally:
        document.close()


def _page_text(document: Any, number: int) -> str:
    page = document[number]
    try:
        layer = page.get_textpage()
        try:
            return str(layer.get_text_bounded()).strip()
        finally:
            layer.close()
    finally:
        page.close()


def _unreadable(name: str, reason: str) -> BadInputError:
    return BadInputError(f"{name} {reason}", code=ErrorCode.UNREADABLE)
