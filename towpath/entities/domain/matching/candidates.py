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


class CandidateIndexBuilder:
    """Takes postings in key order, batch by batch, and keeps only those that can make a candidate."""

    def __init__(self) -> None:
        self._keys: list[Int64s] = []
        self._counts: list[Int64s] = []
        self._uids: list[Int64s] = []
        self._too_frequent: list[Int64s] = []
        self._open_keys: Int64s = np.empty(0, dtype=np.int64)
        self._open_uids: Int64s = np.empty(0, dtype=np.int64)

    def add(self, keys: Int64s, uids: Int64s) -> None:
        """Add postings; every key of this batch is at least as large as any key of an earlier one.

        Raises:
            ValueError: the batch is not in order, or the arrays differ in length.
        """
        if len(keys) != len(uids):
            raise ValueError("keys and uids differ in length")
        if not len(keys):
            return
        keys = np.concatenate([self._open_keys, np.asarray(keys, dtype=np.int64)])
        uids = np.concatenate([self._open_uids, np.asarray(uids, dtype=np.int64)])
        if np.any(keys[1:] < keys[:-1]):
            raise ValueError("postings must come in key order")
        # The last key may go on in the next batch.
        closed = int(np.searchsorted(keys, keys[-1], side="left"))
        self._close(keys[:closed], uids[:closed])
        self._open_keys, self._open_uids = keys[closed:], uids[closed:]

    def _close(self, keys: Int64s, uids: Int64s) -> None:
        if not len(keys):
            return
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        counts = np.diff(np.append(starts, len(keys)))
        is_usable = (counts >= 2) & (counts <= DF_CAP)
        self._keys.append(keys[starts[is_usable]])
        self._counts.append(counts[is_usable].astype(np.int64))
        self._uids.append(uids[np.repeat(is_usable, counts)])
        self._too_frequent.append(keys[starts[counts > DF_CAP]])

    def finish(self, n: int, sources: tuple[Int64s, Int32s] | None = None) -> CandidateIndex:
        """Build the index.

        Args:
            n: entities stored in all.
            sources: with clean sources, uids in rising order and the source number of each.
        """
        self._close(self._open_keys, self._open_uids)
        nothing = np.empty(0, dtype=np.int64)
        keys = np.concatenate(self._keys) if self._keys else nothing
        counts = np.concatenate(self._counts) if self._counts else nothing
        posted = np.concatenate(self._uids) if self._uids else nothing
        too_frequent = np.concatenate(self._too_frequent) if self._too_frequent else nothing
        self._keys, self._counts, self._uids, self._too_frequent = [], [], [], []
        uids = np.unique(posted)
        columns = np.searchsorted(uids, posted).astype(np.int32)
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
        self._too_frequent = too_frequent
        self._counts = np.diff(starts)
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
        order = np.lexsort((uids, keys))
        builder = CandidateIndexBuilder()
        builder.add(np.asarray(keys)[order], np.asarray(uids)[order])
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
        if not len(self._uids) or not len(csr.keys):
            return TopCandidates(*(np.empty(0, dtype=np.int64) for _ in range(3)))
        queries = self._query_matrix(csr)
        if query_sources is None or self._source_of is None:
            parts = [self._top_of(np.arange(len(query_uids)), query_uids, queries, self._postings, k)]
        else:
            parts = []
            for source in np.unique(query_sources):
                rows = np.flatnonzero(query_sources == source)
                parts.append(self._top_of(rows, query_uids, queries[rows], self._outside(int(source)), k))
        rows, columns, weights = (np.concatenate([part[i] for part in parts]) for i in range(3))
        order = np.lexsort((columns, -weights, rows))
        return TopCandidates(rows[order], self._uids[columns[order]], weights[order])

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
        at = np.searchsorted(self._keys, csr.keys)
        at[at == len(self._keys)] = 0
        is_indexed = self._keys[at] == csr.keys if len(self._keys) else np.zeros(len(at), dtype=bool)
        rows, at = rows[is_indexed], at[is_indexed]
        df = self._counts[at]
        # Positions of keys are in key order, so they break ties of df as the keys themselves do.
        order = np.lexsort((at, df, rows))
        rows, at, df = rows[order], at[order], df[order]
        running = np.cumsum(df)
        first = np.searchsorted(rows, np.arange(len(lengths)))
        before = np.concatenate([[0], running])[first]
        within_budget = running - before[rows] <= POSTING_BUDGET
        rows, at, df = rows[within_budget], at[within_budget], df[within_budget]
        starts = np.searchsorted(rows, np.arange(len(lengths) + 1)).astype(np.int32)
        weights = key_weights(self._n)[df]
        return sparse.csr_matrix((weights, at.astype(np.int32), starts), shape=(len(lengths), len(self._keys)))

    def _top_of(
        self, rows: Int64s, query_uids: Int64s, queries: sparse.csr_matrix, postings: sparse.csr_matrix, k: int
    ) -> tuple[Int64s, Int64s, Int64s]:
        # One more than asked, since the query finds itself, and spare ones to see ties at the edge.
        width = k + 1 + _SPARE
        product = sp_matmul_topn(queries, postings, top_n=width, sort=False, threshold=0, n_threads=1)
        local = np.repeat(np.arange(len(rows)), np.diff(product.indptr))
        columns = product.indices.astype(np.int64)
        weights = product.data.astype(np.int64)
        keep = self._uids[columns] != query_uids[rows[local]]
        local, columns, weights = local[keep], columns[keep], weights[keep]
        order = np.lexsort((columns, -weights, local))
        local, columns, weights = local[order], columns[order], weights[order]
        rank = np.arange(len(local)) - np.searchsorted(local, local)
        # A full row whose lightest kept weight reaches down to the edge may hide a smaller uid of that weight.
        full = np.diff(product.indptr) >= width
        edge = rank == k - 1
        lightest = np.full(len(rows), -1, dtype=np.int64)
        np.maximum.at(lightest, local[edge], weights[edge])
        floor = np.full(len(rows), np.iinfo(np.int64).max)
        np.minimum.at(floor, local, weights)
        unsure = np.flatnonzero(full & (lightest == floor))
        in_top = rank < k
        if len(unsure):
            in_top &= ~np.isin(local, unsure)
            exact = self._exact_top(rows[unsure], query_uids, queries[unsure], postings, k)
            return (
                np.concatenate([rows[local[in_top]], exact[0]]),
                np.concatenate([columns[in_top], exact[1]]),
                np.concatenate([weights[in_top], exact[2]]),
            )
        return rows[local[in_top]], columns[in_top], weights[in_top]

    def _exact_top(
        self, rows: Int64s, query_uids: Int64s, queries: sparse.csr_matrix, postings: sparse.csr_matrix, k: int
    ) -> tuple[Int64s, Int64s, Int64s]:
        product = (queries @ postings).tocsr()
        local = np.repeat(np.arange(len(rows)), np.diff(product.indptr))
        columns = product.indices.astype(np.int64)
        weights = product.data.astype(np.int64)
        keep = self._uids[columns] != query_uids[rows[local]]
        local, columns, weights = local[keep], columns[keep], weights[keep]
        order = np.lexsort((columns, -weights, local))
        local, columns, weights = local[order], columns[order], weights[order]
        in_top = np.arange(len(local)) - np.searchsorted(local, local) < k
        return rows[local[in_top]], columns[in_top], weights[in_top]
