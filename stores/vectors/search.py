"""Search: the index proposes parts, Postgres decides which are live, match the filter and make the page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from contracts.vectors import SearchResult, SortOrder
from domain.vectors.filters import Every, Field, Node
from domain.vectors.ranking import PartDistance, cosine_distances, nearest_parts
from stores.db import Connection, Database
from stores.vectors.filters import compile_filter, value_of
from stores.vectors.index import VectorIndex

Query = npt.NDArray[np.float32]
# Where the index would have to be asked for more parts than this, looking at every match is faster.
MOST_ASKED = 2_000
# Up to so many matches are looked at one by one: exact, and faster than a search that throws most away.
FEW_MATCHES = 500
# Parts asked for beyond the page: objects have several, and some are not live any more.
SPARE = 1.5
SCAN_ROWS = 2_000
EVERYTHING = Every(())


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of a page."""

    field: Field
    order: SortOrder
    similarity_first: bool


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for."""

    node: Node
    limit: int
    offset: int
    max_distance: float | None = None
    sort: Sort | None = None

    @property
    def end(self) -> int:
        """Results up to the end of the page."""
        return self.offset + self.limit


@dataclass(slots=True)
class Page:
    """A page of results; `total` None: not known without looking at everything."""

    results: list[SearchResult]
    more: bool
    total: int | None


async def count_matches(connection: Connection, collection_no: int, node: Node) -> int:
    """How many live objects match."""
    if node == EVERYTHING:
        found = await connection.execute(
            "SELECT objects FROM vector_collections WHERE collection_no = %s", (collection_no,)
        )
    else:
        condition, values = compile_filter(node)
        found = await connection.execute(
            f"""
            SELECT count(*) FROM vector_objects o
            WHERE o.collection_no = %s AND o.version IS NOT NULL AND {condition}
            """,
            (collection_no, *values),
        )
    return int((await found.fetchone() or (0,))[0])


async def search_payload(database: Database, collection_no: int, search: Search) -> Page:
    """Objects that match, by `sort` or by id; distance 1.0."""
    async with database.transaction() as connection:
        total = await count_matches(connection, collection_no, search.node)
        condition, values = compile_filter(search.node)
        order, order_values = _order(search.sort)
        found = await connection.execute(
            f"""
            SELECT o.object_id, 1.0, o.payload, o.item_info FROM vector_objects o
            WHERE o.collection_no = %s AND o.version IS NOT NULL AND {condition}
            ORDER BY {order} o.object_id LIMIT %s OFFSET %s
            """,
            (collection_no, *values, *order_values, search.limit, search.offset),
        )
        results = [_result(row) for row in await found.fetchall()]
    return Page(results, more=search.offset + len(results) < total, total=total)


async def search_nearest(
    database: Database, index: VectorIndex, collection_no: int, query: Query, search: Search
) -> Page:
    """Objects that match, nearest first or by `sort`.

    Raises:
        Unavailable: The index does not answer.
    """
    plain = search.node == EVERYTHING and search.max_distance is None
    sorted_by_field = search.sort is not None and not search.sort.similarity_first
    asked = int(search.end * SPARE) + 1
    total: int | None = None
    if not plain or sorted_by_field or asked > MOST_ASKED:
        async with database.transaction() as connection:
            total = await count_matches(connection, collection_no, search.node)
            everything = await count_matches(connection, collection_no, EVERYTHING)
        if total == 0:
            return Page([], more=False, total=0)
        asked = int(search.end * SPARE * everything / total) + 1
        if sorted_by_field or total <= FEW_MATCHES or asked > MOST_ASKED:
            return await _search_exactly(database, collection_no, query, search)
    while True:
        asking = asyncio.create_task(index.nearest(collection_no, query, count=asked))
        try:
            page, parts, found = await _page_of(database, collection_no, query, asking, search)
        finally:
            asking.cancel()
        exhausted = len(parts) < asked or _beyond(parts, search.max_distance)
        if found > search.end or exhausted:
            break
        asked *= 4
        if asked > MOST_ASKED:
            return await _search_exactly(database, collection_no, query, search)
    page.more = found > search.end
    if search.max_distance is not None:
        # A search that stopped early has not seen every match.
        page.total = found if exhausted else None
    elif total is not None:
        page.total = total
    return page


def _beyond(parts: Sequence[PartDistance], max_distance: float | None) -> bool:
    return max_distance is not None and bool(parts) and parts[-1][2] > max_distance


async def _page_of(
    database: Database, collection_no: int, query: Query, asking: Awaitable[list[PartDistance]], search: Search
) -> tuple[Page, list[PartDistance], int]:
    """A page made of the parts that are live and match, the parts, and how many objects there were."""
    condition, values = compile_filter(search.node)
    order, order_values = _order(search.sort, by_distance=True)
    # One statement, on a connection that is opened while the index searches: each round trip shows.
    async with database.statement() as connection:
        parts = await asking
        nearest = nearest_parts(parts)
        found = await connection.execute(
            f"""
            WITH near AS (
                SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::float8[]) AS near (uid, version, distance)
            ), matches AS (
                SELECT o.*, near.distance FROM (SELECT DISTINCT uid FROM near) AS proposed
                JOIN vector_objects o ON o.collection_no = %s AND o.uid = proposed.uid AND o.version IS NOT NULL
                LEFT JOIN near ON near.uid = o.uid AND near.version = o.version
                WHERE {condition} AND (near.distance IS NULL OR %s::float8 IS NULL OR near.distance <= %s)
            ), page AS (
                SELECT o.object_id, near.distance, o.payload, o.item_info,
                    row_number() OVER (ORDER BY {order} o.object_id) AS place
                FROM matches o, LATERAL (SELECT o.distance) AS near
                ORDER BY place LIMIT %s OFFSET %s
            )
            SELECT (SELECT objects FROM vector_collections WHERE collection_no = %s), counts.found, counts.changed,
                page.object_id, page.distance, page.payload, page.item_info
            FROM (SELECT count(*), bool_or(distance IS NULL) FROM matches) AS counts (found, changed)
            LEFT JOIN page ON true ORDER BY page.place
            """,
            (
                [uid for uid, _ in nearest], [version for _, version in nearest], list(nearest.values()), collection_no,
                *values, search.max_distance, search.max_distance, *order_values, search.limit, search.offset,
                collection_no,
            ),
        )  # fmt: skip
        rows = await found.fetchall()
    total, count, changed = rows[0][:3]
    if changed:
        # The index was asked just before an object was changed: it knew the old text, Postgres the new one.
        return await _page_of_changed(database, collection_no, query, nearest, search), parts, count
    results = [_result(row[3:]) for row in rows if row[3] is not None]
    return Page(results, more=False, total=total or 0), parts, count


async def _page_of_changed(
    database: Database, collection_no: int, query: Query, nearest: dict[tuple[int, int], float], search: Search
) -> Page:
    """The same where some versions that are live now were not among the parts."""
    condition, values = compile_filter(search.node)
    async with database.transaction() as connection:
        found = await connection.execute(
            f"""
            SELECT o.uid, o.version FROM vector_objects o
            WHERE o.collection_no = %s AND o.uid = ANY(%s::bigint[]) AND o.version IS NOT NULL AND {condition}
            """,
            (collection_no, sorted({uid for uid, _ in nearest}), *values),
        )
        live = {(uid, version) for uid, version in await found.fetchall()}
        distances = {uid: nearest[uid, version] for uid, version in live if (uid, version) in nearest}
        distances |= await _distances(connection, collection_no, query, [key for key in live if key not in nearest])
        if search.max_distance is not None:
            distances = {uid: far for uid, far in distances.items() if far <= search.max_distance}
        results = await _read_page(connection, collection_no, distances, search)
        total = await count_matches(connection, collection_no, EVERYTHING)
    return Page(results, more=False, total=total)


async def _distances(
    connection: Connection, collection_no: int, query: Query, versions: Sequence[tuple[int, int]]
) -> dict[int, float]:
    found = await connection.execute(
        """
        SELECT p.uid, p.version, p.vector FROM vector_parts p
        JOIN unnest(%s::bigint[], %s::bigint[]) AS wanted (uid, version)
          ON p.uid = wanted.uid AND p.version = wanted.version
        WHERE p.collection_no = %s
        """,
        ([uid for uid, _ in versions], [version for _, version in versions], collection_no),
        binary=True,
    )
    return _least(query, await found.fetchall())


def _least(query: Query, rows: Sequence[tuple[Any, ...]]) -> dict[int, float]:
    if not rows:
        return {}
    vectors = np.frombuffer(b"".join(row[2] for row in rows), dtype=np.float32).reshape(len(rows), -1)
    far = cosine_distances(query, vectors)
    nearest = nearest_parts((row[0], row[1], float(each)) for row, each in zip(rows, far, strict=True))
    return {uid: distance for (uid, _), distance in nearest.items()}


async def _search_exactly(database: Database, collection_no: int, query: Query, search: Search) -> Page:
    """Look at the vectors of every match; the answer is exact."""
    condition, values = compile_filter(search.node)
    distances: dict[int, float] = {}
    async with database.transaction() as connection:
        async with connection.cursor("scan", binary=True) as cursor:
            await cursor.execute(
                f"""
                SELECT p.uid, p.version, p.vector FROM vector_objects o
                JOIN vector_parts p USING (collection_no, uid, version)
                WHERE o.collection_no = %s AND {condition} ORDER BY p.uid
                """,
                (collection_no, *values),
            )
            while rows := await cursor.fetchmany(SCAN_ROWS):
                for uid, distance in (await asyncio.to_thread(_least, query, rows)).items():
                    # The parts of one object may lie in two reads.
                    distances[uid] = min(distance, distances.get(uid, np.inf))
        if search.max_distance is not None:
            distances = {uid: far for uid, far in distances.items() if far <= search.max_distance}
        results = await _read_page(connection, collection_no, distances, search)
    return Page(results, more=len(distances) > search.end, total=len(distances))


async def _read_page(
    connection: Connection, collection_no: int, distances: dict[int, float], search: Search
) -> list[SearchResult]:
    if search.sort is None:
        # Ties beyond the page's end are few: the exact order is made of a little more than the page.
        ranked = sorted(distances.items(), key=lambda one: one[1])
        if len(ranked) > search.end:
            edge = ranked[search.end - 1][1]
            distances = {uid: far for uid, far in ranked if far <= edge}
    order, values = _order(search.sort, by_distance=True)
    found = await connection.execute(
        f"""
        SELECT o.object_id, near.distance, o.payload, o.item_info
        FROM unnest(%s::bigint[], %s::float8[]) AS near (uid, distance)
        JOIN vector_objects o ON o.uid = near.uid AND o.collection_no = %s
        ORDER BY {order} o.object_id LIMIT %s OFFSET %s
        """,
        (list(distances), list(distances.values()), collection_no, *values, search.limit, search.offset),
    )
    return [_result(row) for row in await found.fetchall()]


def _order(sort: Sort | None, *, by_distance: bool = False) -> tuple[str, list[Any]]:
    near = "near.distance, " if by_distance else ""
    if sort is None:
        return near, []
    value, values = value_of(sort.field)
    way = "DESC" if sort.order is SortOrder.DESC else "ASC"
    by_field = f"({value}) {way} NULLS LAST, "
    return (near + by_field) if sort.similarity_first else (by_field + near), values


def _result(row: tuple[Any, ...]) -> SearchResult:
    return SearchResult(object_id=row[0], distance=round(float(row[1]), 6), payload=row[2], meta=row[3])
