"""Which stored entities may be the same as a query: an inverted index over blocking keys.

The semantics, which the SQL of the single upsert follows to the letter:

1. `df` of a key is the number of stored entities that hold it, the query itself included (it is stored first).
2. Keys with `df < 2` or `df > DF_CAP` are left out.
3. The query's keys are taken rarest first, ties by key value, while the running sum of `df`, this key's
   included, stays within `POSTING_BUDGET`.
4. Each other entity gets the sum of `key_weight(df, n)` over the taken keys that it shares; with clean sources,
   entities of the query's own source are left out.
5. The `TOP_K` heaviest are the candidates; ties by uid, the smaller first.

Weights are integers, so that sums do not depend on the order of adding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sparse_dot_topn import sp_matmul_topn

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]

TOP_K = 12
"""Candidates of one query."""
DF_CAP = 1_000
"""A key that more entities hold tells nothing and costs much."""
POSTING_BUDGET = 3_000
"""Postings read for one query."""

_SPARE = 40
"""Candidates read beyond the top, to see whether a tie crosses its edge."""

# A row, a weight and a column in one number: sorting numbers is several times as fast as sorting by three columns.
_COLUMN_BITS = 31
_COLUMN_MASK = (1 << _COLUMN_BITS) - 1
# An entity has `MAX_KEYS` keys at most, and none weighs more than 8 x 31 bits.
_WEIGHT_BITS = 16
_WEIGHT_MASK = (1 << _WEIGHT_BITS) - 1
_ROWS_AT_ONCE = 1 << 15

_PART_BITS = 6
_OPEN_POSTINGS = 1 << 20


def key_weight(df: int, n: int) -> int:
    """Weight of a key that `df` of `n` entities hold: eighths of a bit of rarity, at least 1.

    SQL answers `df` for each key of a query; the weight is computed here (or looked up in `key_weights`).
    """
    return max(1, round(8.0 * math.log2((n + 1) / df))) if df > 0 else 0


@lru_cache(maxsize=8)
def key_weights(n: int) -> Int32s:
    """`key_weight` for every `df` from 0 to `DF_CAP`, as an array to index with `df`."""
    return np.array([key_weight(df, n) for df in range(DF_CAP + 1)], dtype=np.int32)


class TopCandidates(NamedTuple):
    """Candidates of many queries, ordered by query, then weight falling, then uid.

    Attributes:
        rows: index of the query in the call.
        uids: the candidate.
        weights: sum of key weights.
    """

    rows: Int64s
    uids: Int64s
    weights: Int64s


class Csr(NamedTuple):
    """Keys of many entities: those of entity `i` are `keys[starts[i]:starts[i + 1]]`."""

    keys: Int64s
    starts: Int64s

    @classmethod
    def of(cls, lists: Sequence[Int64s]) -> Csr:
        """Join one key array an entity."""
        starts = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(keys) for keys in lists], out=starts[1:])
        keys = np.concatenate(lists) if lists else np.empty(0, dtype=np.int64)
        return cls(keys.astype(np.int64, copy=False), starts)

    @classmethod
    def empty(cls, entities: int) -> Csr:
        """Return entities without keys."""
        return cls(np.empty(0, dtype=np.int64), np.zeros(entities + 1, dtype=np.int64))

    def rows(self, rows: slice) -> Csr:
        """Return a run of entities."""
        starts = self.starts[rows.start : rows.stop + 1]
        return Csr(self.keys[starts[0] : starts[-1]], starts - starts[0])


class CandidateIndexBuilder:
    """Takes entities with their keys, block by block in any order, and keeps the keys that can make a candidate.

    Nearly half of all keys are held by one entity alone, and most of the memory of an index under construction is for
    these. So postings are parted by the first bits of their keys as they come, and sorted and thinned part by part.
    """

    def __init__(self) -> None:
        self._uids: list[Int64s] = []
        self._entities = 0
        self._open_keys: list[Int64s] = []
        self._open_owners: list[Int32s] = []
        self._open = 0
        self._parts: list[list[tuple[Int64s, Int32s]]] = [[] for _ in range(1 << _PART_BITS)]

    def add(self, uids: Int64s, keys: Csr) -> None:
        """Add entities, no uid twice in the whole index, and the keys of each."""
        owners = np.arange(self._entities, self._entities + len(uids), dtype=np.int32)
        self._uids.append(np.asarray(uids, dtype=np.int64))
        self._entities += len(uids)
        self._post(keys.keys, np.repeat(owners, np.diff(keys.starts)))

    def _post(self, keys: Int64s, owners: Int32s) -> None:
        self._open_keys.append(keys)
        self._open_owners.append(owners)
        self._open += len(keys)
        if self._open >= _OPEN_POSTINGS:
            self._part()

    def _part(self) -> None:
        keys, owners = np.concatenate(self._open_keys), np.concatenate(self._open_owners)
        self._open_keys, self._open_owners, self._open = [], [], 0
        # Keys are signed: the part of the lowest ones comes first.
        numbers = (keys >> (64 - _PART_BITS)) + (len(self._parts) >> 1)
        order = np.argsort(numbers.astype(np.uint8), kind="stable")
        ends = np.cumsum(np.bincount(numbers, minlength=len(self._parts)))
        cuts = ends[:-1].tolist()
        pieces = zip(np.split(keys[order], cuts), np.split(owners[order], cuts), strict=True)
        for part, (some_keys, some_owners) in zip(self._parts, pieces, strict=True):
            # Copies, since a view would keep the whole block.
            part.append((some_keys.copy(), some_owners.copy()))

    def finish(self, n: int, sources: tuple[Int64s, Int32s] | None = None) -> CandidateIndex:
        """Build the index.

        Args:
            n: entities stored in all.
            sources: with clean sources, uids in rising order and the source number of each.
        """
        nothing = np.empty(0, dtype=np.int64)
        uids = np.concatenate(self._uids) if self._uids else nothing
        self._uids = []
        order = np.argsort(uids, kind="stable")
        column_of_owner = np.empty(len(uids), dtype=np.int32)
        column_of_owner[order] = np.arange(len(uids), dtype=np.int32)
        uids = uids[order]
        if self._open and any(self._parts):
            self._part()
        elif self._open:
            # Few postings stay in one part.
            self._parts = [[(np.concatenate(self._open_keys), np.concatenate(self._open_owners))]]
        thinned: list[_Thinned] = []
        for part in self._parts:
            if part:
                thinned.append(_thin(part))
            part.clear()
        keys = np.concatenate([nothing, *(part.keys for part in thinned)])
        counts = np.concatenate([nothing, *(part.counts for part in thinned)])
        too_frequent = np.concatenate([nothing, *(part.too_frequent for part in thinned)])
        columns = column_of_owner[np.concatenate([np.empty(0, np.int32), *(part.owners for part in thinned)])]
        starts = np.zeros(len(keys) + 1, dtype=np.int64)
        np.cumsum(counts, out=starts[1:])
        source_of: Int32s | None = None
        if sources is not None:
            source_uids, numbers = sources
            source_of = np.full(len(uids), -1, dtype=np.int32)
            if len(source_uids):
                at = np.minimum(np.searchsorted(source_uids, uids), len(source_uids) - 1)
                source_of = np.where(source_uids[at] == uids, numbers[at], -1).astype(np.int32)
        return CandidateIndex(keys, starts, columns, uids, n, source_of, too_frequent)


class _Thinned(NamedTuple):
    """What is left of a part: its usable keys in rising order, how many hold each, and who; and the keys cut off."""

    keys: Int64s
    counts: Int64s
    owners: Int32s
    too_frequent: Int64s


def _thin(part: list[tuple[Int64s, Int32s]]) -> _Thinned:
    keys = np.concatenate([some_keys for some_keys, _ in part])
    owners = np.concatenate([some_owners for _, some_owners in part])
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] - 1))
    counts = np.diff(starts, append=len(keys))
    is_usable = (counts >= 2) & (counts <= DF_CAP)
    return _Thinned(
        keys[starts[is_usable]],
        counts[is_usable],
        owners[order[np.repeat(is_usable, counts)]],
        keys[starts[counts > DF_CAP]],
    )


class CandidateIndex:
    """Answers the heaviest candidates of many queries at once, within a bounded amount of memory."""

    def __init__(
        self,
        keys: Int64s,
        starts: Int64s,
        columns: Int32s,
        uids: Int64s,
        n: int,
        source_of: Int32s | None,
        too_frequent: Int64s,
    ) -> None:
        self._keys = keys
        self._counts = np.diff(starts).astype(np.int32)
        self._too_frequent = too_frequent
        self._uids = uids
        self._n = n
        self._source_of = source_of
        unit_weights = np.ones(len(columns), dtype=np.int32)
        index_type = np.int32 if len(columns) < 2**31 else np.int64
        self._postings = sparse.csr_matrix(
            (unit_weights, columns, starts.astype(index_type)), shape=(len(keys), max(len(uids), 1))
        )
        self._by_source: dict[int, sparse.csr_matrix] = {}

    @classmethod
    def build(cls, keys: Int64s, uids: Int64s, n: int, sources: tuple[Int64s, Int32s] | None = None) -> CandidateIndex:
        """Build from flat postings in any order; see `CandidateIndexBuilder.finish` for `n` and `sources`."""
        builder = CandidateIndexBuilder()
        holders, owners = np.unique(np.asarray(uids, dtype=np.int64), return_inverse=True)
        builder.add(holders, Csr.empty(len(holders)))
        builder._post(np.asarray(keys, dtype=np.int64), owners.astype(np.int32))
        return builder.finish(n, sources)

    @property
    def nbytes(self) -> int:
        """Memory of the index in bytes."""
        matrices = [self._postings, *self._by_source.values()]
        matrix_bytes = sum(m.data.nbytes + m.indices.nbytes + m.indptr.nbytes for m in matrices)
        return int(matrix_bytes + self._keys.nbytes + self._counts.nbytes + self._uids.nbytes)

    def count_holders(self, keys: Int64s) -> Int64s:
        """Count the entities that hold each key: 0 where it is fewer than two, `DF_CAP` + 1 where it is too many."""
        counts = np.zeros(len(keys), dtype=np.int64)
        if len(self._keys):
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            counts = np.where(self._keys[at] == keys, self._counts[at], 0).astype(np.int64)
        counts[np.isin(keys, self._too_frequent)] = DF_CAP + 1
        return counts

    def top(
        self,
        query_uids: Int64s,
        query_keys: Sequence[Int64s] | Csr,
        query_sources: Int32s | None = None,
        k: int = TOP_K,
    ) -> TopCandidates:
        """Return the `k` heaviest candidates of each query, never the query itself.

        Args:
            query_uids: uid of each query.
            query_keys: keys of each query.
            query_sources: source number of each query; candidates of the same source are left out.
                Needs an index built with `sources`; a negative number means no source and leaves out nothing.
            k: candidates for one query.
        """
        csr = query_keys if isinstance(query_keys, Csr) else Csr.of(query_keys)
        query_uids = np.asarray(query_uids, dtype=np.int64)
        if not len(self._keys) or not len(csr.keys):
            return TopCandidates(*(np.empty(0, dtype=np.int64) for _ in range(3)))
        parts: list[TopCandidates] = []
        for start in range(0, len(query_uids), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            part = self._top_of_some(
                query_uids[rows], csr.rows(rows), None if query_sources is None else query_sources[rows], k
            )
            parts.append(TopCandidates(part.rows + start, part.uids, part.weights))
        return TopCandidates(*(np.concatenate([part[i] for part in parts]) for i in range(3)))

    def _top_of_some(self, query_uids: Int64s, csr: Csr, query_sources: Int32s | None, k: int) -> TopCandidates:
        at = np.searchsorted(self._uids, query_uids)
        at[at == len(self._uids)] = 0
        own_columns = np.where(self._uids[at] == query_uids, at, -1)
        queries = self._query_matrix(csr)
        if query_sources is None or self._source_of is None:
            parts = [self._top_of(np.arange(len(query_uids)), own_columns, queries, self._postings, k)]
        else:
            parts = []
            for source in np.unique(query_sources):
                rows = np.flatnonzero(query_sources == source)
                parts.append(self._top_of(rows, own_columns, queries[rows], self._outside(int(source)), k))
        packed = parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))
        local, columns, weights = _unpack(packed)
        return TopCandidates(local, self._uids[columns], weights)

    def _outside(self, source: int) -> sparse.csr_matrix:
        """Postings of the other sources. Kept for a few sources; with many, made again for each call."""
        if source < 0 or self._source_of is None:
            return self._postings
        if source not in self._by_source:
            allowed = self._source_of != source
            is_allowed = allowed[self._postings.indices]
            running = np.zeros(len(is_allowed) + 1, dtype=self._postings.indptr.dtype)
            np.cumsum(is_allowed, out=running[1:])
            other = sparse.csr_matrix(
                (self._postings.data[is_allowed], self._postings.indices[is_allowed], running[self._postings.indptr]),
                shape=self._postings.shape,
            )
            if len(self._by_source) >= 4:
                self._by_source.pop(next(iter(self._by_source)))
            self._by_source[source] = other
        return self._by_source[source]

    def _query_matrix(self, csr: Csr) -> sparse.csr_matrix:
        """Queries x keys with the weights of the keys that the budget takes."""
        lengths = np.diff(csr.starts)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        # Looked up in their order, neighbours are found where the last one was.
        order = np.argsort(csr.keys)
        at = np.empty(len(order), dtype=np.int64)
        at[order] = np.searchsorted(self._keys, csr.keys[order])
        at[at == len(self._keys)] = 0
        is_indexed = self._keys[at] == csr.keys
        rows, at = rows[is_indexed], at[is_indexed]
        # By row, then rarity; positions of keys are in key order, so they break ties of df as the keys do.
        df_bits = DF_CAP.bit_length()
        packed = np.sort((((rows << df_bits) | self._counts[at]) << _COLUMN_BITS) | at)
        rows, at = packed >> (df_bits + _COLUMN_BITS), packed & _COLUMN_MASK
        df = self._counts[at]
        running = np.cumsum(df, dtype=np.int64)
        first = np.searchsorted(rows, np.arange(len(lengths)))
        before = np.concatenate([[0], running])[first]
        within_budget = running - before[rows] <= POSTING_BUDGET
        rows, at, df = rows[within_budget], at[within_budget], df[within_budget]
        starts = np.searchsorted(rows, np.arange(len(lengths) + 1)).astype(np.int32)
        weights = key_weights(self._n)[df]
        return sparse.csr_matrix((weights, at.astype(np.int32), starts), shape=(len(lengths), len(self._keys)))

    def _top_of(
        self, rows: Int64s, own_columns: Int64s, queries: sparse.csr_matrix, postings: sparse.csr_matrix, k: int
    ) -> Int64s:
        """Return the heaviest candidates of some rows, packed and in order; `queries` has only these rows."""
        # One more than asked, since the query finds itself, and spare ones to see ties at the edge.
        width = k + 1 + _SPARE
        product = sp_matmul_topn(queries, postings, top_n=width, sort=False, threshold=0, n_threads=1)
        packed, in_top, ends = _rank(product, rows, own_columns, k)
        # A full row whose lightest kept weight reaches down to the edge may hide a smaller uid of that weight.
        counts = np.diff(ends, prepend=0)
        at = np.flatnonzero((np.diff(product.indptr) >= width) & (counts >= k))
        weights = -(packed >> _COLUMN_BITS) & _WEIGHT_MASK
        unsure = at[weights[ends[at] - counts[at] + k - 1] == weights[ends[at] - 1]]
        if not len(unsure):
            return packed[in_top]
        is_unsure = np.zeros(len(rows), dtype=bool)
        is_unsure[unsure] = True
        sure = packed[in_top & ~np.repeat(is_unsure, counts)]
        exact, in_exact_top, _ = _rank((queries[unsure] @ postings).tocsr(), rows[unsure], own_columns, k)
        return np.sort(np.concatenate([sure, exact[in_exact_top]]))


def _rank(
    product: sparse.csr_matrix, rows: Int64s, own_columns: Int64s, k: int
) -> tuple[Int64s, npt.NDArray[np.bool_], Int64s]:
    """Order the entries of a product of queries and postings by row, then weight falling, then column.

    Args:
        product: its row `i` is row `rows[i]` of the call.
        rows: rising.
        own_columns: column of the query itself by row of the call, which is left out; -1 where it has none.
        k: candidates of one query.

    Returns:
        The entries, packed; which of them are among the first `k` of their row; where each row ends.
    """
    row = np.repeat(rows, np.diff(product.indptr))
    columns = product.indices.astype(np.int64)
    keep = columns != own_columns[row]
    row, columns = row[keep], columns[keep]
    # The lighter, the larger: numbers of `_WEIGHT_BITS` bits turned around.
    lightness = -product.data[keep].astype(np.int64) & _WEIGHT_MASK
    packed = np.sort((((row << _WEIGHT_BITS) | lightness) << _COLUMN_BITS) | columns)
    ends = np.searchsorted(packed, (rows + 1) << (_WEIGHT_BITS + _COLUMN_BITS))
    counts = np.diff(ends, prepend=0)
    rank = np.arange(len(packed)) - np.repeat(ends - counts, counts)
    return packed, rank < k, ends


def _unpack(packed: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Return rows, columns and weights."""
    weights = -(packed >> _COLUMN_BITS) & _WEIGHT_MASK
    return packed >> (_WEIGHT_BITS + _COLUMN_BITS), packed & _COLUMN_MASK, weights
