"""What each kind of document gives: its pages, their text as Markdown, and where their words stand."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from tests.support import documents as made
from tests.support.pdfs import Sheet, first_more, pdf_of, stream, text_at
from towpath.core.errors import BadInputError, ErrorCode, NotFoundError
from towpath.documents import DocumentReader
from towpath.documents.types import DocumentKind, ReadLimits, ReadMethod
from towpath.extraction.domain.fields import read_fields
from towpath.extraction.domain.matching import match_fields


def written(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


async def text_of(reader: DocumentReader, path: Path, kind: DocumentKind, page: int = 1) -> str:
    return (await reader.read_page(path, kind, page)).content


async def test_a_document_is_described_before_its_pages_are_read(reader: DocumentReader, tmp_path: Path) -> None:
    data = pdf_of([Sheet(text_at(72, 700, "a page"))] * 3)

    info = await reader.describe(written(tmp_path / "blob", data), DocumentKind.PDF, name="note.pdf")

    assert (info.kind, info.pages, info.size, info.file_name) == (DocumentKind.PDF, 3, len(data), "note.pdf")
    assert info.sha256 == hashlib.sha256(data).hexdigest()


async def test_the_words_of_a_pdf_stand_where_they_were_written(reader: DocumentReader, tmp_path: Path) -> None:
    content = f"{text_at(72, 700, 'Delivery note', 24)}\n{text_at(72, 600, 'Pallets: 4')}"
    path = written(tmp_path / "a.pdf", pdf_of([Sheet(content)]))

    page = await reader.read_page(path, DocumentKind.PDF, 1)

    assert page.content == "Delivery note\n\nPallets: 4"
    assert [word.text for word in page.words] == ["Delivery", "note", "Pallets:", "4"]
    assert (page.width, page.height, page.method, page.confidence) == (612, 792, ReadMethod.TEXT, None)
    x0, y0, x1, y1 = page.words[2].box
    assert x0 == pytest.approx(72 / 612, abs=0.005)
    assert y0 < 1 - 604 / 792 < y1
    assert 0.05 < x1 - x0 < 0.1


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
async def test_words_of_a_turned_page_stand_where_they_are_seen(
    reader: DocumentReader, tmp_path: Path, turned: int
) -> None:
    """Against the page as it is rendered: where the words are, and only there, it is dark."""
    sheet = Sheet(text_at(120, 150, "Harbour", 30), box=(0, 0, 400, 300), turned=turned)
    path = written(tmp_path / "a.pdf", pdf_of([sheet]))

    page = await reader.read_page(path, DocumentKind.PDF, 1)
    picture = Image.open(io.BytesIO(await reader.render_page(path, DocumentKind.PDF, 1, most_pixels=200_000)))

    assert (page.width, page.height) == ((400, 300) if turned in {0, 180} else (300, 400))
    assert_dark_only_within(picture, page.words[0].box)


async def test_words_of_a_cropped_page_are_those_that_are_seen(reader: DocumentReader, tmp_path: Path) -> None:
    content = f"{text_at(150, 150, 'Seen', 30)}\n{text_at(20, 20, 'Hidden')}"
    path = written(tmp_path / "a.pdf", pdf_of([Sheet(content, box=(0, 0, 400, 300), crop=(100, 100, 300, 250))]))

    page = await reader.read_page(path, DocumentKind.PDF, 1)
    picture = Image.open(io.BytesIO(await reader.render_page(path, DocumentKind.PDF, 1, most_pixels=200_000)))

    assert [word.text for word in page.words] == ["Seen"]
    assert (page.width, page.height) == (200, 150)
    assert_dark_only_within(picture, page.words[0].box)


async def test_what_is_filled_into_a_form_is_read(reader: DocumentReader, tmp_path: Path) -> None:
    sheet = Sheet(text_at(72, 700, "Pallets:"))
    field, look = first_more([sheet]), first_more([sheet]) + 1
    widget = (
        f"<< /Type /Annot /Subtype /Widget /FT /Tx /T (pallets) /V (44) /Rect [150 695 300 715] /P 3 0 R /F 4 "
        f"/AP << /N {look} 0 R >> >>"
    )
    entries = "/Type /XObject /Subtype /Form /BBox [0 0 150 20] /Resources << /Font << /F1 5 0 R >> >>"
    drawn = stream(text_at(2, 5, "44"), entries)
    data = pdf_of(
        [Sheet(sheet.content, more=f"/Annots [{field} 0 R]")],
        more=[widget, drawn],
        catalog=f"/AcroForm << /Fields [{field} 0 R] >>",
    )

    assert await text_of(reader, written(tmp_path / "a.pdf", data), DocumentKind.PDF) == "Pallets: 44"


async def test_pages_come_in_the_order_asked_for(reader: DocumentReader, tmp_path: Path) -> None:
    path = written(tmp_path / "a.pdf", pdf_of([Sheet(text_at(72, 700, f"page {number}")) for number in range(1, 21)]))

    pages = [page async for page in reader.read_pages(path, DocumentKind.PDF, [7, 3, 20])]

    assert [(page.page, page.content) for page in pages] == [(7, "page 7"), (3, "page 3"), (20, "page 20")]


async def test_pages_are_cut_at_the_limit_and_say_so(tmp_path: Path) -> None:
    limited = DocumentReader(ReadLimits(most_characters=20), children=1)
    pdf = written(tmp_path / "a.pdf", pdf_of([Sheet(text_at(72, 700, "one two three four five six"))]))
    text = written(tmp_path / "a.txt", "ü" * 500)
    table = written(tmp_path / "a.csv", "a,b\n" * 500)

    for path, kind in [(pdf, DocumentKind.PDF), (text, DocumentKind.TEXT), (table, DocumentKind.CSV)]:
        page = await limited.read_page(path, kind, 1)
        assert page.truncated
        assert len(page.content) <= 20
    await limited.close()


async def test_a_pdf_that_asks_nobody_for_its_password_is_read(reader: DocumentReader, tmp_path: Path) -> None:
    data = pdf_of([Sheet(text_at(72, 700, "for all to read"))], password="")

    assert await text_of(reader, written(tmp_path / "a.pdf", data), DocumentKind.PDF) == "for all to read"


async def test_a_docx_is_one_page_of_markdown(reader: DocumentReader, tmp_path: Path) -> None:
    body = made.paragraph("Delivery note", "Heading1") + made.paragraph("Pallets: 4")
    body += made.word_table([["Item", "Price"], ["Rope", "12.50"]])
    path = made.archive(tmp_path / "a.docx", made.docx_members(body))

    info = await reader.describe(path, DocumentKind.DOCX)
    page = await reader.read_page(path, DocumentKind.DOCX, 1)

    assert info.pages == 1
    assert page.method == ReadMethod.OFFICE
    assert "Delivery note\n\nPallets: 4" in page.content
    assert "| Item | Price |\n| --- | --- |\n| Rope | 12.50 |" in page.content


async def test_sheets_of_a_workbook_are_pages(reader: DocumentReader, tmp_path: Path) -> None:
    rows = [
        ["Item", "Quantity", "Due", "Paid"],
        ["Rope | thick", 4.0, dt.datetime(2026, 4, 11), True],
        [],
        ["Anchor", 1.5],
    ]
    path = made.workbook(tmp_path / "a.xlsx", {"Orders": rows, "Notes": [["nothing"]]})

    info = await reader.describe(path, DocumentKind.XLSX)
    pages = [page async for page in reader.read_pages(path, DocumentKind.XLSX, [1, 2])]

    assert info.pages == 2
    assert pages[0].content == (
        "## Orders\n\n| Item | Quantity | Due | Paid |\n| --- | --- | --- | --- |\n"
        "| Rope \\| thick | 4 | 2026-04-11 | yes |\n| Anchor | 1.5 |  |  |"
    )
    assert pages[1].content == "## Notes\n\n| nothing |\n| --- |"


async def test_slides_are_pages_with_tables_and_notes(reader: DocumentReader, tmp_path: Path) -> None:
    path = made.slides(tmp_path / "a.pptx")

    pages = [page async for page in reader.read_pages(path, DocumentKind.PPTX, [1, 2])]

    assert pages[0].content == "# Delivery plan\n\nPallets: 4\n- fragile ones first\n\nGate 3"
    assert pages[1].content == (
        "# Prices\n\n| Item | Price |\n| --- | --- |\n| Rope | 12.50 |\n| Anchor | 88.00 |\n\n"
        "Notes:\n\nAsk about the anchor."
    )
    assert (pages[0].width, pages[0].height) == (720, 540)


async def test_html_is_read_as_it_is_seen(reader: DocumentReader, tmp_path: Path) -> None:
    page = (
        '<html><head><meta charset="windows-1252"><title>t</title><style>p{}</style></head><body><script>x()</script>'
        '<h1>Grüße</h1><p>Ice<b>land</b> <img src="http://host/a.png" alt="a map"></p>'
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table></body></html>"
    )

    text = await text_of(reader, written(tmp_path / "a.html", page.encode("cp1252")), DocumentKind.HTML)

    assert text == "# Grüße\n\nIce**land** a map\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
async def test_texts_of_any_encoding_stay_as_they_are(reader: DocumentReader, tmp_path: Path, encoding: str) -> None:
    text = "# Füße\n\nund Bäume; sie träumen von größeren Gärten und schönen Häusern in Österreich"

    assert await text_of(reader, written(tmp_path / "a.md", text.encode(encoding)), DocumentKind.MARKDOWN) == text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_tables_with_any_separator_become_tables(reader: DocumentReader, tmp_path: Path, delimiter: str) -> None:
    rows = [["Item", "Note", "Price"], ["Rope", f'"4{delimiter} thick"', "1.5"], ["Anchor", "", "88"]]
    data = "\r\n".join(delimiter.join(row) for row in rows)

    text = await text_of(reader, written(tmp_path / "a.csv", data), DocumentKind.CSV)

    shown = f"4{delimiter} thick".replace("|", r"\|")
    assert text == f"| Item | Note | Price |\n| --- | --- | --- |\n| Rope | {shown} | 1.5 |\n| Anchor |  | 88 |"


async def test_a_text_layer_leads_to_the_fields_of_a_schema(reader: DocumentReader, tmp_path: Path) -> None:
    content = "\n".join(
        text_at(72, 700 - 20 * row, label) + "\n" + text_at(250, 700 - 20 * row, value)
        for row, (label, value) in enumerate(made.FORM)
    )
    path = written(tmp_path / "a.pdf", pdf_of([Sheet(content)]))
    schema = {"properties": {"invoiceNumber": {}, "invoiceDate": {"format": "date"}, "total": {"type": "number"}}}

    page = await reader.read_page(path, DocumentKind.PDF, 1)
    found = match_fields(schema, [read_fields(page)])

    assert page.content == "\n".join(f"{label} {value}" for label, value in made.FORM)
    values = {name: each.value for name, each in found.items()}
    assert values == {"invoiceNumber": "INV-2026-0088", "invoiceDate": "2026-04-11", "total": 1234.5}


async def test_rendered_pages_keep_to_their_pixels(reader: DocumentReader, tmp_path: Path) -> None:
    pdf = written(tmp_path / "a.pdf", pdf_of([Sheet(text_at(72, 700, "x"))]))
    png = written(tmp_path / "a.png", made.png_of(Image.new("RGBA", (900, 600), (255, 0, 0, 0))))

    large = await reader.render_page(pdf, DocumentKind.PDF, 1, most_pixels=10_000_000)
    small = await reader.render_page(pdf, DocumentKind.PDF, 1, most_pixels=100_000, media="image/jpeg")
    image = await reader.render_page(png, DocumentKind.PNG, 1, most_pixels=60_000)

    assert Image.open(io.BytesIO(large)).size == (1700, 2200)
    jpeg, seen = Image.open(io.BytesIO(small)), Image.open(io.BytesIO(image))
    assert jpeg.format == "JPEG"
    assert 90_000 < jpeg.width * jpeg.height <= 101_000
    assert seen.width * seen.height <= 60_000
    assert seen.convert("RGB").getpixel((5, 5)) == (255, 255, 255)


async def test_kinds_without_looks_are_not_rendered(reader: DocumentReader, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="only PDFs and images"):
        await reader.render_page(written(tmp_path / "a.txt", "x"), DocumentKind.TEXT, 1, most_pixels=1000)


async def test_a_page_that_is_not_there_and_a_file_that_is_gone(reader: DocumentReader, tmp_path: Path) -> None:
    path = written(tmp_path / "a.pdf", pdf_of([Sheet("")]))

    for page in (0, 2, -1):
        with pytest.raises(BadInputError) as caught:
            await reader.read_page(path, DocumentKind.PDF, page)
        assert caught.value.code == ErrorCode.PAGE_OUT_OF_RANGE
        assert caught.value.extra["page"] == page
    path.unlink()
    with pytest.raises(NotFoundError):
        await reader.describe(path, DocumentKind.PDF)


async def test_a_file_that_changes_is_read_anew(reader: DocumentReader, tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"

    for text in ("first version", "second version of it"):
        assert await text_of(reader, written(path, pdf_of([Sheet(text_at(72, 700, text))])), DocumentKind.PDF) == text


def assert_dark_only_within(picture: Image.Image, box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = picture.convert("L").point(lambda value: 255 * (value < 128)).getbbox() or (0, 0, 0, 0)
    x0, y0, x1, y1 = (part * size for part, size in zip(box, picture.size * 2, strict=True))

    assert x0 - 3 <= left < right <= x1 + 3
    assert y0 - 3 <= top < bottom <= y1 + 3
    assert (right - left) * (bottom - top) > 0.4 * (x1 - x0) * (y1 - y0)
