"""Each test has a home of its own; those that change nothing share one running stack a module."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from runtime.embedded import EmbeddedStack
from runtime.settings import Settings


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
