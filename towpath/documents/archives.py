"""Office files as archives: what lies in them is weighed before any library opens them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from xml.parsers import expat

from towpath.core.errors import ErrorCode
from towpath.documents.faults import damaged_error, document_error
from towpath.documents.types import DocumentKind, ReadLimits

MAX_MEMBERS = 20_000
# An archive of less is opened whatever its ratio; beyond, nobody's text is as repetitive as that.
SMALL_BYTES = 64 << 20
MAX_RATIO = 150
MAIN_FOLDERS = {DocumentKind.DOCX: "word/", DocumentKind.XLSX: "xl/", DocumentKind.PPTX: "ppt/"}
METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
ENCRYPTED_FLAG = 0x1
PIECE = 1 << 12


class _RootBegunError(Exception):
    """The root element of an XML file has begun: the part that can hold definitions is over."""


def assert_sound(path: Path, kind: DocumentKind, limits: ReadLimits) -> None:
    """Refuse an office file that is not one, or is made to burst.

    What a member declares as its size is also the most that is ever unpacked of it: the reader of the
    archive stops there. So the declared sizes bound the real ones, with the two methods that the format allows.

    Raises:
        BadInputError: Damaged or encrypted.
        TooLargeError: Out of proportion.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _assert_bounded(members, path.stat().st_size, limits)
            if not any(member.filename.startswith(MAIN_FOLDERS[kind]) for member in members):
                raise damaged_error(f"the document is no {kind.upper()}")
            for member in members:
                if member.filename.lower().endswith((".xml", ".rels")):
                    _assert_plain(archive, member)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise damaged_error(f"the document is a broken {kind.upper()}") from error


def _assert_bounded(members: list[zipfile.ZipInfo], size: int, limits: ReadLimits) -> None:
    if any(member.flag_bits & ENCRYPTED_FLAG for member in members):
        raise document_error(ErrorCode.DOCUMENT_ENCRYPTED, "the document is encrypted")
    if any(member.compress_type not in METHODS for member in members):
        raise damaged_error("the document is packed in a way that its format does not know")
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS:
        raise document_error(ErrorCode.DOCUMENT_TOO_LARGE, f"the document consists of {len(members):,} parts")
    if unpacked > limits.most_unpacked_bytes or (unpacked > SMALL_BYTES and unpacked > MAX_RATIO * size):
        raise document_error(ErrorCode.DOCUMENT_TOO_LARGE, f"the document unpacks from {size:,} to {unpacked:,} bytes")


def _assert_plain(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Refuse an XML part with a document type: the format has none, and only there are entities defined."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = _begin
    try:
        with archive.open(member) as part:
            while piece := part.read(PIECE):
                parser.Parse(piece)
    except _RootBegunError:
        return
    except expat.ExpatError:
        # Its reader will say so, if it is ever read.
        return


def _refuse(*_: object) -> None:
    raise damaged_error("the document defines XML entities")


def _begin(*_: object) -> None:
    raise _RootBegunError
