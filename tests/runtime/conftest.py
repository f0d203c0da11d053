"""Each test has a home of its own; those that change nothing share one running stack a module."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from towpath.cli import app
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

Towpath = Callable[..., Awaitable[Result]]
"""Runs the command `towpath` with some arguments."""


def settings_for(home: Path, **changes: object) -> Settings:
    """Settings with free ports for everything."""
    values = {"home": home, "port": 0, "ui_port": 0, "temporal_port": 0, "postgres_port": 0, "chroma_port": 0}
    return Settings.model_validate(values | changes)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home below a folder that only its owner may enter, as a home under /root is."""
    folder = Path(tempfile.mkdtemp(prefix="towpath-runtime-"))
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_stack(home: Path) -> Callable[..., EmbeddedStack]:
    """Makes a stack on the test's home."""

    def make(*parts: str, **changes: object) -> EmbeddedStack:
        return EmbeddedStack(settings_for(home, **changes), parts=parts or ("postgres", "temporal"), echo=False)

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running() -> AsyncIterator[EmbeddedStack]:
    """A running Postgres and Temporal, shared by a module."""
    folder = Path(tempfile.mkdtemp(prefix="towpath-runtime-"))
    async with EmbeddedStack(settings_for(folder / "home"), parts=("postgres", "temporal"), echo=False) as stack:
        yield stack
    shutil.rmtree(folder, ignore_errors=True)


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
