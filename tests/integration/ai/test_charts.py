"""Charts as a process of their own draws them."""

from __future__ import annotations

import os
import subprocess
import sys


def test_hours_are_those_of_the_database_wherever_the_server_is() -> None:
    """The picture's clock is that of its process, so one is started far from Greenwich."""
    program = """
from towpath.ai.types import ResultColumn
from towpath.ai.domain.charts import build_chart_spec, render_svg
at = ResultColumn(name="v.at", label="At", type="timestamp", measure=False)
count = ResultColumn(name="v.n", label="N", type="number", measure=True)
rows = [[f"2025-03-01T{hour:02}:00:00+05:00", hour] for hour in range(10, 14)]
print(render_svg(build_chart_spec([at, count], rows, requested=None, title=None, width=700, height=300)))
"""

    rendered = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TZ": "America/New_York"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ">10:00<" in rendered.stdout and ">13:00<" in rendered.stdout
    assert ">05:00<" not in rendered.stdout and ">08:00<" not in rendered.stdout
