"""Every kind of document through the API, as it is stored: under its digest, without a suffix."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support import documents as made
from tests.support.builders import Organization
from tests.support.extraction import NOTE, note_pdf, poll, scan, send
from tests.support.llm_server import LlmServer
from tests.support.loopback import LoopbackHandler, serving
from towpath.documents.kinds import MEDIA_TYPES, SUFFIXES
from towpath.documents.types import DocumentKind

ROWS = [line.split(": ") for line in NOTE[1:]]


def picture(form: str) -> bytes:
    """The delivery note as a picture of a format."""
    out = io.BytesIO()
    with Image.open(io.BytesIO(scan())) as drawn:
        drawn.save(out, form)
    return out.getvalue()


def docx(path: Path) -> bytes:
    return made.archive(path, made.docx_members("".join(made.paragraph(line) for line in NOTE))).read_bytes()


def csv_text() -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(ROWS)
    return out.getvalue().encode()


SAMPLES: dict[DocumentKind, Callable[[Path], bytes]] = {
    DocumentKind.PDF: lambda _: note_pdf(),
    DocumentKind.PNG: lambda _: picture("PNG"),
    DocumentKind.JPEG: lambda _: picture("JPEG"),
    DocumentKind.WEBP: lambda _: picture("WEBP"),
    DocumentKind.TIFF: lambda _: picture("TIFF"),
    DocumentKind.DOCX: docx,
    DocumentKind.XLSX: lambda path: made.workbook(path, {"Note": ROWS}).read_bytes(),
    DocumentKind.PPTX: lambda path: made.slides(path).read_bytes(),
    DocumentKind.HTML: lambda _: "".join(f"<p>{line}</p>" for line in NOTE).encode(),
    DocumentKind.MARKDOWN: lambda _: "\n\n".join(NOTE).encode(),
    DocumentKind.TEXT: lambda _: "\n".join(NOTE).encode(),
    DocumentKind.CSV: lambda _: csv_text(),
}
"""Documents that speak of pallets; a kind without one fails every test here."""

TEXTS = frozenset({DocumentKind.HTML, DocumentKind.MARKDOWN, DocumentKind.TEXT, DocumentKind.CSV})


def suffix_of(kind: DocumentKind) -> str:
    return next(suffix for suffix, each in SUFFIXES.items() if each is kind)


def media_type_of(kind: DocumentKind) -> str:
    return "text/plain" if kind is DocumentKind.TEXT else next(m for m, each in MEDIA_TYPES.items() if each is kind)


@pytest.fixture
def sample(kind: DocumentKind, tmp_path: Path) -> bytes:
    return SAMPLES[kind](tmp_path / "made")


def assert_read(org: Organization, job: str) -> None:
    """The job is complete, and what stands in the document came."""
    found = poll(org, job)
    assert found["status"] == "COMPLETE", found
    assert "Pallets" in "\n".join(page["content"] for page in found["result"]["ocr"]["pages"])


def post(org: Organization, data: bytes, name: str, media_type: str | None, expect: int = 200) -> dict[str, Any]:
    """Send a file under a name and a media type; None: without one."""
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
    if media_type is not None:
        head += f"Content-Type: {media_type}\r\n"
    answer = org.http.post(
        "/extract",
        content=b"--edge\r\n" + head.encode() + b"\r\n" + data + b"\r\n--edge--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=edge"},
    )
    assert answer.status_code == expect, answer.text[:500]
    found: dict[str, Any] = answer.json()
    return found


def test_every_kind_has_a_sample() -> None:
    assert set(SAMPLES) == set(DocumentKind)


@pytest.mark.parametrize("kind", DocumentKind)
def test_a_kind_is_read_by_its_media_type_alone(org: Organization, kind: DocumentKind, sample: bytes) -> None:
    assert_read(org, post(org, sample, "document", media_type_of(kind))["jobId"])


@pytest.mark.parametrize("kind", DocumentKind)
def test_a_kind_is_read_by_its_name_alone(org: Organization, kind: DocumentKind, sample: bytes) -> None:
    assert_read(org, post(org, sample, f"document{suffix_of(kind)}", None)["jobId"])


@pytest.mark.parametrize("kind", DocumentKind)
def test_a_kind_is_read_by_its_bytes_alone(org: Organization, kind: DocumentKind, sample: bytes) -> None:
    assert_read(org, post(org, sample, "document", None)["jobId"])


@pytest.mark.parametrize("kind", DocumentKind)
def test_a_wrong_media_type_and_name_are_outweighed_by_bytes_or_refused_in_words(
    org: Organization, kind: DocumentKind, sample: bytes
) -> None:
    wrong = DocumentKind.PNG if kind is DocumentKind.PDF else DocumentKind.PDF

    if kind in TEXTS:
        refused = post(org, sample, f"document{suffix_of(wrong)}", media_type_of(wrong), expect=400)
        assert refused["detail"] == "the document is no PDF"
    else:
        assert_read(org, post(org, sample, f"document{suffix_of(wrong)}", media_type_of(wrong))["jobId"])


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A site that tells no media type; its URL and what its paths answer."""
    documents: dict[str, bytes] = {}

    class Handler(LoopbackHandler):
        def do_GET(self) -> None:
            body = documents[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as url:
        yield url, documents


@pytest.mark.parametrize("kind", DocumentKind)
def test_a_kind_is_read_from_an_address_that_tells_nothing(
    org: Organization, kind: DocumentKind, sample: bytes, site: tuple[str, dict[str, bytes]]
) -> None:
    url, documents = site
    documents[f"/{kind}"] = sample

    assert_read(org, org.call("POST", "/extract", json={"documentUrl": f"{url}/{kind}"})["jobId"])


def test_a_workbook_is_classified(org: Organization, provider: LlmServer, tmp_path: Path) -> None:
    options = [{"name": "delivery note", "examples": ["pallets"]}, {"name": "timetable", "examples": ["platform"]}]
    named = org.call("POST", "/classification", 201, json={"name": "papers", "options": options})
    prompts: list[str] = []

    def answer(_model: str, prompt: str, _form: dict[str, Any]) -> dict[str, Any]:
        prompts.append(prompt)
        return {"option": "delivery note", "confidence": 0.9, "reasoning": "pallets"}

    provider.answer, provider.whole = answer, True

    data = SAMPLES[DocumentKind.XLSX](tmp_path / "made")
    job = send(org, data, name="unnamed", path=f"/classification/{named['id']}/run")["jobId"]

    assert org.until(job)["state"] == "COMPLETED"
    assert "Pallets" in prompts[0]
