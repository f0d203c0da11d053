"""The text of documents of each kind, whole, odd and broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pdfs import pdf
from towpath.core.errors import BadInputError, ErrorCode, TowpathError
from towpath.documents.plain import read_plain_text

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
