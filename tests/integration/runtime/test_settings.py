"""A wrong setting is one clear line on the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from towpath.runtime.embedded.stack import ROOT


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TOWPATH_PORT", "eight", "TOWPATH_PORT: Input should be a valid integer"),
        ("TOWPATH_WORKERS", "0", "TOWPATH_WORKERS: Input should be greater than or equal to 1"),
        ("TOWPATH_DATABASE_URL", "mysql://db/x", "TOWPATH_DATABASE_URL: must begin with postgresql://"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(name: str, value: str, said: str, tmp_path: Path) -> None:
    environment = {**os.environ, "TOWPATH_HOME": str(tmp_path), name: value, "COLUMNS": "200"}

    result = subprocess.run(
        [sys.executable, "-m", "towpath", "up"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert result.returncode == 2
    assert said in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
