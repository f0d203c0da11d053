"""Distances of parts become distances of objects, and a page of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
PartDistance = tuple[int, int, float]
"""`uid`, `version`, cosine distance."""


def normalised(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def cosine_distances(query: npt.NDArray[np.float32], vectors: Vectors) -> npt.NDArray[np.float64]:
    """1 minus the cosine, for each row of normalised `vectors`; 0 to 2."""
    return np.asarray(np.clip(1.0 - (vectors @ query).astype(np.float64), 0.0, 2.0))


def nearest_parts(parts: Iterable[PartDistance]) -> dict[tuple[int, int], float]:
    """The least distance of each version of each object."""
    nearest: dict[tuple[int, int], float] = {}
    for uid, version, distance in parts:
        key = (uid, version)
        if distance < nearest.get(key, np.inf):
            nearest[key] = distance
    return nearest
