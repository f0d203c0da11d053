"""How sure it is that two entities are the same: the model of an index, and the scores of candidate pairs."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from towpath.core.threads import compute
from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import (
    MAX_COLD_ENTITIES,
    MatchModel,
    distinct_pairs,
    fit_model,
    score_pool,
    similarity_of,
    train_cold,
)
from towpath.entities.service.candidates import CandidateCache, Candidates, find_across, find_candidates, read_involved
from towpath.entities.store.indexes import Index, load_model
from towpath.entities.store.pairs import ScoredPairs, write_pairs
from towpath.entities.store.records import StoredEntities, read_stored, sample_stored
from towpath.jobs.types import JobRef

Int64s = npt.NDArray[np.int64]

MANY_ENTITIES = 250_000
MANY_AT_ONCE, FEW_AT_ONCE = 8_000, 2_000
"""Entities of a chunk that are compared at the same time, in an index of fewer and of so many entities."""
FEW_PAIRS = 200
"""So many are compared in a few milliseconds."""
SMALL_INDEX = 8
"""Up to here each entity changes what the others say."""


class ModelCache:
    """The models of the indexes that this process works with, parsed once a version."""

    def __init__(self, *, size: int = 32) -> None:
        self._size = size
        self._held: OrderedDict[tuple[int, int, int], MatchModel] = OrderedDict()

    async def get(self, connection: Connection, index: Index) -> MatchModel:
        """Return the model of a generation, in the shape of its configuration.

        While it has none, it is made of a few entities each time: what they share is no evidence.

        A dynamic index may have got fields since the training, so both are part of what is held.
        """
        width = len(index.config.fields)
        key = (index.index_no, index.model_version, width)
        if index.model_version and key not in self._held:
            # Another process may have trained meanwhile: what is held is named by what was read.
            version, stored = await load_model(connection, index.index_no)
            if stored is not None:
                key = (index.index_no, version, width)
                self._held[key] = fit_model(MatchModel.model_validate(stored), index.config)
        if key not in self._held:
            key = (index.index_no, -1 - count_steps(index.entities), width)
            if key not in self._held:
                sample = await sample_stored(connection, index, limit=MAX_COLD_ENTITIES)
                self._held[key] = await asyncio.to_thread(train_cold, sample.values, index.config)
        self._held.move_to_end(key)
        while len(self._held) > self._size:
            self._held.popitem(last=False)
        return self._held[key]


def count_steps(entities: int) -> int:
    """Return how many steps an index has grown by: one an entity at first, later by a quarter of what it has."""
    return entities if entities <= SMALL_INDEX else SMALL_INDEX + math.floor(math.log(entities / SMALL_INDEX, 1.25))


class Matcher:
    """Finds and scores the candidates of stored entities; one a worker process, so that a model is parsed once.

    Args:
        database: Where the entities are.
        memory_mb: See `CandidateCache`.
    """

    def __init__(self, database: Database, *, memory_mb: int) -> None:
        self._database = database
        self.candidates = CandidateCache(database, memory_mb=memory_mb)
        self.models = ModelCache()

    async def score(self, index: Index, ref: JobRef, uids: list[int], *, queries: int | None = None) -> ScoredPairs:
        """Find and score the candidates of stored entities, with the index's current model; writes nothing.

        Args:
            index: The generation.
            ref: The run that asks.
            uids: Who looks for candidates.
            queries: How many entities the whole run asks for; None: all of the index.
        """
        postings = await self.candidates.get(index, ref, queries=index.entities if queries is None else queries)
        # Among many entities hardly any two queries have a partner in common: some at a time read no more, in less
        # memory.
        at_once = MANY_AT_ONCE if index.entities < MANY_ENTITIES else FEW_AT_ONCE
        parts: list[ScoredPairs] = []
        for start in range(0, max(len(uids), 1), at_once):
            async with self._database.transaction() as connection:
                model = await self.models.get(connection, index)
                stored = await read_stored(connection, index, uids[start : start + at_once])
                candidates = await find_candidates(connection, index, stored, postings)
                parts.append(await score_candidates(connection, index, model, stored, candidates))
        return ScoredPairs.join(parts)


async def score_candidates(
    connection: Connection,
    index: Index,
    model: MatchModel,
    queries: StoredEntities | None,
    candidates: Candidates,
    *,
    in_one_group: bool = False,
    keep_all: bool = False,
) -> ScoredPairs:
    """Compare and score candidate pairs, each once, and keep those that the index lists.

    Args:
        connection: Where the found entities are read.
        index: The generation.
        model: Its model.
        queries: Who asked; what is known of them is not read again. None: nothing is known.
        candidates: The pairs.
        in_one_group: The pairs stand in one group already: a prior of their own, and the higher threshold.
        keep_all: Whether to keep those as well that the index would not list, also of one clean source.
    """
    stored = await read_involved(connection, index, queries or StoredEntities.of([]), candidates)
    return await compute(
        len(candidates.query) <= FEW_PAIRS,
        _score,
        index,
        model,
        stored,
        candidates,
        in_one_group=in_one_group,
        keep_all=keep_all,
    )


def _score(
    index: Index,
    model: MatchModel,
    stored: StoredEntities,
    candidates: Candidates,
    *,
    in_one_group: bool,
    keep_all: bool,
) -> ScoredPairs:
    places = np.stack(distinct_pairs(stored.uids, candidates.query, candidates.candidate), axis=1)
    if index.has_clean_sources and not keep_all:
        sources = np.array([source or "" for source in stored.sources], dtype=object)[places]
        places = places[(sources[:, 0] != sources[:, 1]) | (sources[:, 0] == "")]
    pairs = stored.uids[places]
    scores = score_pool(model, stored.values, places[:, 0], places[:, 1], in_one_group)
    # What is stored is what is explained: the similarity is computed from the rounded contributions.
    prior = np.full((len(pairs), 1), scores.prior_bits, dtype=np.float32)
    bits = np.concatenate([prior, scores.contributions.astype(np.float32)], axis=1)
    similarity = similarity_of(bits)
    config = index.config
    keep = similarity >= (config.duplicate_threshold if in_one_group else config.candidate_threshold)
    keep |= keep_all
    return ScoredPairs(left=pairs[keep, 0], right=pairs[keep, 1], similarity=similarity[keep], bits=bits[keep])


async def store_scores(connection: Connection, index: Index, pairs: ScoredPairs) -> None:
    """Write scored pairs with the verdict of the threshold alone; `decide` has the last word."""
    await write_pairs(
        connection,
        index.index_no,
        pairs,
        duplicate=pairs.similarity >= index.config.duplicate_threshold,
        model_version=index.model_version,
    )


async def close_gaps(
    connection: Connection, index: Index, model: MatchModel, vacated: Mapping[int, int]
) -> ScoredPairs | None:
    """Score and store the pairs that hold copies together where some of them have gone.

    Args:
        connection: In the transaction of the write.
        index: The generation.
        model: Its model.
        vacated: See `Written.vacated`.

    Returns:
        The pairs; None: nobody was left on both sides.
    """
    candidates = await find_across(connection, index, vacated)
    if not len(candidates.query):
        return None
    pairs = await score_candidates(connection, index, model, None, candidates)
    await store_scores(connection, index, pairs)
    return pairs
