"""Equal vectors are stored once: entries come with their first reference and go with their last, whoever is faster."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from tests.integration.vectors.builders import Vectors, draft, entry_of_vector, nearest, put, remove, vectors
from towpath.db.engine import Database, sqlalchemy_url
from towpath.db.migrate import MIGRATIONS, migrate
from towpath.runtime.embedded import EmbeddedStack
from towpath.vectors.domain.items import object_uid
from towpath.vectors.store import objects as store
from towpath.vectors.store.collections import Collections
from towpath.vectors.store.garbage import collect_garbage
from towpath.vectors.store.index import VectorIndex
from towpath.vectors.store.refill import find_incomplete_collections, refill_index
from towpath.vectors.store.search import EVERYTHING, Search
from towpath.vectors.types import Collection

POOL = vectors(6, seed=40)
NAMES = ["a", "b", "c", "d"]
MOVES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(NAMES), st.lists(st.integers(0, 5), min_size=1, max_size=4)),
        st.sampled_from(NAMES),
        st.just(None),
    ),
    max_size=12,
)


async def entries_of(database: Database, number: int) -> set[int]:
    async with database.transaction() as connection:
        found = await connection.execute("SELECT entry FROM vector_entries WHERE collection_no = %s", (number,))
        return {row[0] async for row in found}


async def indexed(index: VectorIndex, number: int) -> set[int]:
    return set((await index.nearest(number, POOL[0], count=100)).entries.tolist())


async def collect_all(database: Database, index: VectorIndex, number: int) -> None:
    while await collect_garbage(database, index, collection_no=number):
        pass


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES)
async def test_the_index_holds_what_is_live_and_each_vector_once(
    database: Database, index: VectorIndex, moves: list[Any]
) -> None:
    number = (await Collections().ensure(database, uuid4().hex, Collection.DEFAULT, "m")).collection_no
    live: dict[str, list[int]] = {}
    for at, move in enumerate(moves, 1):
        if move is None:
            await collect_all(database, index, number)
        elif isinstance(move, str):
            await remove(database, number, [move], at)
            live.pop(move, None)
        else:
            name, parts = move
            await put(database, index, number, [draft(name, hash(tuple(parts)) % 2**62, POOL[parts])], at)
            live[name] = parts

    await collect_all(database, index, number)

    expected = {entry_of_vector(POOL[part]) for parts in live.values() for part in parts}
    assert await entries_of(database, number) == expected == await indexed(index, number)


async def test_a_collector_waits_for_a_writer_of_the_same_vector_and_leaves_it(
    database: Database, neighbour: Database, index: VectorIndex, number: int
) -> None:
    await put(database, index, number, [draft("a", 1, POOL[:1])], 1)
    await remove(database, number, ["a"], 2)

    async with database.transaction() as connection:
        await store.store_vectors(connection, number, [draft("b", 1, POOL[:1])])
        collecting = asyncio.create_task(collect_garbage(database, index, collection_no=number))
        await waiting_for_a_lock(neighbour)
    assert await collecting == 1

    assert await indexed(index, number) == {entry_of_vector(POOL[0])}


async def test_a_writer_waits_for_a_collector_of_the_same_vector_and_stores_it_again(
    database: Database, index: VectorIndex, number: int
) -> None:
    await put(database, index, number, [draft("a", 1, POOL[:1])], 1)
    await remove(database, number, ["a"], 2)
    held = asyncio.Event()

    class Held(VectorIndex):
        async def delete(self, collection_no: int, entries: Any) -> None:
            await index.delete(collection_no, entries)
            await held.wait()

    collecting = asyncio.create_task(collect_garbage(database, Held(nowhere), collection_no=number))
    while await indexed(index, number):
        await asyncio.sleep(0)
    writing = asyncio.create_task(put(database, index, number, [draft("b", 1, POOL[:1])], 3))
    await waiting_for_a_lock(database)
    held.set()
    await collecting
    await writing

    assert await entries_of(database, number) == {entry_of_vector(POOL[0])} == await indexed(index, number)
    page = await nearest(database, index, number, POOL[0], Search(EVERYTHING, 5, 0))
    assert [one.object_id for one in page.results] == ["b"]


async def nowhere() -> str:
    raise AssertionError("nobody asks")


async def waiting_for_a_lock(database: Database) -> None:
    """Wait until somebody waits for a lock in this database."""
    async with database.statement() as connection:
        while True:
            found = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if (await found.fetchone() or (0,))[0]:
                return
            await asyncio.sleep(0.01)


def moved(url: str, to: str) -> None:
    """Take a database's schema down to a revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(sqlalchemy_url(url))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        before = ScriptDirectory.from_config(config).get_revision(to).down_revision
        command.downgrade(config, str(before))
    engine.dispose()


async def test_what_an_earlier_release_stored_is_found_and_given_to_the_index(
    make_database: Any, index: VectorIndex, parts: EmbeddedStack
) -> None:
    url = make_database()
    moved(url, "0012")
    rows = vectors(5, seed=41)
    number = 10_000 + object_uid(url) % 10**8
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO vector_collections (collection_no, organization, name, model, objects)"
            " OVERRIDING SYSTEM VALUE VALUES (%s, 'o', 'default', 'm', 4)",
            (number,),
        )
        # Two have equal texts, with vectors that differ by rounding, as they did when each was embedded by itself.
        noise = np.float32(1e-7)
        stored: dict[str, tuple[int, Vectors]] = {
            "a": (1, rows[:1]), "b": (1, rows[:1] + noise), "c": (2, rows[1:4]), "d": (3, rows[[4, 4, 4]]),
        }  # fmt: skip
        for name, (version, each) in stored.items():
            connection.execute(
                "INSERT INTO vector_objects (collection_no, uid, object_id, accepted, version, parts)"
                " VALUES (%s, %s, %s, 1, %s, %s)",
                (number, object_uid(name), name, version, len(each)),
            )
            for part, row in enumerate(each):
                connection.execute(
                    "INSERT INTO vector_parts (collection_no, uid, version, part, vector) VALUES (%s, %s, %s, %s, %s)",
                    (number, object_uid(name), version, part, row.tobytes()),
                )

    migrate(url)

    database = Database(url)
    try:
        assert len(await entries_of(database, number)) == 5
        assert await find_incomplete_collections(database, index) == [number]
        for exact in (0, 2_000):
            for query, first in ((rows[0], "a"), (rows[2], "c"), (rows[4], "d")):
                page = await nearest(database, index, number, query, Search(EVERYTHING, 1, 0), exact=exact)
                assert [one.object_id for one in page.results] == [first]
        assert await refill_index(database, index, number) == 5
        assert await index.count(number) == 5
        assert await find_incomplete_collections(database, index) == []
    finally:
        await database.close()
