"""The objects nearest to a query: entries are proposed, by looking at all of them or by the index; Postgres says
which objects they belong to, which of these are live and match, and puts them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection, Database
from towpath.vectors.domain.filters import Node
from towpath.vectors.domain.ranking import cosine_distances
from towpath.vectors.store.answers import PACKED, ROOM, Ranking, unpack_places
from towpath.vectors.store.filters import compile_filter
from towpath.vectors.store.index import Proposals, VectorIndex
from towpath.vectors.store.questions import EVERYTHING, Search, count_matches, order_by

Vector = npt.NDArray[np.float32]
# Where the index would have to be asked for more entries than this, looking at every one is as fast.
MAX_ASKED = 2_000
# The index is asked for so many at least: it looks at as many anyway.
MIN_ASKED = 100
# Entries asked for beyond the objects: objects have several, and some are not live any more.
SPARE = 1.5
# How often a collector may come between the index and Postgres before the index is left aside.
TRIES = 3
SCAN_ROWS = 2_000
# Objects of a text that are looked at for entries of before equal vectors were stored once.
SAME_TEXTS = 50


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for.

    Attributes:
        vector: Of length 1.
        entry: What its text would be in the index as a part.
        version: What its text would be as an object's.
    """

    vector: Vector
    entry: int | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """A collection just before it is searched."""

    objects: int
    indexed: bool
    collected: int
    small: bool


@dataclass(frozen=True, slots=True)
class Ranked:
    """The first of the objects that entries belong to, how many they are, and what had been collected by then."""

    ranking: Ranking
    count: int
    collected: int


async def rank_nearest(
    database: Database, index: VectorIndex, collection_no: int, query: Query, search: Search, count: int, *, exact: int
) -> Ranking:
    """Return the `count` objects that come first, or all; more where they are known without more work.

    Args:
        database: Where the objects are.
        index: Proposes entries of a collection that is not small.
        collection_no: The collection.
        query: What is looked for.
        search: Filter, greatest distance and order; its page is left aside.
        count: How many.
        exact: Up to so many entries, or matches of a filter, all are looked at.

    Raises:
        UnavailableError: The index does not answer.
    """
    matches: int | None = None
    # Statement by statement on one connection: each round trip of a search shows.
    async with database.statement() as connection:
        state = await _load_state(connection, collection_no, exact)
        if search.node != EVERYTHING:
            matches = await count_matches(connection, collection_no, search.node)
        if matches == 0:
            return Ranking(unpack_places(None), complete=True, total=0)
        ranking = None
        few = state.small or (matches is not None and matches <= exact)
        if state.indexed and not few and not search.by_field:
            share = 1.0 if matches is None else matches / max(state.objects, matches)
            entry_count = max(int(count * SPARE / share) + 1, MIN_ASKED)
            ranking = await _search_by_index(
                connection, index, collection_no, query, search, count, entry_count, state.collected
            )
    if ranking is None:
        ranking = await _search_all(database, collection_no, query, search, count, state)
    ranking.total = _total_of(ranking, search, state, matches)
    return ranking


def _total_of(ranking: Ranking, search: Search, state: State, matches: int | None) -> int | None:
    if ranking.complete:
        return len(ranking.places)
    if search.max_distance is not None:
        # A search that stopped early has not seen every match.
        return None
    return state.objects if matches is None else matches


async def _load_state(connection: Connection, collection_no: int, exact: int) -> State:
    cursor = await connection.execute(
        """
        SELECT objects, indexed, collected, (
            SELECT count(*) FROM (SELECT FROM vector_entries e WHERE e.collection_no = c.collection_no LIMIT %s) AS few
        ) <= %s FROM vector_collections c WHERE collection_no = %s
        """,
        (exact + 1, exact, collection_no),
    )
    return State(*(await cursor.fetchone() or (0, True, 0, True)))


async def _search_by_index(
    connection: Connection,
    index: VectorIndex,
    collection_no: int,
    query: Query,
    search: Search,
    count: int,
    entry_count: int,
    collected: int,
) -> Ranking | None:
    """Return what the index leads to; None: it cannot say."""
    tries = 0
    while entry_count <= MAX_ASKED and tries < TRIES:
        asking = asyncio.create_task(index.nearest(collection_no, query.vector, count=entry_count))
        try:
            equal = await _find_equal_entries(connection, collection_no, query)
            proposed = await asking
        finally:
            asking.cancel()
        if len(proposed.entries) < entry_count:
            # A collection that is not small has more: the index has lost some, or does not reach them.
            return None
        edge = float(proposed.distances[-1])
        ranked = await _rank_entries(
            connection, collection_no, query, search, _add_equal(equal, proposed), count + ROOM, edge
        )
        if ranked.collected != collected:
            # What an entry belonged to may be gone between the index and Postgres: both are asked again.
            tries, collected = tries + 1, ranked.collected
            continue
        beyond = edge > search.most
        if ranked.count >= count or beyond:
            ranked.ranking.complete = beyond and ranked.count <= count + ROOM
            return ranked.ranking
        entry_count *= 4
    return None


async def _search_all(
    database: Database, collection_no: int, query: Query, search: Search, needed: int, state: State
) -> Ranking:
    """Look at the vector of every entry that a match may have; the answer is exact."""
    async with database.transaction() as connection:
        # What is proposed and what it belongs to are seen at one moment.
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        proposed = await _scan_entries(connection, collection_no, query.vector, None if state.small else search.node)
        count = len(proposed.entries) if search.by_field else max(int(needed * SPARE), MIN_ASKED)
        while True:
            nearest = _take_first(proposed, count)
            complete = len(nearest.entries) == len(proposed.entries)
            ranked = await _rank_entries(connection, collection_no, query, search, nearest, needed + ROOM, np.inf)
            if complete or ranked.count >= needed:
                ranked.ranking.complete = complete and ranked.count <= needed + ROOM
                return ranked.ranking
            count *= 8


def _take_first(proposed: Proposals, count: int) -> Proposals:
    """Return the nearest entries, with all that are as far as the last of them."""
    if count < len(proposed.entries):
        count = int(np.searchsorted(proposed.distances, proposed.distances[count - 1], side="right"))
    return Proposals(proposed.entries[:count], proposed.distances[:count])


async def _scan_entries(connection: Connection, collection_no: int, query: Vector, node: Node | None) -> Proposals:
    """Return all entries, or those of the objects that match."""
    chosen = ""
    values: list[Any] = []
    if node is not None and node != EVERYTHING:
        condition, values = compile_filter(node)
        chosen = f"""
            AND e.entry IN (
                SELECT p.entry FROM vector_objects o JOIN vector_parts p USING (collection_no, uid, version)
                WHERE o.collection_no = %s AND o.version IS NOT NULL AND {condition}
            )"""
        values = [collection_no, *values]
    entries: list[npt.NDArray[np.int64]] = []
    distances: list[npt.NDArray[np.float64]] = []
    async with connection.cursor("scan", binary=True) as cursor:
        await cursor.execute(
            f"SELECT e.entry, e.vector FROM vector_entries e WHERE e.collection_no = %s {chosen}",
            (collection_no, *values),
        )
        while rows := await cursor.fetchmany(SCAN_ROWS):
            entries.append(np.array([row[0] for row in rows], dtype=np.int64))
            distances.append(await asyncio.to_thread(_distances, query, [row[1] for row in rows]))
    if not entries:
        return Proposals(np.zeros(0, dtype=np.int64), np.zeros(0))
    far = np.concatenate(distances)
    order = np.argsort(far, kind="stable")
    return Proposals(np.concatenate(entries)[order], far[order])


def _distances(query: Vector, vectors: Sequence[bytes]) -> npt.NDArray[np.float64]:
    return cosine_distances(query, np.frombuffer(b"".join(vectors), dtype=np.float32).reshape(len(vectors), -1))


async def _find_equal_entries(connection: Connection, collection_no: int, query: Query) -> Proposals:
    """Return the entries of what is stored with the very text of the query: these are found without the index."""
    cursor = await connection.execute(
        """
        SELECT entry, vector FROM vector_entries WHERE collection_no = %(number)s AND (entry = %(entry)s OR entry IN (
            SELECT p.entry FROM (
                SELECT uid, version FROM vector_objects
                WHERE collection_no = %(number)s AND version = %(version)s LIMIT %(most)s
            ) o JOIN vector_parts p ON p.collection_no = %(number)s AND p.uid = o.uid AND p.version = o.version
        ))
        """,
        {"number": collection_no, "entry": query.entry, "version": query.version, "most": SAME_TEXTS},
        binary=True,
    )
    rows = await cursor.fetchall()
    if not rows:
        return Proposals(np.zeros(0, dtype=np.int64), np.zeros(0))
    return Proposals(
        np.array([row[0] for row in rows], dtype=np.int64), _distances(query.vector, [row[1] for row in rows])
    )


def _add_equal(equal: Proposals, proposed: Proposals) -> Proposals:
    new = ~np.isin(equal.entries, proposed.entries)
    return Proposals(
        np.concatenate([equal.entries[new], proposed.entries]),
        np.concatenate([equal.distances[new], proposed.distances]),
    )


async def _rank_entries(
    connection: Connection,
    collection_no: int,
    query: Query,
    search: Search,
    proposed: Proposals,
    most: int,
    edge: float,
) -> Ranked:
    """Return the first objects of the proposed entries; none beyond the edge of what is known."""
    condition, values = compile_filter(search.node)
    order, order_values = order_by(search.sort, by_distance=True)
    sorted_by = "NULL::jsonb AS payload" if search.sort is None else "o.payload"
    live: dict[int, tuple[int, float]] = {}
    while True:
        cursor = await connection.execute(
            f"""
            WITH near AS MATERIALIZED (
                SELECT * FROM unnest(%s::bigint[], %s::float8[]) AS near (entry, distance)
            ), proposed AS MATERIALIZED (
                SELECT p.uid, p.version, min(near.distance) AS distance FROM near
                JOIN vector_parts p ON p.collection_no = %s AND p.entry = near.entry GROUP BY p.uid, p.version
                UNION ALL SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::float8[])
            ), matches AS MATERIALIZED (
                SELECT o.uid, o.version, o.object_id, live.distance, {sorted_by}, o.created_at, o.updated_at
                FROM (SELECT DISTINCT uid FROM proposed) AS each
                JOIN vector_objects o ON o.collection_no = %s AND o.uid = each.uid AND o.version IS NOT NULL
                LEFT JOIN proposed live ON live.uid = o.uid AND live.version = o.version
                WHERE {condition}
            ), ranked AS (
                SELECT o.uid, o.version, near.distance, row_number() OVER (ORDER BY {order} o.object_id) AS place
                FROM matches o, LATERAL (SELECT o.distance) AS near WHERE near.distance <= %s
            )
            SELECT (SELECT count(*) FROM ranked),
                (SELECT collected FROM vector_collections WHERE collection_no = %s),
                (SELECT array_agg(uid) FROM matches WHERE distance IS NULL),
                (SELECT string_agg({PACKED.format("r")}, '' ORDER BY r.place) FROM ranked r WHERE r.place <= %s)
            """,
            (
                proposed.entries.tolist(), proposed.distances.tolist(), collection_no,
                list(live), [version for version, _ in live.values()], [far for _, far in live.values()], collection_no,
                *values, *order_values, min(edge, search.most), collection_no, most,
            ),
            binary=True,
        )  # fmt: skip
        count, collected, changed, packed = await cursor.fetchone() or (0, 0, None, None)
        if not changed:
            return Ranked(Ranking(unpack_places(packed), complete=False, total=None), count, collected)
        # The index knew the old text of these, Postgres knows the new one.
        live |= await load_live_distances(connection, collection_no, query.vector, changed)


async def load_live_distances(
    connection: Connection, collection_no: int, query: Vector, uids: Sequence[int]
) -> dict[int, tuple[int, float]]:
    """Version and distance of each object that is live, from its vectors."""
    cursor = await connection.execute(
        """
        SELECT o.uid, o.version, e.vector FROM vector_objects o
        JOIN vector_parts p USING (collection_no, uid, version)
        JOIN vector_entries e USING (collection_no, entry)
        WHERE o.collection_no = %s AND o.uid = ANY(%s::bigint[])
        """,
        (collection_no, list(uids)),
        binary=True,
    )
    rows: list[tuple[Any, ...]] = await cursor.fetchall()
    nearest: dict[int, tuple[int, float]] = {}
    if rows:
        far = _distances(query, [row[2] for row in rows]).tolist()
        for (uid, version, _), distance in zip(rows, far, strict=True):
            if uid not in nearest or distance < nearest[uid][1]:
                nearest[uid] = version, distance
    return nearest
