"""The plainest peer: cosine of TF-IDF over the letters of a whole record."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bench.datasets import DataSet
from towpath.demo.persons import Pair, ordered

LENGTHS = (3, 4)
MIN_COSINE = 0.1
MAX_NEIGHBOURS = 300
MAX_PAIRS = 1_000_000
"""Both far above what is true in any set here, so that nothing is lost that a threshold could find."""
Int64s = npt.NDArray[np.int64]


def cosines(data: DataSet, *, is_declared: bool) -> dict[Pair, float]:
    """Compare records by their sequences of three and four letters.

    Args:
        data: The records; all fields are one text.
        is_declared: Compare only across sources, as one who knows that each is free of duplicates would.

    Returns:
        The cosine of each pair above `MIN_COSINE`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sparse_dot_topn import sp_matmul_topn

    names = [field.name for field in data.fields]
    texts = [" ".join(str(row[name]) for name in names if row.get(name) is not None).lower() for row in data.rows]
    vectors = TfidfVectorizer(
        analyzer="char_wb", ngram_range=LENGTHS, sublinear_tf=True, min_df=2, dtype=np.float32
    ).fit_transform(texts)
    every = np.arange(len(texts))
    if is_declared and data.linked:
        sources = np.array([row["source"] for row in data.rows])
        parts = [every[sources == source] for source in sorted(set(sources))]
        blocks = [(a, b) for at, a in enumerate(parts) for b in parts[at + 1 :]]
    else:
        blocks = [(every, every)]
    rows: list[Int64s] = []
    columns: list[Int64s] = []
    values: list[Any] = []
    for left, right in blocks:
        product: Any = sp_matmul_topn(
            vectors[left], vectors[right].T.tocsr(), top_n=MAX_NEIGHBOURS, threshold=MIN_COSINE, n_threads=1
        ).tocoo()
        first, second = left[product.row], right[product.col]
        # Within one list each pair comes from both sides, unless it is beyond the neighbours of one of them.
        is_pair = first != second
        rows.append(np.minimum(first, second)[is_pair])
        columns.append(np.maximum(first, second)[is_pair])
        values.append(product.data[is_pair])
    cosine = np.concatenate(values)
    best = np.argsort(-cosine, kind="stable")[:MAX_PAIRS]
    ids = [row["id"] for row in data.rows]
    return {
        ordered(ids[row], ids[column]): value
        for row, column, value in zip(
            np.concatenate(rows)[best].tolist(), np.concatenate(columns)[best].tolist(), cosine[best].tolist(),
            strict=True,
        )
    }  # fmt: skip
