"""Pages a second of extraction beside the bare library loop on the same document in the same run.

    python -m bench.extraction --pages 300 --scans 12

One line of JSON a figure. The bare loops run in this process, one page after the other, and keep nothing: the text of
pdfium with the box of each character, its text alone, and RapidOCR over the same pictures. Towpath's time is from a
job's start to its end as the job tells it, with one worker of two slots; the second job of each kind is measured,
because the first loads libraries and models.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.figures import tell
from towpath.db.migrate import migrate
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

SENTENCE = "the lamp that stands in the window of the northern shop was sold twice before it reached the harbour"
WORDS = SENTENCE.split(" ")


def text_document(pages: int, *, seed: int) -> bytes:
    """Return a PDF of pages of some 500 words."""
    from tests.support.pdfs import Sheet, pdf_of, text_at

    def sheet(number: int) -> Sheet:
        lines = [
            text_at(50, 750 - 17 * line, " ".join(WORDS[(number + line + at) % len(WORDS)] for at in range(12)), 10)
            for line in range(42)
        ]
        return Sheet("\n".join([text_at(50, 775, f"Page {number} of series {seed}"), *lines]))

    return pdf_of([sheet(number) for number in range(pages)])


def scans(pages: int, *, seed: int) -> bytes:
    """Return a TIFF of pictures with twelve lines each."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=26)
    scans = []
    for number in range(pages):
        picture = Image.new("RGB", (1000, 760), "white")
        draw = ImageDraw.Draw(picture)
        for line in range(12):
            words = " ".join(WORDS[(number + line + at + seed) % len(WORDS)] for at in range(7))
            draw.text((50, 40 + line * 58), words, fill="black", font=font)
        scans.append(picture)
    file = io.BytesIO()
    scans[0].save(file, "TIFF", save_all=True, append_images=scans[1:])
    return file.getvalue()


def bare_text(data: bytes, *, boxes: bool) -> float:
    """Pages a second of pdfium alone."""
    import pypdfium2

    began = time.perf_counter()
    with pypdfium2.PdfDocument(data) as document:
        for page in document:
            layer = page.get_textpage()
            layer.get_text_bounded()
            if boxes:
                for index in range(layer.count_chars()):
                    layer.get_charbox(index)
            layer.close()
            page.close()
        count = len(document)
    return count / (time.perf_counter() - began)


def bare_sight(data: bytes) -> float:
    """Pages a second of RapidOCR alone, its models loaded before."""
    import numpy as np
    from PIL import Image, ImageSequence
    from rapidocr import RapidOCR

    engine: Callable[[Any], Any] = RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    pictures = [np.asarray(picture.convert("RGB")) for picture in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]
    engine(pictures[0])
    began = time.perf_counter()
    for picture in pictures:
        engine(picture)
    return len(pictures) / (time.perf_counter() - began)


def durable(api: Any, data: bytes, name: str) -> float:
    """Pages a second of an extraction, from its start to its end."""
    job = api.post("/extract", files={"file": (name, data)}).json()["jobId"]
    while (state := api.get(f"/v1/jobs/{job}").json())["state"] not in {"COMPLETED", "FAILED", "CANCELLED"}:
        time.sleep(0.05)
    if state["state"] != "COMPLETED":
        raise RuntimeError(f"the job ended as {state}")
    took = datetime.fromisoformat(state["completedAt"]) - datetime.fromisoformat(state["startedAt"])
    return int(state["progress"]["processed"]) / took.total_seconds()


def measure(api: Any, pages: int, sights: int) -> None:
    """Measure all figures over a running façade."""
    durable(api, text_document(20, seed=1), "first.pdf")
    text = text_document(pages, seed=2)
    ours = durable(api, text, "text.pdf")
    for boxes in (True, False):
        bare = bare_text(text, boxes=boxes)
        tell(
            "text layer, pages a second", pages=pages, bare="text and boxes" if boxes else "text alone",
            towpath=round(ours, 1), loop=round(bare, 1), ratio=round(ours / bare, 3),
        )  # fmt: skip
    durable(api, scans(2, seed=1), "first.tiff")
    pictures = scans(sights, seed=5)
    ours, bare = durable(api, pictures, "scans.tiff"), bare_sight(pictures)
    tell(
        "scans, pages a second", pages=sights, towpath=round(ours, 3), loop=round(bare, 3),
        ratio=round(ours / bare, 3),
    )  # fmt: skip


async def run(pages: int, sights: int) -> None:
    """Start a stack and measure."""
    import httpx

    with tempfile.TemporaryDirectory(prefix="towpath-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", port=0, ui_port=0, workers=1)
        async with EmbeddedStack(settings, echo=False, prepare=migrate) as stack:
            with httpx.Client(base_url=stack.api_url, headers={"X-API-Key": stack.api_key}, timeout=120) as api:
                await asyncio.to_thread(measure, api, pages, sights)


def main() -> None:
    """Entry of `python -m bench.extraction`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=300, help="pages with a text layer (default: %(default)s)")
    parser.add_argument("--scans", type=int, default=12, help="scanned pages (default: %(default)s)")
    options = parser.parse_args()
    asyncio.run(run(options.pages, options.scans))


if __name__ == "__main__":
    main()
