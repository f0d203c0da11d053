"""Vectors: a Chroma of the session's own, for the tests of the stores."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest_asyncio

from towpath.db.engine import Database
from towpath.runtime.embedded import EmbeddedStack
from towpath.vectors.store.collections import Collections
from towpath.vectors.store.index import VectorIndex
from towpath.vectors.types import Collection


@pytest_asyncio.fixture(scope="session")
async def index(parts: EmbeddedStack) -> AsyncIterator[VectorIndex]:
    """The real vector index."""
    url = await parts.start_chroma()

    async def locate() -> str:
        return url

    yield VectorIndex(locate)


@pytest_asyncio.fixture
async def number(database: Database) -> int:
    """A fresh collection, of a number that no other database of the session has in the Chroma that they share."""
    async with database.transaction() as connection:
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence('vector_collections', 'collection_no'), %s)",
            (random.randrange(1_000, 2**31 - 1_000_000),),
        )
    return (await Collections().ensure(database, uuid4().hex, Collection.DEFAULT, "m")).collection_no
