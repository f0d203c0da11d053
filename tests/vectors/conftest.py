"""Vectors: a Chroma of the session's own, for the tests of the stores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from runtime.embedded import EmbeddedStack
from stores.vectors.index import VectorIndex


@pytest_asyncio.fixture(scope="session")
async def index(parts: EmbeddedStack) -> AsyncIterator[VectorIndex]:
    """The real vector index."""
    url = await parts.start_chroma()

    async def locate() -> str:
        return url

    yield VectorIndex(locate)
