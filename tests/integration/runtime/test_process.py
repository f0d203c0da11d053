"""How one child lives and dies."""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from towpath.runtime.embedded.process import Child, Spec


def child_of(code: str, folder: Path, echo: io.StringIO | None = None, **changes: float) -> Child:
    return Child(Spec("probe", [sys.executable, "-u", "-c", code], stop_seconds=changes.get("stop", 5)), folder, echo)


async def until_started_again(child: Child, before: int | None) -> int:
    await eventually(lambda: child.pid not in {None, before}, "new process")
    assert child.pid is not None
    return child.pid


def pauses(log: pytest.LogCaptureFixture) -> list[str]:
    """The seconds before each restart, as the supervisor told them."""
    return re.findall(r"starts again in ([\d.]+) s", log.text)


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    child = child_of("import time; time.sleep(60)", tmp_path)
    await child.start()

    killed = child.kill()

    assert await until_started_again(child, killed) != killed
    await child.stop()
    assert child.pid is None


async def test_a_child_that_always_ends_is_tried_ever_more_slowly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    child = child_of("print('try')", tmp_path)
    await child.start()

    await eventually(lambda: child.starts == 4, "third start after a death")
    await child.stop()

    assert pauses(caplog)[:3] == ["0.2", "0.4", "0.8"]
    # The log is kept from start to start.
    assert (tmp_path / "probe.log").read_text().count("try") >= 3


async def test_each_line_has_the_name_before_it_and_is_kept_in_a_file(tmp_path: Path) -> None:
    echo = io.StringIO()
    child = child_of("print('one'); print('two'); import time; time.sleep(60)", tmp_path, echo)
    await child.start()
    await eventually(lambda: "two" in echo.getvalue(), "second line")
    await child.stop()

    assert echo.getvalue() == "probe     | one\nprobe     | two\n"
    assert (tmp_path / "probe.log").read_text() == "one\ntwo\n"


async def test_a_line_of_a_megabyte_and_broken_utf8_do_not_end_the_reading(tmp_path: Path) -> None:
    code = "import sys, time; sys.stdout.buffer.write(b'x' * 2**20 + b'\\n\\xff\\xfe\\nafter\\n'); time.sleep(60)"
    child = child_of(code, tmp_path)
    await child.start()

    await eventually(lambda: "after" in child.lines, "line after the long one")
    await child.stop()


async def test_a_child_that_ignores_the_stop_is_killed_in_time(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    child = child_of(code, tmp_path, stop=0.5)
    await child.start()
    await eventually(lambda: "deaf" in child.lines, "sign that it hears nothing")

    began = time.monotonic()
    await child.stop()

    assert time.monotonic() - began < 3


async def test_a_stop_during_the_pause_before_a_restart_holds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    child = child_of("pass", tmp_path)
    await child.start()
    await eventually(lambda: pauses(caplog), "pause")

    await child.stop()

    assert child._keeper is not None and child._keeper.done()
    assert child.pid is None
    with pytest.raises(ProcessLookupError):
        child.kill()
