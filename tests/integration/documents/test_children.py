"""The processes that read: bounded, reused, replaced when they end, and gone when nobody needs them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from tests.support import documents as made
from tests.support.pdfs import Sheet, pdf_of, text_at
from towpath.core.errors import ErrorCode, TowpathError, UnavailableError
from towpath.documents import DocumentReader
from towpath.documents.process import ROOT
from towpath.documents.types import MEBIBYTE, DocumentKind, ReadLimits

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of processes are Linux's")


def paged(path: Path, pages: int = 3) -> Path:
    path.write_bytes(pdf_of([Sheet(text_at(72, 700, f"page {number}")) for number in range(1, pages + 1)]))
    return path


async def begun(reader: DocumentReader) -> int:
    """The child's id, as soon as there is one that has nothing more to load."""
    while not reader.pids:
        await asyncio.sleep(0.01)
    return reader.pids[0]


async def test_nothing_is_started_before_it_is_needed_and_nothing_is_left(tmp_path: Path) -> None:
    reader = DocumentReader()
    assert reader.pids == []
    await reader.describe(paged(tmp_path / "a.pdf"), DocumentKind.PDF)
    (child,) = reader.pids

    await reader.close()

    assert not psutil.pid_exists(child)
    with pytest.raises(UnavailableError):
        await reader.describe(tmp_path / "a.pdf", DocumentKind.PDF)


async def test_a_child_is_used_again_and_more_are_started_up_to_the_limit(tmp_path: Path) -> None:
    reader = DocumentReader(children=2)
    path = paged(tmp_path / "a.pdf")

    for page in (1, 2, 3):
        await reader.read_page(path, DocumentKind.PDF, page)
    alone = reader.pids
    await asyncio.gather(*(reader.read_page(path, DocumentKind.PDF, page) for page in (1, 2, 3) * 5))

    assert len(alone) == 1
    assert set(alone) < set(reader.pids)
    assert len(reader.pids) == 2
    await reader.close()


async def test_the_child_that_has_a_document_open_is_asked_for_its_next_page(tmp_path: Path) -> None:
    reader = DocumentReader(children=2)
    one, other = paged(tmp_path / "a.pdf"), paged(tmp_path / "b.pdf")
    async with aclosing(reader.read_pages(one, DocumentKind.PDF, [1, 2])) as pages:
        await anext(pages)
        await reader.read_page(other, DocumentKind.PDF, 1)
        assert [page.page async for page in pages] == [2]
    before = {child: psutil.Process(child).num_ctx_switches() for child in reader.pids}

    for page in (1, 2, 3):
        await reader.read_page(other, DocumentKind.PDF, page)

    woken = [child for child, switches in before.items() if psutil.Process(child).num_ctx_switches() != switches]
    assert len(before) == 2
    assert len(woken) == 1
    await reader.close()


async def test_a_child_that_somebody_ends_is_replaced_and_its_page_read_again(tmp_path: Path) -> None:
    reader = DocumentReader(children=1)
    path = made.scan(tmp_path / "scan.pdf", made.word_picture("Harbour"))

    reading = asyncio.ensure_future(reader.read_page(path, DocumentKind.PDF, 1))
    child = await begun(reader)
    os.kill(child, signal.SIGKILL)

    assert (await reading).content == "Harbour"
    assert child not in reader.pids
    await reader.close()


async def test_pages_already_read_are_not_read_again(tmp_path: Path) -> None:
    reader = DocumentReader(children=1)
    path = paged(tmp_path / "a.pdf", 200)
    seen = []

    async for page in reader.read_pages(path, DocumentKind.PDF, range(1, 201)):
        seen.append(page.page)
        if page.page == 20:
            os.kill(reader.pids[0], signal.SIGKILL)

    assert seen == list(range(1, 201))
    await reader.close()


async def test_a_child_that_is_ended_again_and_again_is_a_fault_of_the_page(tmp_path: Path) -> None:
    reader = DocumentReader(ReadLimits(seconds_a_page=60), children=1)
    endless = tmp_path / "a.pdf"
    endless.write_bytes(made.endless_page())

    reading = asyncio.ensure_future(reader.read_page(endless, DocumentKind.PDF, 1))
    for _ in range(2):
        child = await begun(reader)
        os.kill(child, signal.SIGKILL)
        while child in reader.pids:
            await asyncio.sleep(0.01)

    with pytest.raises(TowpathError, match="SIGKILL") as caught:
        await reading
    assert caught.value.code == ErrorCode.READER_DIED
    assert caught.value.extra == {"page": 1}
    assert not caught.value.retryable
    assert (await reader.read_page(paged(tmp_path / "b.pdf"), DocumentKind.PDF, 2)).content == "page 2"
    await reader.close()


@LINUX
async def test_a_child_that_crashes_is_a_fault_of_the_page_at_once(tmp_path: Path) -> None:
    reader = DocumentReader(ReadLimits(seconds_a_page=60), children=1)
    endless = tmp_path / "a.pdf"
    endless.write_bytes(made.endless_page())

    reading = asyncio.ensure_future(reader.read_page(endless, DocumentKind.PDF, 1))
    os.kill(await begun(reader), signal.SIGSEGV)

    with pytest.raises(TowpathError, match="page 1 died of SIGSEGV") as caught:
        await reading
    assert caught.value.code == ErrorCode.READER_DIED
    await reader.close()


@LINUX
async def test_a_child_that_uses_up_its_processor_time_is_late(tmp_path: Path) -> None:
    reader = DocumentReader(ReadLimits(seconds_a_page=60), children=1)
    endless = tmp_path / "a.pdf"
    endless.write_bytes(made.endless_page())

    reading = asyncio.ensure_future(reader.read_page(endless, DocumentKind.PDF, 1))
    os.kill(await begun(reader), signal.SIGXCPU)

    with pytest.raises(TowpathError) as caught:
        await reading
    assert (caught.value.code, caught.value.extra) == (ErrorCode.PAGE_TIMEOUT, {"page": 1})
    await reader.close()


async def test_a_fault_of_one_page_leaves_the_pages_before_it(tmp_path: Path) -> None:
    reader = DocumentReader(children=1)
    sheets = [Sheet(text_at(72, 700, "whole")), Sheet(text_at(72, 700, "whole")), Sheet("", box=(0, 0, 1e9, 1e9))]
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of(sheets))

    async with aclosing(reader.read_pages(path, DocumentKind.PDF, [1, 2, 3])) as pages:
        seen = [(await anext(pages)).page, (await anext(pages)).page]
        with pytest.raises(TowpathError) as caught:
            await anext(pages)

    assert seen == [1, 2]
    assert caught.value.extra == {"page": 3}
    await reader.close()


async def test_a_caller_that_gives_up_frees_its_place(tmp_path: Path) -> None:
    reader = DocumentReader(ReadLimits(seconds_a_page=600), children=1)
    endless, whole = tmp_path / "a.pdf", paged(tmp_path / "b.pdf", 50)
    endless.write_bytes(made.endless_page())

    reading = asyncio.ensure_future(reader.read_page(endless, DocumentKind.PDF, 1))
    child = await begun(reader)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with aclosing(reader.read_pages(whole, DocumentKind.PDF, range(1, 51))) as pages:
        assert (await anext(pages)).content == "page 1"

    assert (await reader.read_page(whole, DocumentKind.PDF, 7)).content == "page 7"
    assert not psutil.pid_exists(child)
    await reader.close()


@LINUX
async def test_a_child_is_bounded_and_knows_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWPATH_TEST_SECRET", "do not tell")
    reader = DocumentReader(ReadLimits(memory_mb=1_024, seconds_a_page=20), children=1)
    await reader.read_page(paged(tmp_path / "a.pdf"), DocumentKind.PDF, 1)

    child = psutil.Process(reader.pids[0])

    assert child.rlimit(psutil.RLIMIT_AS) == (1_024 * MEBIBYTE, 1_024 * MEBIBYTE)
    assert child.rlimit(psutil.RLIMIT_FSIZE)[0] == 0
    assert child.rlimit(psutil.RLIMIT_CORE)[0] == 0
    assert 20 < child.rlimit(psutil.RLIMIT_CPU)[0] < 120
    assert "TOWPATH_TEST_SECRET" not in child.environ()
    await reader.close()


@LINUX
async def test_children_die_with_their_parent(tmp_path: Path) -> None:
    """Also in the middle of a page that has no end, and however the parent dies."""
    path = tmp_path / "a.pdf"
    path.write_bytes(made.endless_page())
    program = f"""
import asyncio
from pathlib import Path
from towpath.documents import DocumentReader
from towpath.documents.types import DocumentKind, ReadLimits

async def main():
    reader = DocumentReader(ReadLimits(seconds_a_page=600), children=1)
    reading = asyncio.ensure_future(reader.read_page(Path({str(path)!r}), DocumentKind.PDF, 1))
    while not reader.pids:
        await asyncio.sleep(0.01)
    print(reader.pids[0], flush=True)
    await reading

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

    gone, _ = psutil.wait_procs([child], timeout=30)

    assert gone
