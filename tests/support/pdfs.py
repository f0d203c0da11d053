"""PDFs made byte by byte."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
PERMISSIONS = -4
FILE_ID = b"towpath-file-id."


@dataclass(frozen=True)
class Sheet:
    """A page.

    Attributes:
        content: Drawing operators; the font is `/F1`.
        box, crop: Left, bottom, right, top in points.
        turned: Degrees clockwise.
        resources: More entries of its resources.
        more: More entries of the page.
    """

    content: str
    box: tuple[float, float, float, float] = (0, 0, 612, 792)
    crop: tuple[float, float, float, float] | None = None
    turned: int = 0
    resources: str = ""
    more: str = ""


def text_at(x: float, y: float, text: str, size: float = 12) -> str:
    """Operators that write a line of Helvetica."""
    escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /F1 {size:g} Tf {x:g} {y:g} Td ({escaped}) Tj ET"


def pdf(pages: Sequence[str], *, encrypted: bool = False) -> bytes:
    """A PDF with one line of Helvetica on each page."""
    sheets = [Sheet(text_at(72, 700, text, 24)) for text in pages]
    if encrypted:
        lock = f"<< /Filter /Standard /V 1 /R 2 /O <{'41' * 32}> /U <{'42' * 32}> /P -4 >>"
        return _assembled([*_objects(sheets, []), lock], encrypt="00")
    return pdf_of(sheets)


def pdf_of(
    sheets: Sequence[Sheet], *, more: Sequence[str] = (), catalog: str = "", password: str | None = None
) -> bytes:
    """A PDF of pages.

    Args:
        more: Further objects, numbered from `first_more(sheets)`; `content` becomes a stream by `stream`.
        catalog: More entries of the catalog.
        password: Encrypts it so that this is asked for; the empty one is asked of nobody.
    """
    objects = _objects(sheets, more, catalog)
    if password is None:
        return _assembled(objects)
    lock, key = _lock(password)
    sealed = [_sealed(each, number, key) for number, each in enumerate(objects, 1)]
    return _assembled([*sealed, lock], encrypt=FILE_ID.hex())


def first_more(sheets: Sequence[Sheet]) -> int:
    """The number of the first further object."""
    return 4 + 2 * len(sheets)


def stream(content: str, entries: str = "") -> str:
    """A stream object."""
    return f"<< {entries} /Length {len(content)} >>\nstream\n{content}\nendstream"


def _objects(sheets: Sequence[Sheet], more: Sequence[str], catalog: str = "") -> list[str]:
    count = len(sheets)
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(count))
    font = 3 + 2 * count
    objects = [f"<< /Type /Catalog /Pages 2 0 R {catalog} >>", f"<< /Type /Pages /Kids [{kids}] /Count {count} >>"]
    for number, sheet in enumerate(sheets):
        boxes = f"/MediaBox [{' '.join(map(str, sheet.box))}]"
        if sheet.crop is not None:
            boxes += f" /CropBox [{' '.join(map(str, sheet.crop))}]"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R {boxes} /Rotate {sheet.turned} /Contents {4 + 2 * number} 0 R {sheet.more} "
            f"/Resources << /Font << /F1 {font} 0 R >> {sheet.resources} >> >>"
        )
        objects.append(stream(sheet.content))
    return [*objects, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", *more]


def _assembled(objects: Sequence[str], *, encrypt: str | None = None) -> bytes:
    data = b"%PDF-1.4\n"
    places = []
    for number, each in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{each}\nendobj\n".encode("latin1")
    trailer = "/Root 1 0 R"
    if encrypt is not None:
        trailer += f" /Encrypt {len(objects)} 0 R /ID [<{encrypt}><{encrypt}>]"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start = len(data)
    tail = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    tail += f"trailer\n<< /Size {len(objects) + 1} {trailer} >>\nstartxref\n{start}\n%%EOF\n"
    return data + tail.encode()


def _lock(password: str) -> tuple[str, bytes]:
    """The encryption of the second revision: RC4 with five bytes of key."""
    user = (password.encode("latin1") + PADDING)[:32]
    owner = _rc4(hashlib.md5((b"owner" + PADDING)[:32]).digest()[:5], user)
    key = hashlib.md5(user + owner + PERMISSIONS.to_bytes(4, "little", signed=True) + FILE_ID).digest()[:5]
    check = _rc4(key, PADDING)
    return f"<< /Filter /Standard /V 1 /R 2 /O <{owner.hex()}> /U <{check.hex()}> /P {PERMISSIONS} >>", key


def _sealed(each: str, number: int, key: bytes) -> str:
    head, mark, rest = each.partition("\nstream\n")
    if not mark:
        return each
    content = rest.removesuffix("\nendstream").encode("latin1")
    own = hashlib.md5(key + number.to_bytes(3, "little") + b"\0\0").digest()[:10]
    return f"{head}{mark}{_rc4(own, content).decode('latin1')}\nendstream"


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    at = 0
    for place in range(256):
        at = (at + state[place] + key[place % len(key)]) % 256
        state[place], state[at] = state[at], state[place]
    out = bytearray()
    one = other = 0
    for byte in data:
        one = (one + 1) % 256
        other = (other + state[one]) % 256
        state[one], state[other] = state[other], state[one]
        out.append(byte ^ state[(state[one] + state[other]) % 256])
    return bytes(out)
