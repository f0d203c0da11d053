"""The text of documents of each kind, whole, odd and broken; also in the child that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import documents as made
from tests.support.pdfs import Sheet, pdf, pdf_of
from towpath.core.errors import BadInputError, ErrorCode, TowpathError
from towpath.documents import DocumentReader
from towpath.documents.plain import read_plain_text
from towpath.documents.types import ReadLimits

PAGE = (
    "<html><head><title>t</title><style>p{color:red}</style></head><body><script>evil()</script>"
    "<h1>Grüße</h1><p>Ice<b>land</b></p></body></html>"
)


def text_of(data: bytes, media_type: str | None = None, name: str = "file", charset: str | None = None) -> str:
    return read_plain_text(data, media_type=media_type, name=name, charset=charset)


@pytest.mark.parametrize(
    ("data", "media_type", "name"),
    [
        (PAGE.encode(), "text/html", "page"),
        (PAGE.encode(), None, "page.html"),
        (PAGE.encode(), "application/octet-stream", "http://host/page"),
        (PAGE.replace("<head>", '<head><meta charset="windows-1252">').encode("cp1252"), "text/html", "page"),
        (b"<?xml version='1.0' encoding='utf-8'?>" + PAGE.encode(), "application/xhtml+xml", "page"),
    ],
)
def test_a_page_reads_as_its_reader_sees_it(data: bytes, media_type: str | None, name: str) -> None:
    text = text_of(data, media_type, name)

    assert text.split() == ["Grüße", "Iceland"]


def test_markdown_and_other_text_stay_as_they_are() -> None:
    assert text_of(b"# Title\n\n*words*", None, "notes.md") == "# Title\n\n*words*"
    assert text_of(b'{"a": 1}', "application/json") == '{"a": 1}'
    assert text_of(b"a,b\n1,2", "text/csv") == "a,b\n1,2"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_or_utf8_is_understood(encoding: str) -> None:
    assert text_of("Füße 漢字".encode(encoding)) == "Füße 漢字"


def test_a_charset_that_is_told_is_used_and_a_wrong_one_is_not() -> None:
    text = "Füße und Bäume; sie träumen von größeren Gärten und schönen Häusern in Österreich"
    assert text_of(text.encode("cp1252"), "text/plain", charset="windows-1252") == text
    assert text_of(text.encode(), "text/plain", charset="ascii") == text
    assert text_of(text.encode(), "text/plain", charset="no-such") == text
    assert text_of(text.encode("cp1252"), "text/plain") == text


def test_a_pdf_gives_its_pages_in_order_whatever_it_is_called() -> None:
    data = pdf(["Volcanoes of Iceland", "Orchids (and tides)"])

    for media_type in ("application/pdf", "text/plain", None):
        assert text_of(data, media_type) == "Volcanoes of Iceland\n\nOrchids (and tides)"


@pytest.mark.parametrize(
    ("data", "media_type", "reason"),
    [
        (b"", "text/plain", "is empty"),
        (b" \n\t ", "text/plain", "holds no text"),
        (b"<html><script>x()</script></html>", "text/html", "holds no text"),
        (pdf(["secret"], encrypted=True), "application/pdf", "is encrypted"),
        (pdf(["whole"])[:60], "application/pdf", "is a broken PDF"),
        (pdf([""]), "application/pdf", "holds no text"),
        (b"no such thing", "application/pdf", "is no PDF"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", None, "is no text"),
        (b"\x89PNG\r\n\x1a\n", "image/png", "image/png"),
    ],
)
def test_what_gives_no_text_says_why(data: bytes, media_type: str | None, reason: str) -> None:
    with pytest.raises(BadInputError, match=reason) as caught:
        text_of(data, media_type)
    assert caught.value.code in {ErrorCode.UNREADABLE, ErrorCode.UNSUPPORTED_MEDIA_TYPE}


@pytest.mark.asyncio(loop_scope="session")
async def test_the_child_reads_bytes_and_files_alike(reader: DocumentReader, tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    file.write_text(PAGE)

    assert (await reader.read_text(file)).split() == ["Grüße", "Iceland"]
    assert (await reader.text_of(PAGE.encode(), name="a", media_type="text/html")).split() == ["Grüße", "Iceland"]
    text = "Füße und Bäume; sie träumen von größeren Gärten"
    data = text.encode("cp1252")
    assert await reader.text_of(data, name="a", media_type="text/plain", charset="windows-1252") == text
    with pytest.raises(BadInputError, match="is a broken PDF") as caught:
        await reader.text_of(b"%PDF-1.7 nothing", name="a.pdf", media_type=None)
    assert caught.value.code == ErrorCode.UNREADABLE


@pytest.mark.asyncio(loop_scope="session")
async def test_a_poisoned_file_harms_nobody() -> None:
    strict = DocumentReader(
        ReadLimits(most_pages=3, most_bytes=3_000_000, memory_mb=512, seconds_a_page=20), children=1
    )

    async def code(data: bytes) -> ErrorCode:
        with pytest.raises(TowpathError) as caught:
            await strict.text_of(data, name="a", media_type=None)
        assert not caught.value.retryable
        return ErrorCode(caught.value.code)

    assert await code(pdf_of([Sheet("")] * 4)) == ErrorCode.DOCUMENT_TOO_LARGE
    assert await code(b"x" * 3_000_001) == ErrorCode.DOCUMENT_TOO_LARGE
    assert await code(made.endless_page()) in {ErrorCode.READER_DIED, ErrorCode.PAGE_TIMEOUT}
    assert await strict.text_of(b"still at work", name="a", media_type=None) == "still at work"
    await strict.close()


@given(
    st.binary(max_size=400),
    st.sampled_from([None, "text/html", "text/plain", "application/pdf", "application/json"]),
    st.sampled_from([b"", b"%PDF-1.4\n", b"<html>", b"\xff\xfe"]),
)
def test_any_bytes_give_text_or_an_error_of_ours(data: bytes, media_type: str | None, start: bytes) -> None:
    try:
        text = text_of(start + data, media_type)
    except TowpathError:
        return
    assert text.strip()
    assert "\x00" not in text
