"""Which kind a document is: by its first bytes, and where they say nothing, by its type and name."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from pathlib import PurePosixPath

from towpath.core.errors import BadInputError, ErrorCode
from towpath.documents.types import IMAGE_KINDS, OFFICE_KINDS, DocumentKind

HEAD_BYTES = 1 << 16
"""How much of a file's beginning tells its kind."""

SUPPORTED = "PDF, PNG, JPEG, WebP, TIFF, DOCX, XLSX, PPTX, HTML, Markdown, text and CSV"
SUFFIXES = {
    ".pdf": DocumentKind.PDF,
    ".png": DocumentKind.PNG,
    ".jpg": DocumentKind.JPEG,
    ".jpeg": DocumentKind.JPEG,
    ".webp": DocumentKind.WEBP,
    ".tif": DocumentKind.TIFF,
    ".tiff": DocumentKind.TIFF,
    ".docx": DocumentKind.DOCX,
    ".xlsx": DocumentKind.XLSX,
    ".pptx": DocumentKind.PPTX,
    ".html": DocumentKind.HTML,
    ".htm": DocumentKind.HTML,
    ".xhtml": DocumentKind.HTML,
    ".md": DocumentKind.MARKDOWN,
    ".markdown": DocumentKind.MARKDOWN,
    ".txt": DocumentKind.TEXT,
    ".text": DocumentKind.TEXT,
    ".log": DocumentKind.TEXT,
    ".json": DocumentKind.TEXT,
    ".xml": DocumentKind.TEXT,
    ".yaml": DocumentKind.TEXT,
    ".yml": DocumentKind.TEXT,
    ".csv": DocumentKind.CSV,
    ".tsv": DocumentKind.CSV,
}
_OPEN_XML = "application/vnd.openxmlformats-officedocument."
MEDIA_TYPES = {
    "application/pdf": DocumentKind.PDF,
    "application/x-pdf": DocumentKind.PDF,
    "image/png": DocumentKind.PNG,
    "image/jpeg": DocumentKind.JPEG,
    "image/jpg": DocumentKind.JPEG,
    "image/webp": DocumentKind.WEBP,
    "image/tiff": DocumentKind.TIFF,
    f"{_OPEN_XML}wordprocessingml.document": DocumentKind.DOCX,
    f"{_OPEN_XML}spreadsheetml.sheet": DocumentKind.XLSX,
    f"{_OPEN_XML}presentationml.presentation": DocumentKind.PPTX,
    "text/html": DocumentKind.HTML,
    "application/xhtml+xml": DocumentKind.HTML,
    "text/markdown": DocumentKind.MARKDOWN,
    "text/x-markdown": DocumentKind.MARKDOWN,
    "text/csv": DocumentKind.CSV,
    "application/csv": DocumentKind.CSV,
    "text/tab-separated-values": DocumentKind.CSV,
    "application/json": DocumentKind.TEXT,
    "application/xml": DocumentKind.TEXT,
    "application/yaml": DocumentKind.TEXT,
    "application/x-yaml": DocumentKind.TEXT,
    "application/x-ndjson": DocumentKind.TEXT,
}
# Said of a file that nobody has looked into; browsers also say it of a CSV.
VAGUE_TYPES = frozenset(
    {"", "application/octet-stream", "binary/octet-stream", "application/x-download", "application/vnd.ms-excel"}
)
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", DocumentKind.PNG),
    (b"\xff\xd8\xff", DocumentKind.JPEG),
    (b"II*\x00", DocumentKind.TIFF),
    (b"MM\x00*", DocumentKind.TIFF),
    (b"II+\x00", DocumentKind.TIFF),
    (b"MM\x00+", DocumentKind.TIFF),
)
FOLDERS = {"word": DocumentKind.DOCX, "xl": DocumentKind.XLSX, "ppt": DocumentKind.PPTX}
ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
# Texts of these begin so, and what follows is no prose.
MARKED_TEXTS = (b"{\\rtf", b"%!PS")
BINARY = frozenset({DocumentKind.PDF}) | IMAGE_KINDS | OFFICE_KINDS
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


class UnsupportedFileError(BadInputError):
    """415: a kind of file that is not read."""

    status = 415
    title = "Unsupported Media Type"
    default_code = ErrorCode.UNSUPPORTED_FILE_TYPE


def detect_kind(name: str, media_type: str | None, head: bytes, *, members: Collection[str] = ()) -> DocumentKind:
    """Detect the kind of a document; its bytes outweigh what is said of it.

    Args:
        name: The file's name or URL.
        media_type: As it was sent; parameters are ignored; None: not told.
        head: The first `HEAD_BYTES` of the file.
        members: The names in a zip file, when somebody has read them; else they are looked for in the head.

    Raises:
        UnsupportedFileError: A kind that is not read.
        BadInputError: Empty, encrypted as an office file, or not what its name and type say.
    """
    if not head:
        raise BadInputError("the document is empty", code=ErrorCode.DOCUMENT_DAMAGED)
    declared = read_declared_kind(name, media_type)
    seen = _by_bytes(head, declared, members)
    if seen is not None:
        return seen
    if declared in BINARY:
        raise BadInputError(f"the document is no {declared.upper()}", code=ErrorCode.DOCUMENT_DAMAGED)
    if not _is_text(head):
        raise _unsupported_error(name, media_type)
    if declared is None:
        sent_type = _plain(media_type)
        if (
            sent_type not in VAGUE_TYPES
            and not sent_type.startswith("text/")
            and not sent_type.endswith(("+json", "+xml"))
        ):
            raise _unsupported_error(name, media_type)
        declared = DocumentKind.HTML if _looks_like_html(head) else DocumentKind.TEXT
    return declared


def read_declared_kind(name: str, media_type: str | None) -> DocumentKind | None:
    """Read the kind that a media type or else a name declares; None: neither does."""
    sent_type = _plain(media_type)
    suffix = SUFFIXES.get(PurePosixPath(name.partition("?")[0]).suffix.lower())
    declared = MEDIA_TYPES.get(sent_type)
    if declared is None and sent_type in VAGUE_TYPES:
        return suffix
    # Servers call every text plain; its name knows more.
    if declared is None and sent_type == "text/plain":
        return DocumentKind.TEXT if suffix is None or suffix in BINARY else suffix
    return declared


def list_member_names(head: bytes) -> list[str]:
    """List the names of a zip file's members whose headers lie in its first bytes."""
    names = []
    place = head.find(ZIP)
    while place >= 0:
        length = int.from_bytes(head[place + 26 : place + 28], "little")
        names.append(head[place + 30 : place + 30 + length].decode("utf-8", "replace"))
        place = head.find(ZIP, place + 4)
    return names


def _by_bytes(head: bytes, declared: DocumentKind | None, members: Collection[str]) -> DocumentKind | None:
    for magic, kind in MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return DocumentKind.WEBP
    # Readers take a PDF whose mark follows within the first kilobyte.
    if b"%PDF-" in head[:1024]:
        return DocumentKind.PDF
    if head.startswith((ZIP, EMPTY_ZIP)):
        return _by_members(members or list_member_names(head), declared)
    if head.startswith(OLE):
        # What a new office file is locked into; its table of contents may lie beyond the head.
        if ENCRYPTED_PACKAGE in head or declared in OFFICE_KINDS:
            raise BadInputError("the document is encrypted", code=ErrorCode.DOCUMENT_ENCRYPTED)
        raise UnsupportedFileError(f"office files of before 2007 are not read; supported are {SUPPORTED}")
    return None


def _by_members(members: Collection[str], declared: DocumentKind | None) -> DocumentKind:
    for member in members:
        kind = FOLDERS.get(member.partition("/")[0]) if "/" in member else None
        if kind is not None:
            return kind
    if declared in OFFICE_KINDS:
        return declared
    raise UnsupportedFileError(f"an archive is not read; supported are {SUPPORTED}")


def _is_text(head: bytes) -> bool:
    if head.startswith(UTF16_MARKS):
        return True
    return not head.startswith(MARKED_TEXTS) and _CONTROLS.search(head) is None


def _looks_like_html(head: bytes) -> bool:
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _plain(media_type: str | None) -> str:
    return (media_type or "").partition(";")[0].strip().lower()


def _unsupported_error(name: str, media_type: str | None) -> UnsupportedFileError:
    shown = _plain(media_type) or PurePosixPath(name.partition("?")[0]).suffix[:20] or "of an unknown type"
    return UnsupportedFileError(
        f"the document ({shown[:100]}) is of a kind that is not read; supported are {SUPPORTED}"
    )
