"""Search against brute force: exact where a collection is small, checked where the index is asked, one answer for
all pages."""

from __future__ import annotations

import json
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.vectors.builders import Vectors, draft, nearest, put, remove, vectors
from towpath.db.engine import Database
from towpath.vectors.domain.filters import Field, parse_filter
from towpath.vectors.domain.ranking import normalise
from towpath.vectors.store import answers
from towpath.vectors.store.collections import Collections
from towpath.vectors.store.garbage import collect_garbage
from towpath.vectors.store.index import Proposals, VectorIndex
from towpath.vectors.store.search import EVERYTHING, Query, Search, Sort, search_nearest, search_payload
from towpath.vectors.types import Collection, SortOrder

POOL = vectors(7, seed=50)
OBJECTS = st.lists(
    st.tuples(st.lists(st.integers(0, 6), min_size=1, max_size=3), st.integers(0, 2)), min_size=1, max_size=14
)


def distance(query: Vectors, rows: Vectors) -> float:
    return float(np.round(np.clip(1 - (rows @ query).astype(np.float64), 0, 2), 6).min())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), objects=OBJECTS)
async def test_a_small_collection_is_searched_exactly(
    database: Database, index: VectorIndex, data: st.DataObject, objects: list[tuple[list[int], int]]
) -> None:
    number = (await Collections().ensure(database, uuid4().hex, Collection.DEFAULT, "m")).collection_no
    drafts = [draft(f"o{n:02}", 1, POOL[parts], json.dumps({"n": k})) for n, (parts, k) in enumerate(objects)]
    await put(database, None, number, drafts, 1)
    query = POOL[data.draw(st.integers(0, 6))]
    far = {f"o{n:02}": distance(query, POOL[parts]) for n, (parts, _) in enumerate(objects)}
    kind = {f"o{n:02}": k for n, (_, k) in enumerate(objects)}
    most = data.draw(st.none() | st.sampled_from(sorted(far.values())))
    only = data.draw(st.none() | st.integers(0, 2))
    sort = data.draw(
        st.none() | st.builds(Sort, st.just(Field("n")), st.sampled_from(SortOrder), similarity_first=st.booleans())
    )
    limit, offset = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 8))

    node = EVERYTHING if only is None else parse_filter({"n": only})
    page = await nearest(database, index, number, query, Search(node, limit, offset, most, sort))

    def place(name: str) -> tuple[float, ...]:
        if sort is None:
            return (far[name],)
        field = kind[name] if sort.order is SortOrder.ASC else -kind[name]
        return (far[name], field) if sort.similarity_first else (field, far[name])

    there = [n for n in far if (most is None or far[n] <= most) and only in (None, kind[n])]
    expected = sorted(there, key=lambda name: (*place(name), name))
    assert [(one.object_id, one.distance) for one in page.results] == [
        (name, pytest.approx(far[name], abs=2e-6)) for name in expected[offset : offset + limit]
    ]
    assert (page.more, page.total) == (len(expected) > offset + limit, len(expected))


async def crowd(database: Database, index: VectorIndex, number: int, count: int = 400) -> Vectors:
    """A collection that is not small, as far as the tests here are concerned."""
    rows = vectors(count, seed=51)
    await put(database, index, number, [draft(f"o{n:03}", 1, rows[n : n + 1]) for n in range(count)], 1)
    return rows


def near(query: Vectors, by: float, seed: int = 52) -> Vectors:
    """A vector at some distance."""
    return normalise(query[None] + np.float32(by) * vectors(1, seed=seed))


async def test_copies_do_not_hide_others_from_the_index(database: Database, index: VectorIndex, number: int) -> None:
    rows = await crowd(database, index, number)
    same = vectors(1, seed=53)
    await put(database, index, number, [draft(f"s{n:03}", 1, same) for n in range(600)], 2)

    assert await index.count(number) == 401
    for n in range(0, 400, 20):
        page = await nearest(database, index, number, rows[n], Search(EVERYTHING, 1, 0), exact=0)
        assert [one.object_id for one in page.results] == [f"o{n:03}"]
    page = await nearest(database, index, number, same[0], Search(EVERYTHING, 700, 0), exact=0)
    assert [one.object_id for one in page.results[:600]] == [f"s{n:03}" for n in range(600)]


@pytest.mark.parametrize("known_by", ["entry", "version"])
async def test_what_is_equal_to_the_query_is_first_even_where_the_index_does_not_reach_it(
    database: Database, index: VectorIndex, number: int, known_by: str
) -> None:
    await crowd(database, index, number)
    query = vectors(1, seed=54)
    equal = draft("equal", 77, query)
    await put(database, index, number, [equal], 2)
    await index.delete(number, equal.entries)

    asked = Query(query[0], **{known_by: equal.entries[0] if known_by == "entry" else 77})
    page = await search_nearest(
        database, index, number, asked, Search(EVERYTHING, 3, 0), question=uuid4().bytes, exact=0
    )

    assert (page.results[0].object_id, page.results[0].distance) == ("equal", pytest.approx(0, abs=1e-6))


async def test_an_index_that_answers_short_is_not_believed(database: Database, index: VectorIndex, number: int) -> None:
    rows = await crowd(database, index, number)
    drafts = [draft(f"o{n:03}", 1, rows[n : n + 1]) for n in range(400)]
    await index.delete(number, [each.entries[0] for each in drafts[50:]])
    query = vectors(1, seed=55)[0]

    page = await nearest(database, index, number, query, Search(EVERYTHING, 10, 0), exact=0)

    order = sorted(range(400), key=lambda n: distance(query, rows[n : n + 1]))
    assert [one.object_id for one in page.results] == [f"o{n:03}" for n in order[:10]]


class Interrupted(VectorIndex):
    """The real index; between its answer and its reader's next step, something happens."""

    def __init__(self, index: VectorIndex, then: object) -> None:
        super().__init__(index._locate)
        self._then = then

    async def nearest(self, collection_no: int, query: Vectors, *, count: int) -> Proposals:
        found = await super().nearest(collection_no, query, count=count)
        then, self._then = self._then, None
        if then is not None:
            await then()  # type: ignore[operator]
        return found


@pytest.mark.parametrize("collected", [False, True])
async def test_an_object_that_changes_while_it_is_searched_is_not_lost(
    database: Database, index: VectorIndex, number: int, collected: bool
) -> None:
    await crowd(database, index, number)
    query = vectors(1, seed=56)[0]
    await put(database, index, number, [draft("moves", 1, near(query, 0.2))], 2)

    async def then() -> None:
        await put(database, index, number, [draft("moves", 2, near(query, 0.1, seed=57))], 3)
        while collected and await collect_garbage(database, index, collection_no=number):
            pass

    page = await nearest(database, Interrupted(index, then), number, query, Search(EVERYTHING, 3, 0), exact=0)

    assert page.results[0].object_id == "moves"
    assert page.results[0].distance == pytest.approx(distance(query, near(query, 0.1, seed=57)), abs=2e-6)


@pytest.mark.parametrize("exact", [0, 2_000])
async def test_pages_come_from_one_answer_in_another_process_too(
    database: Database, database_url: str, index: VectorIndex, number: int, exact: int
) -> None:
    rows = await crowd(database, index, number)
    query = vectors(1, seed=58)[0]
    order = sorted(range(400), key=lambda n: (distance(query, rows[n : n + 1]), n))
    expected = [f"o{n:03}" for n in order]
    shown: list[str] = []
    more, offset = True, 0

    while more:
        # Each page from a process of its own, and between two pages the top of the answer changes.
        process = Database(database_url)
        try:
            page = await nearest(process, index, number, query, Search(EVERYTHING, 50, offset), exact=exact)
        finally:
            await process.close()
        shown += [one.object_id for one in page.results]
        if offset < 300:
            by = near(query, 0.01, seed=60 + offset)
            await put(database, index, number, [draft(f"new{offset:03}", 1, by)], 2 + offset)
        if offset == 100:
            await remove(database, number, [expected[0], expected[399]], 1_000)
        more, offset = page.more, offset + 50

    # What was stored meanwhile may come at the end, when the answer had to be looked for anew.
    old = [name for name in shown if name.startswith("o")]
    assert len(set(shown)) == len(shown)
    assert set(old) == set(expected[:399])
    if exact:
        assert old == expected[:399]
    else:
        assert old[:50] == expected[:50]


async def test_pages_by_payload_come_from_one_answer(database: Database, number: int) -> None:
    await put(database, None, number, [draft(f"o{n:03}", 1, POOL[:1], '{"k": 1}') for n in range(300)], 1)
    question = uuid4().bytes
    shown: list[str] = []
    more, offset = True, 0

    while more:
        page = await search_payload(database, number, Search(parse_filter({"k": 1}), 20, offset), question=question)
        shown += [one.object_id for one in page.results]
        await remove(database, number, [f"o{offset % 300:03}"], 2 + offset)
        if offset < 200:
            await put(database, None, number, [draft(f"a{offset:03}", 1, POOL[:1], '{"k": 1}')], 3 + offset)
        more, offset = page.more, offset + 20

    assert len(set(shown)) == len(shown)
    assert [name for name in shown if name.startswith("o")] == [f"o{n:03}" for n in range(300)]


async def test_answers_go_when_nobody_reads_on_and_when_there_are_too_many(
    database: Database, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(database, None, number, [draft(f"o{n}", 1, POOL[:1], '{"k": 1}') for n in range(9)], 1)
    search = Search(parse_filter({"k": 1}), 4, 0)
    for _ in range(6):
        await search_payload(database, number, search, question=uuid4().bytes)
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE vector_answers SET expires_at = now() WHERE id IN "
            "(SELECT id FROM vector_answers WHERE collection_no = %s ORDER BY id LIMIT 1)",
            (number,),
        )

    await answers.sweep_answers(database)
    assert await stored(database, number) == 5
    monkeypatch.setattr(answers, "MAX_ANSWERS", 2)
    await answers.sweep_answers(database)
    assert await stored(database, number) == 2
    # A page whose answer is gone is looked for anew.
    later = await search_payload(database, number, Search(search.node, 4, 4), question=uuid4().bytes)
    assert [one.object_id for one in later.results] == ["o4", "o5", "o6", "o7"]


async def stored(database: Database, number: int) -> int:
    async with database.transaction() as connection:
        found = await connection.execute("SELECT count(*) FROM vector_answers WHERE collection_no = %s", (number,))
        return int((await found.fetchone() or (0,))[0])
