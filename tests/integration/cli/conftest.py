"""The command line, on a database of the module's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from towpath.cli import app

Towpath = Callable[..., Awaitable[Result]]
"""Runs the command `towpath` with some arguments."""


@pytest.fixture
def towpath(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Towpath:
    """The command, on the module's database."""
    monkeypatch.setenv("TOWPATH_DATABASE_URL", database_url)
    monkeypatch.setenv("TOWPATH_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "250")

    async def call(*arguments: str) -> Result:
        # The command runs an event loop of its own.
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))

    return call
