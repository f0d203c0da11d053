"""Search: a page of objects, cut from the one answer that all pages of a search are cut from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from towpath.db.engine import Connection, Database
from towpath.vectors.store.answers import (
    PACKED,
    ROOM,
    Answer,
    Places,
    Ranking,
    concatenate,
    exclude,
    find_answer,
    save_answer,
    split_places,
    unpack_places,
)
from towpath.vectors.store.filters import compile_filter
from towpath.vectors.store.index import VectorIndex
from towpath.vectors.store.nearest import Query, load_live_distances, rank_nearest
from towpath.vectors.store.questions import EVERYTHING, Search, Sort, count_matches, order_by
from towpath.vectors.types import SearchResult

__all__ = ["EVERYTHING", "Page", "Query", "Search", "Sort", "count_matches", "search_nearest", "search_payload"]

# Places looked for at once beyond those that are known, which are otherwise doubled.
MAX_ROOM = 10_000

Rank = Callable[[int], Awaitable[Ranking]]


@dataclass(slots=True)
class Page:
    """A page of results.

    `total` None: not known without looking at everything; `is_current` false: another page of the answer came between.
    """

    results: list[SearchResult]
    more: bool
    total: int | None
    is_current: bool = True


async def search_payload(database: Database, collection_no: int, search: Search, *, question: bytes) -> Page:
    """Objects that match, by `sort` or by id; distance 1.0.

    Args:
        database: Where the objects are.
        collection_no: The collection.
        search: Filter, order and page.
        question: What is equal for all pages of one search, and for these alone.
    """
    return await _page(
        database, collection_no, search, question, partial(_rank_payload, database, collection_no, search)
    )


async def search_nearest(
    database: Database,
    index: VectorIndex,
    collection_no: int,
    query: Query,
    search: Search,
    *,
    question: bytes,
    exact: int,
) -> Page:
    """Objects that match, nearest first or by `sort`.

    Args:
        database: Where the objects are.
        index: The vector index.
        collection_no: The collection.
        query: What is looked for.
        search: Filter, order and page.
        question: What is equal for all pages of one search, and for these alone.
        exact: Up to so many entries a collection is searched without the index.

    Raises:
        UnavailableError: The index does not answer.
    """

    async def rank(count: int) -> Ranking:
        return await rank_nearest(database, index, collection_no, query, search, count, exact=exact)

    return await _page(database, collection_no, search, question, rank, query)


async def _page(
    database: Database, collection_no: int, search: Search, question: bytes, rank: Rank, query: Query | None = None
) -> Page:
    while True:
        answer = await find_answer(database, collection_no, question, search.offset) if search.offset else None
        if answer is None:
            answer = Answer(await rank(search.end + search.limit))
        page = await _cut_page(database, collection_no, search, question, answer, query)
        while page is None:
            await _extend(answer, search, rank)
            page = await _cut_page(database, collection_no, search, question, answer, query)
        if page.is_current:
            return page


async def _cut_page(
    database: Database, collection_no: int, search: Search, question: bytes, answer: Answer, query: Query | None
) -> Page | None:
    """Return the page, whose answer is kept for the next one; None: the answer does not reach beyond it yet."""
    async with database.statement() as connection:
        rows = await _read_page(connection, collection_no, search, answer, query)
        more = len(answer.ranking.places) > search.end
        if not more and not answer.ranking.complete:
            return None
        page = Page([_result(row) for row in rows], more=more, total=answer.ranking.total)
        if more or answer.id is not None:
            page.is_current = await save_answer(connection, collection_no, question, answer, end=search.end)
        return page


async def _extend(answer: Answer, search: Search, rank: Rank) -> None:
    """Look for places beyond those that are known; at least one more is found, or that there are none."""
    places = answer.ranking.places
    room = min(max(search.limit, len(places)), MAX_ROOM)
    further = await rank(max(len(places), search.end) + room)
    places = concatenate(places, exclude(further.places, places))
    answer.ranking = Ranking(places, further.complete, answer.ranking.total)
    answer.changed = True


async def _read_page(
    connection: Connection, collection_no: int, search: Search, answer: Answer, query: Query | None
) -> list[tuple[Any, ...]]:
    """Return the page's objects as they are now.

    Places that were not shown yet and whose objects are gone, or match no more, are taken out of the answer; the
    next ones move up.
    """
    condition, values = compile_filter(search.node)
    while True:
        places = answer.ranking.places[search.offset : search.end]
        uids, versions, distances = split_places(places)
        cursor = await connection.execute(
            f"""
            SELECT o.uid, o.version, page.version, o.object_id, page.distance, o.payload, o.item_info
            FROM unnest(%s::bigint[], %s::bigint[], %s::float8[])
                WITH ORDINALITY AS page (uid, version, distance, place)
            JOIN vector_objects o ON o.collection_no = %s AND o.uid = page.uid
            WHERE o.version IS NOT NULL AND {condition} ORDER BY page.place
            """,
            (uids, versions, distances, collection_no, *values),
        )
        rows = await _refresh_distances(connection, collection_no, search, await cursor.fetchall(), query)
        is_present = np.isin(places["uid"], np.array([row[0] for row in rows], dtype=np.int64))
        # Places that were shown before stay counted, so that offsets keep their meaning.
        is_present |= np.arange(search.offset, search.offset + len(places)) < answer.served
        if is_present.all():
            return [row[3:] for row in rows]
        remaining = np.ones(len(answer.ranking.places), dtype=bool)
        remaining[search.offset : search.offset + len(places)] = is_present
        answer.ranking.places = answer.ranking.places[remaining]
        answer.changed = True


async def _refresh_distances(
    connection: Connection, collection_no: int, search: Search, rows: list[tuple[Any, ...]], query: Query | None
) -> list[tuple[Any, ...]]:
    """Return the same with the present distances of objects whose text has changed."""
    changed = [row[0] for row in rows if row[1] != row[2]]
    if not changed or query is None:
        return rows
    now = await load_live_distances(connection, collection_no, query.vector, changed)
    fresh = [(*row[:4], now[row[0]][1], *row[5:]) if row[0] in now else row for row in rows]
    return [row for row in fresh if row[4] <= search.most]


async def _rank_payload(database: Database, collection_no: int, search: Search, count: int) -> Ranking:
    condition, values = compile_filter(search.node)
    order, order_values = order_by(search.sort)
    async with database.transaction() as connection:
        total = await count_matches(connection, collection_no, search.node)
        cursor = await connection.execute(
            f"""
            SELECT string_agg({PACKED.format("r")}, '' ORDER BY r.place) FROM (
                SELECT o.uid, o.version, 1.0::float8 AS distance,
                    row_number() OVER (ORDER BY {order} o.object_id) AS place
                FROM vector_objects o WHERE o.collection_no = %s AND o.version IS NOT NULL AND {condition}
                ORDER BY place LIMIT %s
            ) AS r
            """,
            (*order_values, collection_no, *values, count + ROOM),
            binary=True,
        )
        places: Places = unpack_places((await cursor.fetchone() or (None,))[0])
    return Ranking(places, complete=len(places) < count + ROOM, total=total)


def _result(row: tuple[Any, ...]) -> SearchResult:
    return SearchResult(object_id=row[0], distance=row[1], payload=row[2], meta=row[3])
