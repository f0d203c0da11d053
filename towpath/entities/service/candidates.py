"""Who may be the same as an entity: candidates, by the keys that entities share.

They come from the inverted index either by one SQL query (for a single entity) or from a copy of the useful postings
in this process's memory (for a chunk of a large job); both give the same ones, see `domain.matching`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from towpath.core.memory import return_free_memory
from towpath.core.threads import compute
from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import DF_CAP, CandidateIndex, CandidateIndexBuilder, copy_key
from towpath.entities.domain.matching.copies import FEW_COPIES, LINKS_A_SIDE, find_landmark_masks, link_across
from towpath.entities.store.copies import read_landmarks, read_neighbours
from towpath.entities.store.indexes import Index, generation
from towpath.entities.store.postings import read_postings, read_sources, stream_keys
from towpath.entities.store.records import StoredEntities, read_stored
from towpath.jobs.types import JobRef

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

FEW_QUERIES = 32
"""So many are looked up, in the few postings that they have, in a few milliseconds."""
QUERIES_A_LOOK = 100
"""Entities that are looked up by one SQL statement."""
# While an index is loaded, it has the keys of all entities and most of what it keeps; then less than half of that.
BYTES_AN_ENTITY = 420
# One entity by SQL costs as much as loading this many entities' postings.
LOAD_ENTITIES_A_QUERY = 200


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs worth comparing: the entity `query[i]` looked for candidates, and `candidate[i]` came up."""

    query: Int64s
    candidate: Int64s


@dataclass(frozen=True, slots=True)
class LoadedPostings:
    """The useful postings of a generation in memory, and how its sources are numbered."""

    index: CandidateIndex
    sources: dict[str, int]

    def find(self, queries: StoredEntities) -> Candidates:
        """Look for the candidates of some entities."""
        source_numbers = None
        if self.sources:
            numbers = [self.sources.get(source, -1) if source else -1 for source in queries.sources]
            source_numbers = np.array(numbers, dtype=np.int32)
        top = self.index.top(queries.uids, queries.keys, source_numbers)
        return Candidates(query=queries.uids[top.rows], candidate=top.uids)

    def find_copied(self, queries: StoredEntities) -> tuple[Int64s, Int64s]:
        """Return the key and the uid of each entity that has more copies than find each other as candidates."""
        # Copies share all their keys: who has one that fewer hold has no more copies than that.
        starts, ends = queries.keys.starts[:-1], queries.keys.starts[1:]
        places = np.flatnonzero(ends > starts)
        for at in (starts, ends - 1):
            places = places[self.index.count_holders(queries.keys.keys[at[places]]) > FEW_COPIES]
        keys = np.array([copy_key(queries.values[place]) for place in places.tolist()], dtype=np.int64)
        is_copied = self.index.count_holders(keys) > FEW_COPIES
        return keys[is_copied], queries.uids[places[is_copied]]


async def load_postings(database: Database, index: Index) -> LoadedPostings:
    """Read the keys of a generation into memory, as a stream, and keep the useful ones.

    These are the keys that at least two and at most `DF_CAP` entities share.
    """
    builder = CandidateIndexBuilder()
    async with database.transaction() as connection:
        entities = (await generation(connection, index.index_no)).entities
        sources = await _number_sources(connection, index, None)
        async for uids, keys in stream_keys(connection, index.index_no):
            await asyncio.to_thread(builder.add, uids, keys)
    candidate_index = await asyncio.to_thread(builder.finish, entities, sources.by_uid)
    return_free_memory()
    return LoadedPostings(candidate_index, sources.numbers)


@dataclass(frozen=True, slots=True)
class _Sources:
    """The number of each source by its name; the uids that have a source, and its number beside each."""

    numbers: dict[str, int]
    by_uid: tuple[Int64s, Int32s] | None


async def _number_sources(connection: Connection, index: Index, uids: Int64s | None) -> _Sources:
    """Number the sources of a generation's entities, or of some; only clean sources matter to candidates."""
    if not index.has_clean_sources:
        return _Sources({}, None)
    rows = await read_sources(connection, index, uids)
    numbers = {source: number for number, source in enumerate(sorted({source for _, source in rows}))}
    with_source = np.array([uid for uid, _ in rows], dtype=np.int64)
    return _Sources(numbers, (with_source, np.array([numbers[source] for _, source in rows], dtype=np.int32)))


async def find_candidates(
    connection: Connection, index: Index, queries: StoredEntities, postings: LoadedPostings | None = None
) -> Candidates:
    """Find the candidates of some entities; copies, of which there may be any number, also by their order.

    Args:
        connection: A connection.
        index: The generation.
        queries: The entities whose candidates are looked for.
        postings: Its postings, if this process has loaded them; None: Postgres is asked.
    """
    parts: list[Candidates] = []
    for start in range(0, len(queries), QUERIES_A_LOOK if postings is None else max(len(queries), 1)):
        some = queries[start : start + QUERIES_A_LOOK] if postings is None else queries
        loaded = postings or await _read_few_postings(connection, index, some)
        candidates, (keys, uids) = await compute(len(some) <= FEW_QUERIES and postings is None, _look, loaded, some)
        parts.append(candidates)
        if len(uids):
            beside = await read_neighbours(connection, index.index_no, keys, uids, each_side=LINKS_A_SIDE)
            places, masks = find_landmark_masks(uids)
            landmarks = await read_landmarks(connection, index.index_no, keys[places], uids[places], masks)
            parts += [Candidates(*beside), Candidates(*landmarks)]
    return _join(parts)


async def read_involved(
    connection: Connection, index: Index, known: StoredEntities, candidates: Candidates
) -> StoredEntities:
    """Read whom candidate pairs consist of; what is known of some of them is not read again."""
    uids = np.unique(np.concatenate([candidates.query, candidates.candidate]))
    missing = np.setdiff1d(uids, known.uids, assume_unique=True)
    return known.with_others(await read_stored(connection, index, missing, with_keys=False))


async def find_across(connection: Connection, index: Index, vacated: Mapping[int, int]) -> Candidates:
    """Find who is to be linked where entities have gone from among their copies.

    Args:
        connection: A connection.
        index: The generation.
        vacated: The uid of each that is gone, with the key that it shared with its copies.
    """
    if not vacated:
        return _join([])
    uids = np.array(sorted(vacated), dtype=np.int64)
    keys = np.array([vacated[uid] for uid in uids.tolist()], dtype=np.int64)
    gone, neighbours = await read_neighbours(connection, index.index_no, keys, uids, each_side=LINKS_A_SIDE)
    return Candidates(*link_across(neighbours[gone == uid].tolist() for uid in uids.tolist()))


def _look(postings: LoadedPostings, queries: StoredEntities) -> tuple[Candidates, tuple[Int64s, Int64s]]:
    return postings.find(queries), postings.find_copied(queries)


async def _read_few_postings(connection: Connection, index: Index, queries: StoredEntities) -> LoadedPostings:
    """Read the postings of the queries' keys: they make a small index, which is asked as the large one is."""
    keys_of_batch = np.unique(queries.keys.keys)
    # One posting beyond the cap shows that a key is too frequent.
    keys, uids = await read_postings(connection, index.index_no, keys_of_batch, limit=DF_CAP + 1)
    sources = await _number_sources(connection, index, np.unique(uids))
    return LoadedPostings(CandidateIndex.build(keys, uids, index.entities, sources.by_uid), sources.numbers)


def _join(parts: Sequence[Candidates]) -> Candidates:
    nothing = np.empty(0, dtype=np.int64)
    return Candidates(
        np.concatenate([nothing, *(part.query for part in parts)]),
        np.concatenate([nothing, *(part.candidate for part in parts)]),
    )


class CandidateCache:
    """Holds one candidate index: that of the last generation asked for, as of one run of one job.

    Args:
        database: Where the postings are.
        memory_mb: Beyond this the chunk asks Postgres instead, which is slower and needs no memory.
    """

    def __init__(self, database: Database, *, memory_mb: int) -> None:
        self._database = database
        self._max_entities = memory_mb * 1024 * 1024 // BYTES_AN_ENTITY
        self._lock = asyncio.Lock()
        self._held: tuple[tuple[int, str], LoadedPostings] | None = None

    async def get(self, index: Index, ref: JobRef, *, queries: int) -> LoadedPostings | None:
        """Return the loaded postings for a job, loading them where that pays.

        Args:
            index: The generation.
            ref: The run of a job that looks for candidates.
            queries: How many entities the whole run looks up.

        Returns:
            None: Postgres is to be asked, by `find_candidates`.
        """
        told_apart = f"{index.split.by}:{index.split.id_bound}" if index.split else str(index.config.clean_sources)
        key = (index.index_no, f"{ref.workflow_id}:{told_apart}")
        if self._held is not None and self._held[0] == key:
            return self._held[1]
        too_few = queries * LOAD_ENTITIES_A_QUERY < index.entities
        if index.entities > self._max_entities or too_few:
            return None
        async with self._lock:
            if self._held is None or self._held[0] != key:
                # The old one goes first, so that there are never two in memory.
                self._held = None
                self._held = (key, await load_postings(self._database, index))
            return self._held[1]

    def release(self, ref: JobRef) -> None:
        """Let go of what was loaded for a run of a job that looks for no more candidates."""
        if self._held is not None and self._held[0][1].startswith(f"{ref.workflow_id}:"):
            self._held = None
            return_free_memory()
