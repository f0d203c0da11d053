"""The vector index: Chroma over HTTP, one Chroma collection for each collection of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from towpath.core.errors import UnavailableError
from towpath.core.imports import import_beside_loop
from towpath.vectors.domain.items import entry_id, read_entry_id
from towpath.vectors.domain.ranking import round_distances

# Chroma takes 5,461 in one call; smaller ones are as fast and bound what a lost call costs.
BATCH = 1000
SECONDS = 60.0
HNSW = {"space": "cosine", "ef_construction": 100, "max_neighbors": 16, "ef_search": 100}

Locate = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Proposals:
    """Entries with their distances from a query, nearest first."""

    entries: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]


class VectorIndex:
    """Adds, deletes and finds entries; connects on first use.

    Args:
        locate: Gives Chroma's URL; may start it.
        token: Sent as `x-chroma-token`, for a Chroma that wants one.
    """

    def __init__(self, locate: Locate, *, token: str | None = None) -> None:
        self._locate = locate
        self._token = token
        self._connecting = asyncio.Lock()
        self._client: Any = None
        self._collections: dict[int, Any] = {}

    async def add(self, collection_no: int, entries: Sequence[int], vectors: npt.NDArray[np.float32]) -> None:
        """Add entries; one that is there already stays as it is, for it names its content.

        Args:
            collection_no: The collection.
            entries: No one twice.
            vectors: A row for each.

        Raises:
            UnavailableError: Chroma does not answer.
        """
        for start in range(0, len(entries), BATCH):
            part = slice(start, start + BATCH)
            async with self._collection(collection_no) as collection:
                await collection.add(ids=[entry_id(entry) for entry in entries[part]], embeddings=vectors[part])

    async def delete(self, collection_no: int, entries: Sequence[int]) -> None:
        """Delete entries; one that is not there is no error.

        Raises:
            UnavailableError: Chroma does not answer.
        """
        for start in range(0, len(entries), BATCH):
            async with self._collection(collection_no) as collection:
                await collection.delete(ids=[entry_id(entry) for entry in entries[start : start + BATCH]])

    async def nearest(self, collection_no: int, query: npt.NDArray[np.float32], *, count: int) -> Proposals:
        """Return the `count` entries with the least cosine distance, approximately, nearest first.

        Raises:
            UnavailableError: Chroma does not answer.
        """
        async with self._collection(collection_no) as collection:
            answer = await collection.query(query_embeddings=[query], n_results=count, include=["distances"])
        entries = np.array([read_entry_id(id) for id in answer["ids"][0]], dtype=np.int64)
        return Proposals(entries, round_distances(np.array(answer["distances"][0], dtype=np.float64)))

    async def count(self, collection_no: int) -> int:
        """Return how many entries the index holds."""
        async with self._collection(collection_no) as collection:
            return int(await collection.count())

    async def delete_former(self, collection_no: int) -> None:
        """Delete what an earlier release kept of a collection, an entry for each part of each object.

        Raises:
            UnavailableError: Chroma does not answer.
        """
        async with self._collection(collection_no):
            from chromadb.errors import NotFoundError

            client = await self._connect()
            try:
                await client.delete_collection(f"towpath-{collection_no}")
            except NotFoundError:
                return

    @asynccontextmanager
    async def _collection(self, collection_no: int) -> AsyncIterator[Any]:
        await import_beside_loop("chromadb", "chromadb.config", "chromadb.errors")
        import httpx
        from chromadb.errors import ChromaError, NotFoundError

        try:
            async with asyncio.timeout(SECONDS):
                yield await self._open(collection_no)
        except NotFoundError as error:
            # Chroma has another data folder than before: the next call makes the collection anew.
            self._collections.pop(collection_no, None)
            raise UnavailableError(f"Chroma lost the collection {collection_no}") from error
        except (httpx.HTTPError, ChromaError, TimeoutError, ValueError, RuntimeError) as error:
            # The client answers a server that is away with a ValueError when it connects, the stack
            # one that does not start with a RuntimeError.
            raise UnavailableError(f"Chroma does not answer: {type(error).__name__}: {error}"[:500]) from error

    async def _open(self, collection_no: int) -> Any:
        if collection_no not in self._collections:
            client = await self._connect()
            self._collections[collection_no] = await client.get_or_create_collection(
                f"towpath-entries-{collection_no}", configuration={"hnsw": HNSW}, embedding_function=None
            )
        return self._collections[collection_no]

    async def _connect(self) -> Any:
        async with self._connecting:
            if self._client is None:
                import chromadb
                from chromadb.config import Settings

                address = urlsplit(await self._locate())
                secure = address.scheme == "https"
                self._client = await chromadb.AsyncHttpClient(
                    host=address.hostname or "127.0.0.1",
                    port=address.port or (443 if secure else 8000),
                    ssl=secure,
                    headers={"x-chroma-token": self._token} if self._token else None,
                    settings=Settings(anonymized_telemetry=False),
                )
            return self._client
