"""Objects and searches for the tests of the vector stores."""

from __future__ import annotations

import hashlib

import numpy as np

from towpath.db.engine import Database
from towpath.vectors.domain.items import object_uid
from towpath.vectors.domain.ranking import normalise
from towpath.vectors.store import objects as store
from towpath.vectors.store.index import VectorIndex
from towpath.vectors.store.search import Page, Query, Search, search_nearest

DIMENSIONS = 24
Vectors = store.Vectors


def vectors(count: int, *, seed: int = 1, dimensions: int = DIMENSIONS) -> Vectors:
    """Vectors that are far from each other."""
    return normalise(np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32))


def draft(name: str, version: int, rows: Vectors | None = None, payload: str | None = None) -> store.Draft:
    """An object whose parts have these vectors."""
    parts = 1 if rows is None else len(rows)
    entries = [] if rows is None else [entry_of_vector(row) for row in rows]
    return store.Draft(object_uid(name), name, version, b"d", payload, None, vectors=rows, entries=entries, parts=parts)


def entry_of_vector(row: Vectors) -> int:
    """Equal vectors have one entry, as equal texts have."""
    return int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8).digest(), "big") >> 1


async def put(
    database: Database, index: VectorIndex | None, number: int, drafts: list[store.Draft], at: int
) -> store.Written:
    """What a chunk does, in its order: keep, index, make live."""
    async with database.transaction() as connection:
        await store.store_vectors(connection, number, drafts)
    if index is not None:
        entries = store.entries_of(drafts)
        await index.add(number, list(entries), np.stack(list(entries.values())))
    async with database.transaction() as connection:
        standings = await store.lock_objects(connection, number, [(d.uid, d.object_id) for d in drafts])
        return await store.write_objects(connection, number, drafts, accepted=at, standings=standings)


async def remove(database: Database, number: int, names: list[str], at: int) -> store.Written:
    """What a chunk of a deletion does."""
    async with database.transaction() as connection:
        objects = [(object_uid(name), name) for name in names]
        return await store.delete_objects(connection, number, objects, accepted=at)


async def nearest(
    database: Database, index: VectorIndex, number: int, query: Vectors, search: Search, *, exact: int = 2_000
) -> Page:
    """A page of a search that nobody else makes."""
    question = hashlib.blake2b(query.tobytes() + repr((search.node, search.max_distance, search.sort)).encode())
    return await search_nearest(database, index, number, Query(query), search, question=question.digest(), exact=exact)
