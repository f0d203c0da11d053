"""Documents made for tests, and short ways to extract them."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from tests.support.builders import Organization
from tests.support.pdfs import Sheet, pdf_of, text_at

NOTE = [
    "Delivery note",
    "Note number: 88",
    "Pallets: 4",
    "Customer: Orion Lamps",
    "Date: 2026-04-11",
]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "noteNumber": {"type": "string"},
        "pallets": {"type": "integer"},
        "customer": {"type": "string"},
        "date": {"type": "string", "format": "date"},
    },
}
FIELDS = {"noteNumber": "88", "pallets": 4, "customer": "Orion Lamps", "date": "2026-04-11"}


def sheet_of_lines(lines: Sequence[str]) -> Sheet:
    """A page of lines, from the top."""
    return Sheet("\n".join(text_at(72, 720 - 24 * place, line) for place, line in enumerate(lines)))


def note_pdf(pages: int = 1, *, more: str = "") -> bytes:
    """A delivery note, and after it pages of text that differ."""
    first = sheet_of_lines([*NOTE, *([more] if more else [])])
    return pdf_of([first, *(sheet_of_lines([f"Page {n} says {n * 7}"]) for n in range(2, pages + 1))])


def scan(lines: list[str] | None = None) -> bytes:
    """The same as a picture."""
    picture = Image.new("RGB", (1000, 700), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=34)
    for place, line in enumerate(lines or NOTE):
        draw.text((60, 60 + place * 80), line, fill="black", font=font)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def send(
    org: Organization,
    data: bytes,
    *,
    name: str = "note.pdf",
    path: str = "/extract",
    expect: int = 200,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Send a file with fields of a form."""
    form = {key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.items()}
    answer = org.http.post(path, data=form, files={"file": (name, data)}, headers=headers or {})
    assert answer.status_code == expect, f"{answer.status_code} {answer.text[:500]}"
    found: dict[str, Any] = answer.json()
    return found


def poll(org: Organization, job: str, *statuses: str, seconds: float = 90) -> dict[str, Any]:
    """Wait until a job has one of some statuses (by default: has ended)."""
    wanted = statuses or ("COMPLETE", "ERROR", "CANCELLED")
    ends = time.monotonic() + seconds
    while (found := org.call("GET", "/extract", params={"jobId": job}))["status"] not in wanted:
        assert time.monotonic() < ends, found
        time.sleep(0.05)
    return dict(found)


def extracted(org: Organization, data: bytes, **fields: Any) -> dict[str, Any]:
    """Send and wait; the job must be complete."""
    found = poll(org, send(org, data, **fields)["jobId"])
    assert found["status"] == "COMPLETE", found
    return found
