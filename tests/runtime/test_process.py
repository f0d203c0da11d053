"""How one child lives and dies."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from pathlib import Path

import pytest

from runtime.embedded.process import Child, Spec


def child_of(code: str, folder: Path, echo: io.StringIO | None = None, **changes: float) -> Child:
    return Child(Spec("probe", [sys.executable, "-u", "-c", code], stop_seconds=changes.get("stop", 5)), folder, echo)


async def until_started_again(child: Child, before: int | None) -> int:
    async with asyncio.timeout(10):
        while child.pid in {None, before}:
            await asyncio.sleep(0.02)
    assert child.pid is not None
    return child.pid


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    child = child_of("import time; time.sleep(60)", tmp_path)
    await child.start()

    killed = child.kill()

    assert await until_started_again(child, killed) != killed
    await child.stop()
    assert child.pid is None


async def test_a_child_that_always_ends_is_tried_ever_more_slowly(tmp_path: Path) -> None:
    child = child_of("print('try')", tmp_path)
    await child.start()

    await asyncio.sleep(2.0)
    await child.stop()

    # Without the growing pause there would be dozens; the log is also kept from start to start.
    assert 2 <= (tmp_path / "probe.log").read_text().count("try") <= 5


async def test_each_line_has_the_name_before_it_and_is_kept_in_a_file(tmp_path: Path) -> None:
    echo = io.StringIO()
    child = child_of("print('one'); print('two'); import time; time.sleep(60)", tmp_path, echo)
    await child.start()
    async with asyncio.timeout(10):
        while "two" not in echo.getvalue():
            await asyncio.sleep(0.02)
    await child.stop()

    assert echo.getvalue() == "probe     | one\nprobe     | two\n"
    assert (tmp_path / "probe.log").read_text() == "one\ntwo\n"


async def test_a_line_of_a_megabyte_and_broken_utf8_do_not_end_the_reading(tmp_path: Path) -> None:
    code = "import sys, time; sys.stdout.buffer.write(b'x' * 2**20 + b'\\n\\xff\\xfe\\nafter\\n'); time.sleep(60)"
    child = child_of(code, tmp_path)
    await child.start()

    async with asyncio.timeout(10):
        while "after" not in child.lines:
            await asyncio.sleep(0.02)
    await child.stop()


async def test_a_child_that_ignores_the_stop_is_killed_in_time(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    child = child_of(code, tmp_path, stop=0.5)
    await child.start()
    async with asyncio.timeout(10):
        while "deaf" not in child.lines:
            await asyncio.sleep(0.02)

    began = time.monotonic()
    await child.stop()

    assert time.monotonic() - began < 3


async def test_a_stop_during_the_pause_before_a_restart_holds(tmp_path: Path) -> None:
    child = child_of("pass", tmp_path)
    await child.start()
    await asyncio.sleep(0.5)

    await child.stop()
    await asyncio.sleep(1.0)

    assert child.pid is None
    with pytest.raises(ProcessLookupError):
        child.kill()
