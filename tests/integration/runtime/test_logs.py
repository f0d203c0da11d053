"""What is kept of a child that says much."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.waiting import eventually
from towpath.runtime.embedded.process import Child, Spec


async def test_a_child_that_says_much_has_logs_of_a_bounded_size(tmp_path: Path) -> None:
    code = "for n in range(5000): print('a line of some length', n)\nimport time; time.sleep(60)"
    spec = Spec("probe", [sys.executable, "-u", "-c", code])
    child = Child(spec, tmp_path, log_bytes=10_000)
    await child.start()
    await eventually(lambda: "a line of some length 4999" in child.lines, "last line")
    await child.stop()

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert (tmp_path / "probe.log").read_text().endswith("a line of some length 4999\n")
