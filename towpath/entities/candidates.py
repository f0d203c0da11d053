"""What a worker process holds for matching: its models, and the candidate index of the job at hand."""

from __future__ import annotations

import asyncio

from towpath.db.engine import Database
from towpath.entities.store.indexes import Index
from towpath.entities.store.matching import LoadedPostings, Models, find_candidates, load_postings, score_candidates
from towpath.entities.store.pairs import ScoredPairs
from towpath.entities.store.records import read_stored
from towpath.jobs.types import JobRef

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


class Matcher:
    """Finds and scores the candidates of stored entities; one a worker process, so that a model is parsed once.

    Args:
        database: Where the entities are.
        memory_mb: See `CandidateCache`.
    """

    def __init__(self, database: Database, *, memory_mb: int) -> None:
        self._database = database
        self.candidates = CandidateCache(database, memory_mb=memory_mb)
        self.models = Models()

    async def pairs(self, index: Index, ref: JobRef, uids: list[int], *, queries: int | None = None) -> ScoredPairs:
        """Candidates and scores of stored entities, with the index's current model; writes nothing.

        Args:
            index: The generation.
            ref: The run that asks.
            uids: Who looks for candidates.
            queries: How many entities the whole run asks for; None: all of the index.
        """
        asked = await self.candidates.get(index, ref, queries=index.entities if queries is None else queries)
        async with self._database.transaction() as connection:
            model = await self.models.get(connection, index)
            stored = await read_stored(connection, index, uids)
            if asked is None:
                candidates = await find_candidates(connection, index, stored)
            else:
                candidates = await asyncio.to_thread(asked.candidates, stored)
            return await score_candidates(connection, index, model, stored, candidates)
