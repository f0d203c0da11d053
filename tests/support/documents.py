"""Documents of every kind, made here: whole ones and poisoned ones."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import openpyxl
import pptx
from PIL import Image, ImageDraw, ImageFont
from pptx.util import Inches

from tests.support.pdfs import Sheet, first_more, pdf_of, stream, text_at

FORM = (
    ("Invoice number:", "INV-2026-0088"),
    ("Invoice date:", "11 April 2026"),
    ("Customer name:", "Harbour Freight"),
    ("Total amount:", "1,234.50 EUR"),
)
FORM_SIZE = (1240, 900)
FORM_LEFT, FORM_RIGHT, FORM_TOP, FORM_STEP, FORM_HEIGHT = 120, 620, 200, 90, 32

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"


def form_picture() -> Image.Image:
    """A printed form; `FORM` says what stands in it, the numbers above where."""
    picture = Image.new("RGB", FORM_SIZE, "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(FORM_HEIGHT)
    pen.text((FORM_LEFT, 80), "INVOICE", font=ImageFont.load_default(60), fill="black")
    for row, (label, value) in enumerate(FORM):
        pen.text((FORM_LEFT, FORM_TOP + FORM_STEP * row), label, font=font, fill="black")
        pen.text((FORM_RIGHT, FORM_TOP + FORM_STEP * row), value, font=font, fill="black")
    return picture


def word_picture(text: str) -> Image.Image:
    """A small picture of one line."""
    picture = Image.new("RGB", (500, 120), "white")
    ImageDraw.Draw(picture).text((40, 30), text, font=ImageFont.load_default(48), fill="black")
    return picture


def scan(path: Path, picture: Image.Image) -> Path:
    """A PDF of one page that is a picture."""
    picture.save(path, resolution=150)
    return path


def archive(path: Path, members: Mapping[str, str | bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip file."""
    with zipfile.ZipFile(path, "w", method) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def docx_members(body: str) -> dict[str, str | bytes]:
    """The members of a DOCX with this in its body."""
    return {
        "[Content_Types].xml": (
            '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{MAIN}"/></Types>'
        ),
        "_rels/.rels": (
            f'<?xml version="1.0"?><Relationships xmlns="{RELATIONS}">'
            f'<Relationship Id="r1" Type="{OFFICE}" Target="word/document.xml"/></Relationships>'
        ),
        "word/document.xml": (
            f'<?xml version="1.0"?><w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
        ),
    }


def paragraph(text: str, style: str = "") -> str:
    """A paragraph of a DOCX."""
    styled = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{styled}<w:r><w:t>{text}</w:t></w:r></w:p>"


def word_table(rows: Sequence[Sequence[str]]) -> str:
    """A table of a DOCX."""
    cells = ("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in cells) + "</w:tbl>"


def workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> Path:
    """An XLSX."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def slides(path: Path) -> Path:
    """A PPTX of two slides: a text with a group, and a table with notes."""
    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Delivery plan"
    body = first.placeholders[1].text_frame
    body.text = "Pallets: 4"
    point = body.add_paragraph()
    point.text, point.level = "fragile ones first", 1
    group = first.shapes.add_group_shape()
    group.shapes.add_textbox(Inches(1), Inches(6), Inches(3), Inches(1)).text_frame.text = "Gate 3"
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Prices"
    table = second.shapes.add_table(3, 2, Inches(1), Inches(2), Inches(4), Inches(2)).table
    for row, cells in enumerate([("Item", "Price"), ("Rope", "12.50"), ("Anchor", "88.00")]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    second.notes_slide.notes_text_frame.text = "Ask about the anchor."
    deck.save(str(path))
    return path


def huge_png(width: int, height: int) -> bytes:
    """The beginning of a PNG of this size; nobody needs the rest to refuse it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"\x00" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def endless_page(depth: int = 10, wide: int = 10) -> bytes:
    """A PDF whose page draws a form that draws ten forms that draw ten forms each, and so on."""
    first = first_more([Sheet("")])
    sheet = Sheet("/X0 Do", resources=f"/XObject << /X0 {first} 0 R >>")
    more = []
    for level in range(depth):
        content = f"/X{level + 1} Do " * wide if level < depth - 1 else text_at(1, 1, "a")
        resources = f"/Font << /F1 {first - 1} 0 R >> /XObject << /X{level + 1} {first + level + 1} 0 R >>"
        entries = f"/Type /XObject /Subtype /Form /BBox [0 0 600 700] /Resources << {resources} >>"
        more.append(stream(content, entries))
    return pdf_of([sheet], more=more)


def understated(path: Path, members: Mapping[str, str | bytes], name: str, size: int) -> Path:
    """A zip file that declares a member smaller than it is."""
    archive(path, members)
    data = path.read_bytes()
    real = len(members[name]) if isinstance(members[name], bytes) else len(str(members[name]).encode())
    path.write_bytes(data.replace(struct.pack("<I", real), struct.pack("<I", size)))
    return path


def tiff(path: Path, pictures: Sequence[Image.Image]) -> Path:
    """A TIFF of several pages."""
    pictures[0].save(path, save_all=True, append_images=list(pictures[1:]))
    return path


def turned_jpeg(path: Path, picture: Image.Image) -> Path:
    """A JPEG as a camera held on its side writes it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.rotate(90, expand=True).save(path, exif=exif, quality=95)
    return path


def png_of(picture: Image.Image) -> bytes:
    """A picture as a PNG."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
