"""Settings of stacks that run beside others."""

from __future__ import annotations

from pathlib import Path

from towpath.runtime.settings import Settings


def settings_for(home: Path, **changes: object) -> Settings:
    """Settings with free ports for everything."""
    values = {"home": home, "port": 0, "ui_port": 0, "temporal_port": 0, "postgres_port": 0, "chroma_port": 0}
    return Settings.model_validate(values | changes)
