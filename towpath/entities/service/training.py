"""Trains an index's model on a sample of what is stored, and keeps it with the index."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import LabelledPair, MatchModel, Sample, TuneReport, train, tune
from towpath.entities.domain.matching.calibration import MIN_ENTITIES
from towpath.entities.service.candidates import Candidates, LoadedPostings, find_candidates, read_involved
from towpath.entities.store.indexes import Index, save_model
from towpath.entities.store.labels import read_labels
from towpath.entities.store.records import StoredEntities, read_origins, read_stored, sample_stored
from towpath.jobs.store.jobs import merge_params
from towpath.jobs.types import JobRef

Int64s = npt.NDArray[np.int64]

SAMPLE = 4_000
"""Entities that ask for candidates; what they find is read as well."""
GROWTH = 2
SECOND_GROWTH = 1.1
MAX_SECOND_TRAINING = 50_000


def is_due(index: Index) -> bool:
    """Say whether the index has grown enough for its model to be worth training anew.

    What comes after the first batch may be another list: such a model knows nothing of how the two differ, so a part
    of what it has seen is growth enough. With too few entities to find the line from, an index keeps the model of one
    that has few.
    """
    growth = SECOND_GROWTH if index.model_version == 1 and index.entities <= MAX_SECOND_TRAINING else GROWTH
    return index.entities >= max(MIN_ENTITIES, growth * index.model_entities)


async def train_model(
    database: Database, index: Index, postings: LoadedPostings | None
) -> tuple[MatchModel, TuneReport | None]:
    """Train on a sample that depends on the stored entities alone, then on the labels, if there are enough.

    Args:
        database: Where the entities are.
        index: The generation.
        postings: Its postings, if this process has loaded it.
    """
    # What was inferred before is put to the proof again: data change.
    model = await _train_once(database, replace(index, inferred=None), None if index.inferred else postings)
    trained_for = replace(index, inferred=model.inferred)
    if model.inferred is not None:
        # Candidates across sources alone are others than those that have shown the structure.
        model = await _train_once(database, trained_for, None)
        model = model.model_copy(update={"inferred": trained_for.inferred})
    async with database.transaction() as connection:
        labelled = await _load_labelled_pairs(connection, index)
    return await asyncio.to_thread(tune, model, labelled, trained_for.matching_config) if labelled else (model, None)


async def _train_once(database: Database, index: Index, postings: LoadedPostings | None) -> MatchModel:
    async with database.transaction() as connection:
        queries = await sample_stored(connection, index, limit=SAMPLE)
        candidates = await find_candidates(connection, index, queries, postings)
        stored = await read_involved(connection, index, queries, candidates)
        origins = None
        if not index.has_clean_sources and index.config.infer_sources:
            origins = await read_origins(connection, index, stored.uids)
    return await asyncio.to_thread(_train, index, stored, candidates, queries.uids, origins)


def _train(
    index: Index,
    stored: StoredEntities,
    candidates: Candidates,
    queried: Int64s,
    origins: tuple[list[str], Int64s] | None,
) -> MatchModel:
    named = sorted({source for source in stored.sources if source is not None})
    numbers: dict[str | None, int] = {name: number for number, name in enumerate(named)}
    sample = Sample(
        uids=stored.uids,
        values=stored.values,
        left=candidates.query,
        right=candidates.candidate,
        sources=np.array([numbers.get(source, -1) for source in stored.sources], dtype=np.int32) if named else None,
        source_names=named,
        queried=np.isin(stored.uids, queried),
        ids=origins and origins[0],
        batches=origins and origins[1],
    )
    return train(sample, index.matching_config)


async def _load_labelled_pairs(connection: Connection, index: Index) -> list[LabelledPair]:
    labels = await read_labels(connection, index.organization, index.name)
    uids: Sequence[int] = sorted({uid for label in labels for uid in (label.left_uid, label.right_uid)})
    values_of = {stored.uid: stored.values for stored in await read_stored(connection, index, uids)}
    return [
        LabelledPair(values_of[label.left_uid], values_of[label.right_uid], label.duplicate)
        for label in labels
        if label.left_uid in values_of and label.right_uid in values_of
    ]


async def save_trained_model(connection: Connection, index: Index, model: MatchModel) -> None:
    """Store a model as the generation's next version."""
    await save_model(connection, index.index_no, model.model_dump(mode="json"), entities=index.entities)


async def save_report(connection: Connection, ref: JobRef, report: TuneReport) -> None:
    """Store what a tuning has achieved where the job's end finds it."""
    await merge_params(connection, ref, {"report": report.model_dump(mode="json")})
