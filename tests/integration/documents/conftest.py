"""One reader for the tests that leave it whole."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from towpath.documents import DocumentReader


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def reader() -> AsyncIterator[DocumentReader]:
    """One child, so that what one test leaves behind the next one meets."""
    made = DocumentReader(children=1)
    yield made
    await made.close()
