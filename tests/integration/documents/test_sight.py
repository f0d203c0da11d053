"""Pages that are pictures are read by sight, and only those."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.support import documents as made
from tests.support.pdfs import Sheet, first_more, pdf_of, stream, text_at
from towpath.documents import DocumentReader
from towpath.documents.types import DocumentKind, PageContent, ReadMethod
from towpath.extraction.domain.fields import read_fields
from towpath.extraction.domain.matching import match_fields

SCHEMA = {
    "type": "object",
    "properties": {
        "invoiceNumber": {"type": "string"},
        "invoiceDate": {"type": "string", "format": "date"},
        "customer": {"type": "object", "properties": {"name": {"type": "string"}}},
        "total": {"type": "number"},
        "discount": {"type": "number"},
    },
}


def box_of(page: PageContent, text: str) -> tuple[float, float, float, float]:
    (box,) = [word.box for word in page.words if word.text == text]
    return box


async def test_a_scanned_form_gives_its_words_places_and_fields(reader: DocumentReader, tmp_path: Path) -> None:
    path = made.scan(tmp_path / "scan.pdf", made.form_picture())

    page = await reader.read_page(path, DocumentKind.PDF, 1)

    assert page.method == ReadMethod.OCR
    assert page.confidence is not None
    assert page.confidence > 0.9
    for label, value in made.FORM:
        assert f"{label} {value}" in page.content
    width, height = made.FORM_SIZE
    for row, word in enumerate(["INV-2026-0088", "11", "Harbour", "1,234.50"]):
        x0, y0, _, y1 = box_of(page, word)
        top = made.FORM_TOP + made.FORM_STEP * row
        assert x0 * width == pytest.approx(made.FORM_RIGHT, abs=20)
        assert top - 12 < y0 * height < y1 * height < top + made.FORM_HEIGHT + 24

    found = match_fields(SCHEMA, [read_fields(page)])

    assert {name: each.value for name, each in found.items()} == {
        "invoiceNumber": "INV-2026-0088",
        "invoiceDate": "2026-04-11",
        "customer": {"name": "Harbour Freight"},
        "total": 1234.5,
    }
    (place,) = found["invoiceNumber"].boxes
    assert place == box_of(page, "INV-2026-0088")
    assert all(0.7 < each.confidence <= 1 for each in found.values())


async def test_a_page_with_text_of_its_own_is_not_looked_at_unless_that_is_wanted(
    reader: DocumentReader, tmp_path: Path
) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of([Sheet(text_at(72, 150, "Harbour Freight", 30), box=(0, 0, 400, 300))]))

    own = await reader.read_page(path, DocumentKind.PDF, 1)
    seen = await reader.read_page(path, DocumentKind.PDF, 1, ocr="always")

    assert own.method == ReadMethod.TEXT
    assert seen.method == ReadMethod.OCR
    assert own.content == seen.content == "Harbour Freight"
    for one, other in zip(own.words, seen.words, strict=True):
        assert one.box == pytest.approx(other.box, abs=0.05)


async def test_a_scan_is_left_alone_when_nobody_is_to_look(reader: DocumentReader, tmp_path: Path) -> None:
    pdf = made.scan(tmp_path / "scan.pdf", made.word_picture("Harbour"))
    png = tmp_path / "a.png"
    made.word_picture("Harbour").save(png)

    for path, kind in [(pdf, DocumentKind.PDF), (png, DocumentKind.PNG)]:
        page = await reader.read_page(path, kind, 1, ocr="never")
        assert (page.content, page.words) == ("", [])


async def test_a_stamp_on_a_scan_does_not_hide_the_scan(reader: DocumentReader, tmp_path: Path) -> None:
    """A few words of text over a picture of the whole page."""
    picture = made.word_picture("Harbour").convert("L")
    first = first_more([Sheet("")])
    content = f"q 500 0 0 120 0 0 cm /Im1 Do Q {text_at(400, 8, 'page 1 of 1', 6)}"
    sheet = Sheet(content, box=(0, 0, 500, 120), resources=f"/XObject << /Im1 {first} 0 R >>")
    entries = "/Type /XObject /Subtype /Image /Width 500 /Height 120 /ColorSpace /DeviceGray /BitsPerComponent 8"
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of([sheet], more=[stream(picture.tobytes().decode("latin1"), entries)]))

    page = await reader.read_page(path, DocumentKind.PDF, 1)

    assert page.method == ReadMethod.OCR
    assert "Harbour" in page.content


async def test_fonts_without_names_make_a_page_be_looked_at(reader: DocumentReader, tmp_path: Path) -> None:
    """Its letters are drawn as they should be, but the file says that each is a sign of nobody's."""
    sheet = Sheet(text_at(72, 150, "Harbour Freight", 30).replace("/F1", "/F2"), box=(0, 0, 400, 300))
    first = first_more([sheet])
    names = "\n".join(f"<{code:02x}> <{0xE000 + code:04x}>" for code in range(32, 127))
    table = f"begincmap\n1 begincodespacerange <00> <ff> endcodespacerange\n95 beginbfchar\n{names}\nendbfchar\nendcmap"
    font = f"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode {first + 1} 0 R >>"
    data = pdf_of([sheet], more=[font, stream(table)])
    path = tmp_path / "a.pdf"
    path.write_bytes(data.replace(b"/F1 5 0 R", f"/F2 {first} 0 R".encode()))

    page = await reader.read_page(path, DocumentKind.PDF, 1)

    assert page.method == ReadMethod.OCR
    assert page.content == "Harbour Freight"


@pytest.mark.parametrize(
    ("kind", "suffix"), [(DocumentKind.PNG, "png"), (DocumentKind.JPEG, "jpg"), (DocumentKind.WEBP, "webp")]
)
async def test_images_of_each_format_are_read(
    reader: DocumentReader, tmp_path: Path, kind: DocumentKind, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    made.word_picture("Harbour 88").save(path)

    page = await reader.read_page(path, kind, 1)

    assert page.content == "Harbour 88"
    assert (page.width, page.height) == (500, 120)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16"])
async def test_pictures_of_any_colours_are_read(reader: DocumentReader, tmp_path: Path, mode: str) -> None:
    picture = made.word_picture("Harbour")
    if mode == "I;16":
        picture = picture.convert("I").point(lambda value: value * 256).convert("I;16")
    elif mode == "RGBA":
        picture.putalpha(picture.convert("L").point(lambda value: 255 - value))
    else:
        picture = picture.convert(mode)
    path = made.tiff(tmp_path / "a.tiff", [picture])

    assert (await reader.read_page(path, DocumentKind.TIFF, 1)).content == "Harbour"


async def test_frames_of_a_tiff_are_pages(reader: DocumentReader, tmp_path: Path) -> None:
    path = made.tiff(tmp_path / "a.tiff", [made.word_picture(text) for text in ("First", "Second", "Third")])

    info = await reader.describe(path, DocumentKind.TIFF)
    pages = [page async for page in reader.read_pages(path, DocumentKind.TIFF, [3, 1])]

    assert info.pages == 3
    assert [page.content for page in pages] == ["Third", "First"]


async def test_a_camera_that_was_held_sideways_is_put_upright(reader: DocumentReader, tmp_path: Path) -> None:
    path = made.turned_jpeg(tmp_path / "a.jpg", made.word_picture("Harbour"))

    page = await reader.read_page(path, DocumentKind.JPEG, 1)
    picture = Image.open(io.BytesIO(await reader.render_page(path, DocumentKind.JPEG, 1, most_pixels=1_000_000)))

    assert page.content == "Harbour"
    assert (page.width, page.height) == picture.size == (500, 120)
    x0, y0, _, _ = page.words[0].box
    assert x0 * 500 == pytest.approx(40, abs=15)
    assert 20 < y0 * 120 < 60


async def test_an_empty_page_has_nothing_to_be_sure_of(reader: DocumentReader, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (300, 300), "white").save(path)

    page = await reader.read_page(path, DocumentKind.PNG, 1)

    assert (page.content, page.words, page.confidence) == ("", [], None)
