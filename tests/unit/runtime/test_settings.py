"""Settings say what they are, and where they come from."""

from __future__ import annotations

from pathlib import Path

import pytest

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
