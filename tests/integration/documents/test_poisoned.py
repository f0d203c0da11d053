"""Files that are broken or made to harm end with a clear code, and the reader goes on."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.support import documents as made
from tests.support.pdfs import Sheet, pdf_of, text_at
from towpath.core.errors import ErrorCode, TowpathError
from towpath.documents import DocumentReader
from towpath.documents.types import DocumentKind, PageContent, ReadLimits

LIMITS = ReadLimits(
    most_bytes=4_000_000, most_pages=50, most_pixels=4_000_000, seconds_a_page=3, memory_mb=1_500,
    most_unpacked_bytes=200_000_000,
)  # fmt: skip
WHOLE = pdf_of([Sheet(text_at(72, 700, "still at work"))])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict() -> AsyncIterator[DocumentReader]:
    made = DocumentReader(LIMITS, children=1)
    yield made
    await made.close()


async def fails(
    reader: DocumentReader, path: Path, kind: DocumentKind, *, page: int | None = 1, code: ErrorCode
) -> TowpathError:
    """Reading it ends with the code and the page, is not to be retried, and the next request works."""
    with pytest.raises(TowpathError) as caught:
        await reader.read_page(path, kind, 1)

    error = caught.value
    assert error.code == code, error.detail
    assert error.extra.get("page") == page
    assert not error.retryable
    assert str(path.parent) not in error.detail
    whole = path.parent / "whole.pdf"
    whole.write_bytes(WHOLE)
    assert (await reader.read_page(whole, DocumentKind.PDF, 1)).content == "still at work"
    return error


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


async def test_an_encrypted_pdf(strict: DocumentReader, tmp_path: Path) -> None:
    locked = written(tmp_path / "a.pdf", pdf_of([Sheet("")], password="secret"))

    await fails(strict, locked, DocumentKind.PDF, page=None, code=ErrorCode.DOCUMENT_ENCRYPTED)


@pytest.mark.parametrize("length", [0, 20, len(WHOLE) // 2, len(WHOLE) - 150])
async def test_a_pdf_that_ends_too_early(strict: DocumentReader, tmp_path: Path, length: int) -> None:
    cut = written(tmp_path / "a.pdf", WHOLE[:length])

    await fails(strict, cut, DocumentKind.PDF, page=None, code=ErrorCode.DOCUMENT_DAMAGED)


async def test_a_tree_of_pages_that_leads_into_itself(strict: DocumentReader, tmp_path: Path) -> None:
    looped = written(tmp_path / "a.pdf", WHOLE.replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]"))

    await fails(strict, looped, DocumentKind.PDF, code=ErrorCode.DOCUMENT_DAMAGED)


async def test_a_font_that_is_part_of_itself_does_no_harm(strict: DocumentReader, tmp_path: Path) -> None:
    font = b"/Subtype /Type0 /DescendantFonts [5 0 R] /Encoding 5 0 R /ToUnicode 5 0 R /BaseFont /A"
    path = written(tmp_path / "a.pdf", WHOLE.replace(b"/Subtype /Type1 /BaseFont /Helvetica", font))

    assert isinstance(await strict.read_page(path, DocumentKind.PDF, 1), PageContent)
    assert await strict.render_page(path, DocumentKind.PDF, 1, most_pixels=10_000)


async def test_a_page_without_end_is_given_up(tmp_path: Path) -> None:
    """In time: what it has drawn by then is far from all the memory."""
    hasty = DocumentReader(ReadLimits(seconds_a_page=1, memory_mb=16_000), children=1)
    path = written(tmp_path / "a.pdf", made.endless_page())

    error = await fails(hasty, path, DocumentKind.PDF, code=ErrorCode.PAGE_TIMEOUT)

    assert "page 1 takes longer than 1 s" in error.detail
    await hasty.close()


async def test_a_page_without_end_that_has_time_runs_out_of_memory(tmp_path: Path) -> None:
    patient = DocumentReader(ReadLimits(seconds_a_page=600, memory_mb=512), children=1)
    path = written(tmp_path / "a.pdf", made.endless_page())

    error = await fails(patient, path, DocumentKind.PDF, code=ErrorCode.READER_DIED)

    assert "512 MB" in error.detail
    await patient.close()


@pytest.mark.parametrize("box", [(0, 0, 1e9, 1e9), (0, 0, 5e5, 10)])
async def test_a_page_of_a_size_that_nobody_means(
    strict: DocumentReader, tmp_path: Path, box: tuple[float, float, float, float]
) -> None:
    path = written(tmp_path / "a.pdf", pdf_of([Sheet(text_at(72, 700, "x"), box=box)]))

    await fails(strict, path, DocumentKind.PDF, code=ErrorCode.PAGE_TOO_LARGE)


async def test_a_page_too_thin_to_be_rendered(strict: DocumentReader, tmp_path: Path) -> None:
    path = written(tmp_path / "a.pdf", pdf_of([Sheet("", box=(0, 0, 99_999, 0.5))]))

    with pytest.raises(TowpathError) as caught:
        await strict.render_page(path, DocumentKind.PDF, 1, most_pixels=1_000)
    assert caught.value.code == ErrorCode.PAGE_TOO_LARGE


async def test_more_pages_or_bytes_than_are_read(strict: DocumentReader, tmp_path: Path) -> None:
    pages = written(tmp_path / "a.pdf", pdf_of([Sheet("")] * 51))
    size = written(tmp_path / "b.pdf", WHOLE + b"\n" * 4_000_000)

    for path in (pages, size):
        error = await fails(strict, path, DocumentKind.PDF, page=None, code=ErrorCode.DOCUMENT_TOO_LARGE)
        assert error.status == 413


async def test_pictures_of_too_many_pixels_are_refused_by_their_headers(strict: DocumentReader, tmp_path: Path) -> None:
    png = written(tmp_path / "a.png", made.huge_png(50_000, 50_000))

    error = await fails(strict, png, DocumentKind.PNG, code=ErrorCode.PAGE_TOO_LARGE)

    assert "pixels" in error.detail
    with pytest.raises(TowpathError, match="pixels"):
        await strict.render_page(png, DocumentKind.PNG, 1, most_pixels=1_000)
    with pytest.raises(TowpathError, match="pixels"):
        await strict.describe(png, DocumentKind.PNG)


async def test_a_late_frame_of_too_many_pixels(strict: DocumentReader, tmp_path: Path) -> None:
    path = made.tiff(tmp_path / "a.tiff", [made.word_picture("First"), Image.new("1", (3_000, 3_000))])

    assert (await strict.describe(path, DocumentKind.TIFF)).pages == 2
    with pytest.raises(TowpathError) as caught:
        await strict.read_page(path, DocumentKind.TIFF, 2)
    assert (caught.value.code, caught.value.extra["page"]) == (ErrorCode.PAGE_TOO_LARGE, 2)


@pytest.mark.parametrize(
    ("kind", "suffix"), [(DocumentKind.PNG, "png"), (DocumentKind.JPEG, "jpg"), (DocumentKind.TIFF, "tiff")]
)
async def test_pictures_that_end_too_early(
    strict: DocumentReader, tmp_path: Path, kind: DocumentKind, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    made.form_picture().save(path)

    await fails(strict, written(path, path.read_bytes()[:2_000]), kind, code=ErrorCode.DOCUMENT_DAMAGED)


@pytest.mark.parametrize("kind", [DocumentKind.DOCX, DocumentKind.XLSX, DocumentKind.PPTX])
async def test_office_files_that_are_none(strict: DocumentReader, tmp_path: Path, kind: DocumentKind) -> None:
    noise = written(tmp_path / "a", b"PK\x03\x04" + bytes(range(256)) * 10)
    other = made.archive(tmp_path / "b", {"readme.txt": "x"})
    hollow = made.archive(tmp_path / "c", {"word/a.xml": "<a", "xl/a.xml": "<a", "ppt/a.xml": "<a"})

    for path in (noise, other, hollow):
        with pytest.raises(TowpathError) as caught:
            await strict.read_page(path, kind, 1)
        assert caught.value.code == ErrorCode.DOCUMENT_DAMAGED


async def test_an_archive_that_bursts(strict: DocumentReader, tmp_path: Path) -> None:
    """By its sum, and below the sum by its ratio."""
    for size in (300_000_000, 100_000_000):
        members = made.docx_members(made.paragraph("x")) | {"word/media/a.bin": bytes(size)}
        path = made.archive(tmp_path / "a.docx", members)

        error = await fails(strict, path, DocumentKind.DOCX, page=None, code=ErrorCode.DOCUMENT_TOO_LARGE)
        assert "unpacks" in error.detail


async def test_an_archive_that_lies_about_its_sizes_is_never_unpacked_beyond_them(
    strict: DocumentReader, tmp_path: Path
) -> None:
    body = made.paragraph("x" * 100_000_000)
    path = made.understated(tmp_path / "a.docx", made.docx_members(body), "word/document.xml", 4_000)

    await fails(strict, path, DocumentKind.DOCX, page=None, code=ErrorCode.DOCUMENT_DAMAGED)


async def test_an_archive_packed_by_a_method_that_the_format_does_not_know(
    strict: DocumentReader, tmp_path: Path
) -> None:
    path = made.archive(tmp_path / "a.docx", made.docx_members(""), method=zipfile.ZIP_BZIP2)

    await fails(strict, path, DocumentKind.DOCX, page=None, code=ErrorCode.DOCUMENT_DAMAGED)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_entities_are_not_even_parsed(strict: DocumentReader, tmp_path: Path, encoding: str) -> None:
    members = made.docx_members(made.paragraph("&boom;"))
    entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {after} "{f"&{name};" * 10}">' for name, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    comment = f"<!-- {'x' * 10_000} -->"
    xml = str(members["word/document.xml"]).replace(
        '<?xml version="1.0"?>',
        f'<?xml version="1.0" encoding="{encoding}"?>{comment}<!DOCTYPE w:document [{entities}<!ENTITY boom "&i;">]>',
    )
    path = made.archive(tmp_path / "a.docx", {**members, "word/document.xml": xml.encode(encoding)})

    error = await fails(strict, path, DocumentKind.DOCX, page=None, code=ErrorCode.DOCUMENT_DAMAGED)

    assert "entities" in error.detail


async def test_pictures_outside_a_document_are_not_fetched(strict: DocumentReader, tmp_path: Path) -> None:
    secret = written(tmp_path / "secret.png", made.png_of(Image.new("RGB", (5, 5))))
    drawing = (
        '<w:p><w:r><w:drawing xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
        'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
        'xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><wp:inline><wp:docPr descr="a map"/>'
        '<a:graphic><a:graphicData><pic:pic><pic:blipFill><a:blip r:link="r9"/></pic:blipFill></pic:pic>'
        "</a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )
    relations = (
        f'<Relationships xmlns="{made.RELATIONS}"><Relationship Id="r9" TargetMode="External" '
        f'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image" Target="{secret.as_uri()}"/>'
        "</Relationships>"
    )
    members = made.docx_members(made.paragraph("text") + drawing) | {"word/_rels/document.xml.rels": relations}

    page = await strict.read_page(made.archive(tmp_path / "a.docx", members), DocumentKind.DOCX, 1)

    assert page.content == "text\n\na map"


async def test_a_sheet_that_says_it_is_endless(strict: DocumentReader, tmp_path: Path) -> None:
    """A cell in the last row and column that there can be."""
    path = made.workbook(tmp_path / "a.xlsx", {"Orders": [["Item"], ["Rope"]]})
    with zipfile.ZipFile(path) as archive:
        members: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    name = next(each for each in members if "sheet1.xml" in each and "rels" not in each)
    far = b'<row r="1048576"><c r="XFD1048576" t="n"><v>1</v></c></row></sheetData>'
    sheet = members[name]
    assert isinstance(sheet, bytes)
    members[name] = sheet.replace(b"</sheetData>", far)
    made.archive(path, members)

    page = await strict.read_page(path, DocumentKind.XLSX, 1)

    assert page.content.startswith("## Orders\n\n| Item |\n| --- |\n| Rope |")
    assert page.truncated


async def test_a_page_of_html_nested_without_end(strict: DocumentReader, tmp_path: Path) -> None:
    path = written(tmp_path / "a.html", b"<html><body>" + b"<div>" * 50_000 + b"deep")

    page = await strict.read_page(path, DocumentKind.HTML, 1)

    # The parser gives up at a depth of its own; what matters is that it comes back.
    assert page.content in {"", "deep"}


@pytest.mark.parametrize("kind", [DocumentKind.TEXT, DocumentKind.CSV, DocumentKind.MARKDOWN])
async def test_bytes_that_are_no_text(strict: DocumentReader, tmp_path: Path, kind: DocumentKind) -> None:
    path = written(tmp_path / "a", b"\x00\xff\xfe\x81" * 1_000)

    await fails(strict, path, kind, code=ErrorCode.DOCUMENT_DAMAGED)


async def test_a_reader_that_runs_out_of_memory(tmp_path: Path) -> None:
    """A text of a hundred million characters, in a process of 512 MB."""
    limits = ReadLimits(memory_mb=512, most_unpacked_bytes=2_000_000_000, seconds_a_page=60)
    starved = DocumentReader(limits, children=1)
    noise = ("".join(chr(33 + (number * 7919) % 90) for number in range(100_000)) + "\n").replace("<", "(")
    body = "".join(made.paragraph(noise.replace("&", "+")) for _ in range(1_000))
    path = made.archive(tmp_path / "a.docx", made.docx_members(body), method=zipfile.ZIP_STORED)

    await fails(starved, path, DocumentKind.DOCX, code=ErrorCode.READER_DIED)

    await starved.close()


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[DocumentKind, Path]]:
    """Made once: a workbook holds the time of its making, and no two are of one length."""
    return whole_files(tmp_path_factory.mktemp("sound"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
async def test_any_damage_to_any_file_is_an_error_of_ours(
    strict: DocumentReader,
    tmp_path: Path,
    sound_files: list[tuple[DocumentKind, Path]],
    data: st.DataObject,
) -> None:
    """Bytes are changed somewhere in a whole file of some kind."""
    kind, path = data.draw(st.sampled_from(sound_files))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    outcome = await page_or_error(strict, written(tmp_path / path.name, bytes(content)), kind)

    assert isinstance(outcome, PageContent) or (outcome.code != ErrorCode.INTERNAL and not outcome.retryable)


async def page_or_error(reader: DocumentReader, path: Path, kind: DocumentKind) -> PageContent | TowpathError:
    try:
        return await reader.read_page(path, kind, 1, ocr="never")
    except TowpathError as error:
        return error


def whole_files(folder: Path) -> list[tuple[DocumentKind, Path]]:
    members = made.docx_members(made.paragraph("Pallets: 4"))
    picture = made.word_picture("Harbour")
    picture.save(folder / "a.png")
    return [
        (DocumentKind.PDF, written(folder / "a.pdf", WHOLE)),
        (DocumentKind.DOCX, made.archive(folder / "a.docx", members, method=zipfile.ZIP_STORED)),
        (DocumentKind.XLSX, made.workbook(folder / "a.xlsx", {"Orders": [["Item"], ["Rope"]]})),
        (DocumentKind.PPTX, made.slides(folder / "a.pptx")),
        (DocumentKind.PNG, folder / "a.png"),
        (DocumentKind.TIFF, made.tiff(folder / "a.tiff", [picture, picture])),
    ]
