"""The candidate index of the job at hand, loaded once a worker process and bounded by a setting."""

from __future__ import annotations

import asyncio

from contracts.jobs import JobRef
from stores.db import Database
from stores.entities.indexes import Index
from stores.entities.matching import LoadedPostings, load_postings

# A loaded index holds the useful postings, their keys and the entities' uids: measured, see docs/performance.md.
BYTES_AN_ENTITY = 200
# One entity by SQL costs as much as loading this many entities' postings.
LOAD_ENTITIES_A_QUERY = 200


class CandidateCache:
    """Holds one candidate index: that of the last generation asked for, as of one run of one job.

    Args:
        database: Where the postings are.
        memory_mb: Beyond this the chunk asks Postgres instead, which is slower and needs no memory.
    """

    def __init__(self, database: Database, *, memory_mb: int) -> None:
        self._database = database
        self._most_entities = memory_mb * 1024 * 1024 // BYTES_AN_ENTITY
        self._lock = asyncio.Lock()
        self._held: tuple[tuple[int, str], LoadedPostings] | None = None

    async def get(self, index: Index, ref: JobRef, *, queries: int) -> LoadedPostings | None:
        """The index to ask for a job of so many queries; None means: ask Postgres."""
        key = (index.index_no, ref.workflow_id)
        if self._held is not None and self._held[0] == key:
            return self._held[1]
        too_few = queries * LOAD_ENTITIES_A_QUERY < index.entities
        if index.entities > self._most_entities or too_few:
            return None
        async with self._lock:
            if self._held is None or self._held[0] != key:
                # The old one goes first, so that there are never two in memory.
                self._held = None
                self._held = (key, await load_postings(self._database, index))
            return self._held[1]
