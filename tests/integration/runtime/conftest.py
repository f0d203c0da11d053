"""Each test has a home of its own; those that change nothing share one running stack per module."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.settings import settings_for
from towpath.runtime.embedded import EmbeddedStack


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
