"""Where stored records meet `domain.matching`: candidates, scores, verdicts, for a chunk or for one entity.

Candidates come from the inverted index either by one SQL query (a single entity) or from a copy of
the useful postings in this process's memory (a chunk); both give the same ones, see `domain.matching`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from towpath.db.engine import Connection, Database
from towpath.entities.domain.matching import (
    DF_CAP,
    CandidateIndex,
    CandidateIndexBuilder,
    Groups,
    MatchModel,
    Pairs,
    closing_pairs,
    default_model,
    fit_model,
    groups,
    resolve,
    score_pool,
)
from towpath.entities.store.indexes import Index, generation, load_model
from towpath.entities.store.pairs import (
    PairGraph,
    ScoredPairs,
    drop_closed,
    read_components,
    save_groups,
    save_verdicts,
    take_dirty,
    write_pairs,
)
from towpath.entities.store.records import Stored, read_stored

Int64s = npt.NDArray[np.int64]

# The first half of the advisory lock under which an index's verdicts are decided.
_DECIDE_LOCK = 0x7061
_COPY_HEADER_BYTES = 19
# psycopg hands over 8 to 64 KiB a piece: some megabytes at a time keep numpy busy and memory flat.
_PIECES_A_FEED = 256
_QUERIES_A_LOOK = 100
_PAIRS_A_LOOK = 50_000
# A group has a pair for every two members: a single write closes small groups, a batch closes larger ones.
MAX_GROUP = 400
MAX_GROUP_AT_ONCE = 40
_POSTING = np.dtype([("fields", ">i2"), ("l0", ">i4"), ("key", ">i8"), ("l1", ">i4"), ("uid", ">i8")])


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs worth comparing: `query[i]` asked and `found[i]` came up."""

    query: Int64s
    found: Int64s


class Models:
    """The models of the indexes that this process works with, parsed once a version."""

    def __init__(self, *, most: int = 32) -> None:
        self._most = most
        self._held: OrderedDict[tuple[int, int, int], MatchModel] = OrderedDict()

    async def get(self, connection: Connection, index: Index) -> MatchModel:
        """The trained model of a generation, or the default one while it has none, in the shape of its configuration.

        A dynamic index may have got fields since the training, so both are part of what is held.
        """
        if index.model_version == 0:
            return default_model(index.config)
        width = len(index.config.fields)
        key = (index.index_no, index.model_version, width)
        if key not in self._held:
            # Another process may have trained meanwhile: what is held is named by what was read.
            version, stored = await load_model(connection, index.index_no)
            if stored is None:
                return default_model(index.config)
            key = (index.index_no, version, width)
            self._held[key] = fit_model(MatchModel.model_validate(stored), index.config)
        self._held.move_to_end(key)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
        return self._held[key]


@dataclass(frozen=True, slots=True)
class LoadedPostings:
    """The useful postings of a generation in memory, and how its sources are numbered."""

    index: CandidateIndex
    sources: dict[str, int]

    def candidates(self, queries: Sequence[Stored]) -> Candidates:
        """Who may be the same as each query."""
        uids = np.array([query.uid for query in queries], dtype=np.int64)
        asked_by = None
        if self.sources:
            numbers = [self.sources.get(query.source, -1) if query.source else -1 for query in queries]
            asked_by = np.array(numbers, dtype=np.int32)
        found = self.index.top(uids, [query.keys for query in queries], asked_by)
        return Candidates(query=uids[found.rows], found=found.uids)


async def load_postings(database: Database, index: Index) -> LoadedPostings:
    """Read the useful postings of a generation into memory, in key order, as a stream.

    Only keys that at least two and at most `DF_CAP` entities share are kept, so that memory stays far
    below the postings' size.
    """
    builder = CandidateIndexBuilder()
    async with database.transaction() as connection:
        entities = (await generation(connection, index.index_no)).entities
        sources = await _number_sources(connection, index, None)
        query = f"""
            COPY (SELECT key, uid FROM entity_postings WHERE index_no = {index.index_no:d} ORDER BY key, uid)
            TO STDOUT (FORMAT binary)
        """
        async with connection.cursor().copy(query) as copy:
            rest = b""
            skip = _COPY_HEADER_BYTES
            pieces: list[bytes] = []
            async for piece in copy:
                pieces.append(bytes(piece)[skip:])
                skip = 0
                if len(pieces) >= _PIECES_A_FEED:
                    rest = await asyncio.to_thread(_feed, builder, rest + b"".join(pieces))
                    pieces = []
            await asyncio.to_thread(_feed, builder, rest + b"".join(pieces))
    built = await asyncio.to_thread(builder.finish, entities, sources.numbered)
    return LoadedPostings(built, sources.numbers)


def _feed(builder: CandidateIndexBuilder, data: bytes) -> bytes:
    whole = len(data) // _POSTING.itemsize
    rows = np.frombuffer(data, dtype=_POSTING, count=whole)
    builder.add(rows["key"].astype(np.int64), rows["uid"].astype(np.int64))
    return data[whole * _POSTING.itemsize :]


@dataclass(frozen=True, slots=True)
class _Sources:
    numbers: dict[str, int]
    numbered: tuple[Int64s, npt.NDArray[np.int32]] | None


async def _number_sources(connection: Connection, index: Index, uids: Int64s | None) -> _Sources:
    """Number the sources of a generation's entities, or of some; only clean sources matter to candidates."""
    if not index.config.clean_sources:
        return _Sources({}, None)
    found = await connection.execute(
        """
        SELECT uid, source FROM entities WHERE index_no = %(index)s AND source IS NOT NULL
        AND (%(all)s OR uid = ANY(%(uids)b::bigint[])) ORDER BY uid
        """,
        {"index": index.index_no, "all": uids is None, "uids": [] if uids is None else uids.tolist()},
        binary=True,
    )
    rows = await found.fetchall()
    numbers = {source: number for number, source in enumerate(sorted({row[1] for row in rows}))}
    known = np.array([row[0] for row in rows], dtype=np.int64)
    return _Sources(numbers, (known, np.array([numbers[row[1]] for row in rows], dtype=np.int32)))


async def find_candidates(connection: Connection, index: Index, queries: Sequence[Stored]) -> Candidates:
    """Candidates by SQL: the postings of the queries' keys make a small index, which is asked as the large one is."""
    found: list[Candidates] = []
    for start in range(0, len(queries), _QUERIES_A_LOOK):
        some = queries[start : start + _QUERIES_A_LOOK]
        keys, uids = await _read_postings(connection, index.index_no, np.unique(np.concatenate([q.keys for q in some])))
        sources = await _number_sources(connection, index, np.unique(uids))
        small = CandidateIndex.build(keys, uids, index.entities, sources.numbered)
        found.append(LoadedPostings(small, sources.numbers).candidates(some))
    if not found:
        return Candidates(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    return Candidates(np.concatenate([c.query for c in found]), np.concatenate([c.found for c in found]))


async def _read_postings(connection: Connection, index_no: int, keys: Int64s) -> tuple[Int64s, Int64s]:
    """Postings of some keys, flat; one more than `DF_CAP` of a key shows that it is too frequent."""
    found = await connection.execute(
        """
        SELECT k.key, p.uids FROM unnest(%(keys)b::bigint[]) k(key) CROSS JOIN LATERAL (
            SELECT string_agg(int8send(uid), ''::bytea) AS uids FROM (
                SELECT uid FROM entity_postings WHERE index_no = %(index)s AND key = k.key LIMIT %(limit)s
            ) posting
        ) p WHERE p.uids IS NOT NULL
        """,
        {"keys": keys.tolist(), "index": index_no, "limit": DF_CAP + 1},
        binary=True,
    )
    rows = [(key, np.frombuffer(uids, dtype=">i8").astype(np.int64)) for key, uids in await found.fetchall()]
    if not rows:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    return np.repeat([key for key, _ in rows], [len(uids) for _, uids in rows]), np.concatenate([u for _, u in rows])


async def score_candidates(
    connection: Connection,
    index: Index,
    model: MatchModel,
    queries: Sequence[Stored],
    candidates: Candidates,
    *,
    in_one_group: bool = False,
) -> ScoredPairs:
    """Compare and score candidate pairs, each once, and keep those that the index lists.

    Args:
        connection: Where the found entities are read.
        index: The generation.
        model: Its model.
        queries: Who asked; what is known of them is not read again.
        candidates: The pairs.
        in_one_group: The pairs stand in one group already: a prior of their own, and the higher threshold.
    """
    left = np.minimum(candidates.query, candidates.found)
    right = np.maximum(candidates.query, candidates.found)
    pairs = np.unique(np.stack([left, right], axis=1), axis=0) if len(left) else np.empty((0, 2), dtype=np.int64)
    known = {stored.uid: stored for stored in queries}
    missing = [uid for uid in np.unique(pairs).tolist() if uid not in known]
    known.update({stored.uid: stored for stored in await read_stored(connection, index, missing)})
    return await asyncio.to_thread(_score, index, model, known, pairs, in_one_group=in_one_group)


def _score(
    index: Index, model: MatchModel, known: dict[int, Stored], pairs: Int64s, *, in_one_group: bool
) -> ScoredPairs:
    uids = np.array(sorted(known), dtype=np.int64)
    # An entity that went meanwhile takes its pairs along.
    pairs = pairs[np.isin(pairs, uids).all(axis=1)]
    places = np.searchsorted(uids, pairs)
    if index.config.clean_sources:
        sources = np.array([known[uid].source or "" for uid in uids.tolist()], dtype=object)[places]
        apart = (sources[:, 0] != sources[:, 1]) | (sources[:, 0] == "")
        pairs, places = pairs[apart], places[apart]
    records = [known[uid].values for uid in uids.tolist()]
    scores = score_pool(model, records, places[:, 0], places[:, 1], in_one_group)
    # What is stored is what is explained: the similarity is computed from the rounded contributions.
    prior = np.full((len(pairs), 1), scores.prior_bits, dtype=np.float32)
    bits = np.concatenate([prior, scores.contributions.astype(np.float32)], axis=1)
    similarity = similarity_of(bits)
    config = index.config
    keep = similarity >= (config.duplicate_threshold if in_one_group else config.candidate_threshold)
    return ScoredPairs(left=pairs[keep, 0], right=pairs[keep, 1], similarity=similarity[keep], bits=bits[keep])


def similarity_of(bits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The probability whose log-odds, in bits, a row of prior and contributions adds up to."""
    total = bits.astype(np.float64).sum(axis=1)
    return np.asarray(1.0 / (1.0 + np.exp2(-total)), dtype=np.float64)


async def store_scores(connection: Connection, index: Index, pairs: ScoredPairs) -> None:
    """Write scored pairs with the verdict of the threshold alone; `decide` has the last word."""
    await write_pairs(
        connection,
        index.index_no,
        pairs,
        duplicate=pairs.similarity >= index.config.duplicate_threshold,
        model_version=index.model_version,
    )


async def decide_all(connection: Connection, index: Index, model: MatchModel) -> int:
    """Decide verdicts and groups of every component that changed, in the caller's transaction.

    Returns:
        How many verdicts changed.
    """
    # Two deciders of one component would each overwrite the other's half with a stale view.
    await connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_DECIDE_LOCK, index.index_no))
    return await _decide_from(connection, index, model, await take_dirty(connection, index.index_no))


async def decide_near(connection: Connection, index: Index, model: MatchModel, uids: Sequence[int]) -> None:
    """Decide the components of a few entities, for a single write; waits for nobody.

    While a batch decides the whole index, the marks stay for the next decision and the verdicts are
    those of the threshold.
    """
    locked = await connection.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", (_DECIDE_LOCK, index.index_no))
    if (await locked.fetchone() or (False,))[0]:
        await take_dirty(connection, index.index_no, uids)
        await _decide_from(connection, index, model, uids, largest=MAX_GROUP_AT_ONCE)


async def _decide_from(
    connection: Connection, index: Index, model: MatchModel, seeds: Sequence[int], *, largest: int = MAX_GROUP
) -> int:
    """Verdicts, groups, and the pairs that close groups of up to `largest` members, for the components of `seeds`."""
    if not seeds:
        return 0
    graph = await read_components(connection, index.index_no, seeds)
    verdicts, found = await asyncio.to_thread(_decide, graph, index, model)
    members, labels = _memberships(graph, found)
    _, back, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # What follows from a larger group stays as it is until a batch decides.
    small = members[(labels == 0) | (sizes[back] <= largest)]
    await drop_closed(connection, index.index_no, small)
    if not index.config.clean_sources:
        # With clean sources one-to-one has decided; closing a group would undo it.
        closed = await _score_closing(connection, index, model, *closing_pairs(found, _pairs(graph), verdicts, largest))
        known = _among(graph, closed)
        verdicts |= known.in_graph
        fresh = closed.only(known.fresh)
        every = np.ones(len(fresh), dtype=np.bool_)
        await write_pairs(
            connection, index.index_no, fresh, duplicate=every, model_version=index.model_version, closed=True
        )
        await take_dirty(connection, index.index_no, np.unique(np.concatenate([fresh.left, fresh.right])).tolist())
    changed = await save_verdicts(connection, index.index_no, graph, verdicts)
    await save_groups(connection, index.index_no, members, labels)
    return changed


async def _score_closing(
    connection: Connection, index: Index, model: MatchModel, left: Int64s, right: Int64s
) -> ScoredPairs:
    """Score the pairs that close groups, a part at a time, and keep those that reach the threshold."""
    parts: list[ScoredPairs] = []
    for at in range(0, max(len(left), 1), _PAIRS_A_LOOK):
        some = Candidates(left[at : at + _PAIRS_A_LOOK], right[at : at + _PAIRS_A_LOOK])
        parts.append(await score_candidates(connection, index, model, [], some, in_one_group=True))
    return ScoredPairs(
        left=np.concatenate([part.left for part in parts]),
        right=np.concatenate([part.right for part in parts]),
        similarity=np.concatenate([part.similarity for part in parts]),
        bits=np.concatenate([part.bits for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """Which pairs of the graph were closed, and which closed pairs the graph does not have."""

    in_graph: npt.NDArray[np.bool_]
    fresh: npt.NDArray[np.bool_]


def _among(graph: PairGraph, closed: ScoredPairs) -> _Known:
    stored = list(zip(graph.left.tolist(), graph.right.tolist(), strict=True))
    new = list(zip(closed.left.tolist(), closed.right.tolist(), strict=True))
    closing, known = set(new), set(stored)
    return _Known(
        in_graph=np.fromiter((pair in closing for pair in stored), dtype=np.bool_, count=len(stored)),
        fresh=np.fromiter((pair not in known for pair in new), dtype=np.bool_, count=len(new)),
    )


def _pairs(graph: PairGraph) -> Pairs:
    return Pairs(graph.left, graph.right, graph.similarity)


def _decide(graph: PairGraph, index: Index, model: MatchModel) -> tuple[npt.NDArray[np.bool_], Groups]:
    sources = None
    if index.config.clean_sources:
        numbers = {name: number for number, name in enumerate(sorted({s for s in graph.sources if s is not None}))}
        # An entity without a source is a source of its own: it may be anybody's duplicate.
        numbered = [
            numbers[source] if source is not None else len(numbers) + place
            for place, source in enumerate(graph.sources)
        ]
        of = np.array(numbered, dtype=np.int32)
        sources = of[np.searchsorted(graph.uids, graph.left)], of[np.searchsorted(graph.uids, graph.right)]
    verdicts = resolve(_pairs(graph), index.config, model, sources)
    found = groups(_pairs(graph), verdicts)
    if not index.config.clean_sources and len(graph.left):
        # A pair that the groups have torn apart is no duplicate.
        places = np.searchsorted(found.uids, graph.left), np.searchsorted(found.uids, graph.right)
        verdicts = verdicts & (found.labels[places[0]] == found.labels[places[1]])
    return verdicts, found


def _memberships(graph: PairGraph, found: Groups) -> tuple[Int64s, Int64s]:
    """The group of every entity of the graph; 0 for those that stand alone."""
    labels, counts = np.unique(found.labels, return_counts=True)
    large = np.isin(found.labels, labels[counts > 1])
    of = np.zeros(len(graph.uids), dtype=np.int64)
    of[np.searchsorted(graph.uids, found.uids[large])] = found.labels[large]
    return graph.uids, of
