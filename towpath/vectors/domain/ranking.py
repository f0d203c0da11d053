"""Distances between vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
DECIMALS = 6
"""Of a distance, in answers and in their order: what differs beyond is rounding, and counts as equal."""


def normalise(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def cosine_distances(query: npt.NDArray[np.float32], vectors: Vectors) -> npt.NDArray[np.float64]:
    """1 minus the cosine, for each row of normalised `vectors`; 0 to 2."""
    return round_distances(1.0 - (vectors @ query).astype(np.float64))


def round_distances(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Cosine distances without what is mere rounding."""
    return np.asarray(np.round(np.clip(distances, 0.0, 2.0), DECIMALS), dtype=np.float64)
