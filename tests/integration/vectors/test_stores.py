"""The stores of vectors against real Postgres and Chroma: order of acceptance, no mixtures, no left-overs, recall."""

from __future__ import annotations

import itertools
import json
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.vectors.builders import draft, nearest, put, remove, vectors
from towpath.core.errors import UnavailableError
from towpath.db.engine import Database
from towpath.vectors.domain.filters import Field, parse_filter
from towpath.vectors.domain.ranking import normalise
from towpath.vectors.store import objects as store
from towpath.vectors.store.collections import Collections
from towpath.vectors.store.garbage import collect_garbage, sweep_marks
from towpath.vectors.store.index import VectorIndex
from towpath.vectors.store.refill import find_incomplete_collections, refill_index
from towpath.vectors.store.search import EVERYTHING, Search, Sort
from towpath.vectors.types import Collection, SortOrder


async def live(database: Database, number: int) -> dict[str, int]:
    async with database.transaction() as connection:
        found = await connection.execute(
            "SELECT object_id, version FROM vector_objects WHERE collection_no = %s AND version IS NOT NULL", (number,)
        )
        return {row[0]: row[1] async for row in found}


async def stored_count(database: Database, number: int) -> int:
    async with database.transaction() as connection:
        found = await connection.execute("SELECT objects FROM vector_collections WHERE collection_no = %s", (number,))
        return int((await found.fetchone() or (0,))[0])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
async def test_the_last_accepted_wins_whatever_runs_first(database: Database, data: st.DataObject) -> None:
    number = (await Collections().ensure(database, uuid4().hex, Collection.DEFAULT, "m")).collection_no
    names = ["a", "b", "c"]
    tasks = data.draw(
        st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from(names), unique=True, min_size=1)), max_size=6)
    )
    for at in data.draw(st.permutations(range(1, len(tasks) + 1))):
        deletes, touched = tasks[at - 1]
        if deletes:
            await remove(database, number, touched, at)
        else:
            await put(database, None, number, [draft(name, at, vectors(2, seed=at)) for name in touched], at)

    expected: dict[str, int] = {}
    for at, (deletes, touched) in enumerate(tasks, 1):
        for name in touched:
            expected.pop(name, None)
            if not deletes:
                expected[name] = at
    assert await live(database, number) == expected
    assert await stored_count(database, number) == len(expected)


async def test_nothing_that_is_not_live_stays_in_the_index(database: Database, index: VectorIndex, number: int) -> None:
    await put(database, index, number, [draft("a", 1, vectors(3)), draft("b", 1, vectors(2, seed=2))], 1)
    await put(database, index, number, [draft("a", 2, vectors(4, seed=3))], 2)
    await put(database, index, number, [draft("b", 9, vectors(5, seed=4))], 0)
    await remove(database, number, ["b"], 3)

    while await collect_garbage(database, index, collection_no=number):
        pass

    assert await live(database, number) == {"a": 2}
    assert await index.count(number) == 4
    async with database.transaction() as connection:
        found = await connection.execute("SELECT count(*) FROM vector_parts WHERE collection_no = %s", (number,))
        assert await found.fetchone() == (4,)
        left = await connection.execute("SELECT count(*) FROM vector_garbage WHERE collection_no = %s", (number,))
        assert await left.fetchone() == (0,)


async def test_a_text_that_comes_back_is_not_collected(database: Database, index: VectorIndex, number: int) -> None:
    for at, version in enumerate([1, 2, 1], 1):
        await put(database, index, number, [draft("a", version, vectors(2, seed=version))], at)
    while await collect_garbage(database, index, collection_no=number):
        pass

    found = await nearest(database, index, number, vectors(1, seed=1)[0], Search(EVERYTHING, 5, 0))

    assert [(one.object_id, one.distance < 1e-5) for one in found.results] == [("a", True)]
    assert await index.count(number) == 2


async def test_a_reader_between_the_steps_of_a_replacement_sees_the_old_or_the_new(
    database: Database, index: VectorIndex, number: int
) -> None:
    old, new = vectors(1, seed=1), vectors(1, seed=2)
    await put(database, index, number, [draft("a", 1, old)], 1)
    replacement = draft("a", 2, new)

    async def seen() -> float:
        page = await nearest(database, index, number, new[0], Search(EVERYTHING, 5, 0))
        assert [one.object_id for one in page.results] == ["a"]
        return page.results[0].distance

    before = await seen()
    async with database.transaction() as connection:
        await store.store_vectors(connection, number, [replacement])
    assert await seen() == before
    # Live in Postgres, but the index has not been asked since: the case of a reader in between.
    async with database.transaction() as connection:
        standings = await store.lock_objects(connection, number, [(replacement.uid, "a")])
        await store.write_objects(connection, number, [replacement], accepted=2, standings=standings)
    assert await seen() < 1e-5
    await index.add(number, replacement.entries, new)
    assert await seen() < 1e-5
    await collect_garbage(database, index, collection_no=number)
    assert await seen() < 1e-5


async def test_adding_parts_again_changes_nothing(index: VectorIndex, number: int) -> None:
    ids = [5, 6, 7]
    await index.add(number, ids, vectors(3))
    await index.add(number, ids, vectors(3))

    assert await index.count(number) == 3
    await index.delete(number, [*ids, 8])
    assert await index.count(number) == 0


async def test_an_index_that_lost_its_data_is_filled_again(database: Database, index: VectorIndex, number: int) -> None:
    drafts = [draft(f"o{i}", 1, vectors(1 + i % 3, seed=i)) for i in range(40)]
    await put(database, index, number, drafts, 1)
    await remove(database, number, ["o7"], 2)
    parts = sum(each.parts for each in drafts if each.object_id != "o7")
    while await collect_garbage(database, index, collection_no=number):
        pass
    assert number not in await find_incomplete_collections(database, index)
    await index.delete(number, list(store.entries_of(drafts)))
    assert number in await find_incomplete_collections(database, index)

    assert await refill_index(database, index, number) == parts
    assert await refill_index(database, index, number) == parts

    assert await index.count(number) == parts
    assert number not in await find_incomplete_collections(database, index)
    query = drafts[3].vectors
    assert query is not None
    found = await nearest(database, index, number, query[0], Search(EVERYTHING, 1, 0))
    assert [one.object_id for one in found.results] == ["o3"]


async def test_an_index_that_does_not_answer_is_unavailable_and_retryable() -> None:
    async def nowhere() -> str:
        return "http://127.0.0.1:9"

    with pytest.raises(UnavailableError) as error:
        await VectorIndex(nowhere).count(1)
    assert error.value.retryable


async def test_recall_at_10_against_exact_search(database: Database, index: VectorIndex, number: int) -> None:
    # Clustered, as embeddings are: uniform noise has no neighbours to find.
    centres = vectors(60, seed=5, dimensions=384)
    noise = vectors(4000, seed=6, dimensions=384)
    stored = normalise(centres[np.arange(4000) % 60] + 0.8 * noise)
    for start in range(0, 4000, 1000):
        drafts = [draft(f"o{i:04}", 1, stored[i : i + 1]) for i in range(start, start + 1000)]
        await put(database, index, number, drafts, 1)

    hits = 0
    for query in normalise(centres[:50] + 0.8 * vectors(50, seed=7, dimensions=384)):
        exact = set(np.argsort(1 - stored @ query)[:10].tolist())
        page = await nearest(database, index, number, query, Search(EVERYTHING, 10, 0))
        hits += len(exact & {int(one.object_id[1:]) for one in page.results})

    assert hits / 500 >= 0.95


async def test_pages_of_a_search_follow_each_other_and_know_the_total(
    database: Database, index: VectorIndex, number: int
) -> None:
    rows = vectors(300, seed=8)
    payloads = [json.dumps({"n": i % 7}) for i in range(100)]
    drafts = [draft(f"o{i:03}", 1, rows[3 * i : 3 * i + 3], payloads[i]) for i in range(100)]
    await put(database, index, number, drafts, 1)
    query = vectors(1, seed=9)[0]
    far = {f"o{i:03}": float(min(1 - rows[3 * i : 3 * i + 3] @ query)) for i in range(100)}
    expected = sorted(far, key=lambda name: (round(far[name], 6), name))

    seen: list[str] = []
    for offset in itertools.count(0, 30):
        page = await nearest(database, index, number, query, Search(EVERYTHING, 30, offset))
        assert page.total == 100
        seen += [one.object_id for one in page.results]
        if not page.more:
            break
    assert seen == expected

    some = parse_filter({"n": {"$lt": 2}})
    page = await nearest(database, index, number, query, Search(some, 5, 0))
    assert [one.object_id for one in page.results] == [n for n in expected if int(n[1:]) % 7 < 2][:5]
    assert page.total == sum(i % 7 < 2 for i in range(100))

    edge = sorted(far.values())[20]
    page = await nearest(database, index, number, query, Search(EVERYTHING, 50, 0, max_distance=edge))
    assert len(page.results) == 21 == page.total

    by_field = Search(EVERYTHING, 20, 0, sort=Sort(Field("n"), SortOrder.DESC, similarity_first=False))
    page = await nearest(database, index, number, query, by_field)
    wanted = sorted(far, key=lambda n: (-(int(n[1:]) % 7), round(far[n], 6), n))[:20]
    assert [one.object_id for one in page.results] == wanted


async def test_marks_of_deleted_objects_go_when_no_older_task_is_left(database: Database, number: int) -> None:
    await remove(database, number, ["a"], 5)
    assert await sweep_marks(database) == 0
    async with database.transaction() as connection:
        await connection.execute("UPDATE vector_objects SET updated_at = now() - interval '2 hours'")

    assert await sweep_marks(database) >= 1
