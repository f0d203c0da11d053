"""The kind of a document: its bytes outweigh what is said of it."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pdfs import pdf
from towpath.core.errors import BadInputError, ErrorCode, TowpathError
from towpath.documents.kinds import UnsupportedFileError, detect_kind
from towpath.documents.types import DocumentKind

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 "
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
WORD_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in names:
            made.writestr(name, "<x/>" * 50)
    return out.getvalue()


@pytest.mark.parametrize(
    ("head", "name", "media_type", "kind"),
    [
        (pdf(["x"]), "note.pdf", "application/pdf", DocumentKind.PDF),
        (pdf(["x"]), "note.txt", "text/plain", DocumentKind.PDF),
        (b"\r\n\r\n" + pdf(["x"]), "note", None, DocumentKind.PDF),
        (PNG, "scan.jpg", "image/jpeg", DocumentKind.PNG),
        (JPEG, "scan", None, DocumentKind.JPEG),
        (WEBP, "scan", "application/octet-stream", DocumentKind.WEBP),
        (b"II*\x00\x08\x00\x00\x00", "scan.tif", "image/tiff", DocumentKind.TIFF),
        (b"MM\x00*\x00\x00\x00\x08", "scan", None, DocumentKind.TIFF),
        (archive("[Content_Types].xml", "_rels/.rels", "word/document.xml"), "a.zip", None, DocumentKind.DOCX),
        (archive("[Content_Types].xml", "xl/workbook.xml"), "a.docx", WORD_TYPE, DocumentKind.XLSX),
        (archive("docProps/app.xml", "ppt/presentation.xml"), "a", None, DocumentKind.PPTX),
        (archive("docProps/app.xml"), "a.docx", None, DocumentKind.DOCX),
        (b"<!DOCTYPE html><p>x", "page", None, DocumentKind.HTML),
        (b"\xef\xbb\xbf <html>", "page", "application/octet-stream", DocumentKind.HTML),
        (b"<p>x</p>", "http://host/page.html?v=2", None, DocumentKind.HTML),
        (b"<p>x</p>", "page", "text/html; charset=utf-8", DocumentKind.HTML),
        (b"# x", "notes.md", "text/plain", DocumentKind.MARKDOWN),
        (b"a,b", "table.csv", "application/vnd.ms-excel", DocumentKind.CSV),
        (b"a,b", "table", "text/csv", DocumentKind.CSV),
        (b"just words", "notes", None, DocumentKind.TEXT),
        (b"just words", "notes.pdf", "text/plain", DocumentKind.TEXT),
        (b'{"a": 1}', "data", "application/json", DocumentKind.TEXT),
        ("Füße".encode("utf-16"), "notes.txt", None, DocumentKind.TEXT),
    ],
)
def test_a_kind_is_known(head: bytes, name: str, media_type: str | None, kind: DocumentKind) -> None:
    assert detect_kind(name, media_type, head) is kind


def test_names_of_members_that_are_known_settle_an_archive() -> None:
    head = archive("docProps/app.xml")

    assert detect_kind("a", None, head, members=["docProps/app.xml", "xl/workbook.xml"]) is DocumentKind.XLSX


@pytest.mark.parametrize(
    ("head", "name", "media_type"),
    [
        (b"GIF89a\x01\x00\x01\x00", "a.gif", "image/gif"),
        (b"GIF89a\x01\x00\x01\x00", "a.txt", "text/plain"),
        (archive("readme.txt"), "a.zip", "application/zip"),
        (OLE + b"\x00" * 500, "a.doc", "application/msword"),
        (b"{\\rtf1 hello}", "a.rtf", "application/rtf"),
        (b"%!PS-Adobe", "a.txt", "text/plain"),
        (b"\x7fELF\x02\x01\x01\x00", "a", None),
        (b"some text", "a.mp3", "audio/mpeg"),
    ],
)
def test_other_kinds_are_refused_with_what_is_read(head: bytes, name: str, media_type: str | None) -> None:
    with pytest.raises(UnsupportedFileError, match=r"supported are PDF, PNG, .* and CSV") as caught:
        detect_kind(name, media_type, head)

    assert caught.value.code == ErrorCode.UNSUPPORTED_FILE_TYPE
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("head", "name", "code"),
    [
        (b"", "a.txt", ErrorCode.DOCUMENT_DAMAGED),
        (b"no such thing", "a.pdf", ErrorCode.DOCUMENT_DAMAGED),
        (b"no such thing", "a.png", ErrorCode.DOCUMENT_DAMAGED),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "a", ErrorCode.DOCUMENT_ENCRYPTED),
        (OLE + b"\x00" * 500, "a.xlsx", ErrorCode.DOCUMENT_ENCRYPTED),
    ],
)
def test_what_is_wrong_with_a_file_is_said(head: bytes, name: str, code: ErrorCode) -> None:
    with pytest.raises(BadInputError) as caught:
        detect_kind(name, None, head)

    assert caught.value.code == code


@given(
    st.binary(max_size=300), st.sampled_from(["a", "a.pdf", "a.docx", "a.csv"]), st.sampled_from([None, "text/html"])
)
def test_any_bytes_have_a_kind_or_an_error_of_ours(data: bytes, name: str, media_type: str | None) -> None:
    for start in (b"", b"PK\x03\x04", OLE, b"II*\x00"):
        try:
            kind = detect_kind(name, media_type, start + data)
        except TowpathError:
            continue
        assert isinstance(kind, DocumentKind)
