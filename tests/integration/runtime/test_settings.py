"""Settings say what they are and refuse what cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from towpath.runtime.embedded.stack import ROOT
from towpath.runtime.settings import Settings


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_a_postgres_url_becomes_one(scheme: str) -> None:
    settings = Settings(database_url=f"{scheme}://u:p@db:5432/towpath?sslmode=require")

    assert settings.require_database_url() == "postgresql://u:p@db:5432/towpath?sslmode=require"


def test_every_setting_has_a_meaning() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_file_named_env_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("TOWPATH_PORT=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOWPATH_PORT", raising=False)

    assert Settings().port == 8000


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
