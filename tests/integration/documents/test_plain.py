"""Plain documents in the child that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import documents as made
from tests.support.pdfs import Sheet, pdf_of
from towpath.core.errors import BadInputError, ErrorCode, TowpathError
from towpath.documents import DocumentReader
from towpath.documents.types import ReadLimits

PAGE = (
    "<html><head><title>t</title><style>p{color:red}</style></head><body><script>evil()</script>"
    "<h1>Grüße</h1><p>Ice<b>land</b></p></body></html>"
)


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
