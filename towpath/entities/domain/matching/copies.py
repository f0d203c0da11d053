"""Copies: entities with the same values in every field, of which there may be any number.

The keys that copies share are cut off where too many entities hold them, and of the rest an entity keeps its best
candidates only. So copies are also linked by their order: each one to its next neighbours by uid, to a few on either
side, so that what one pair says does not decide the group alone. The links depend on nothing but who is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.candidates import TOP_K

Int64s = npt.NDArray[np.int64]

LINKS_A_SIDE = 3
"""Neighbours on either side that a copy is linked to."""
FEW_COPIES = TOP_K + 1
"""So many copies all find each other as candidates."""


def link_across(gaps: Iterable[Sequence[int]]) -> tuple[Int64s, Int64s]:
    """Link the copies on both sides of one that is gone.

    Args:
        gaps: For each that is gone, the uids of its neighbours that are left.

    Returns:
        Uids of both sides of the pairs, each pair once for each gap that it spans.
    """
    pairs: list[tuple[int, int]] = []
    for gap in gaps:
        uids = sorted(gap)
        for place, uid in enumerate(uids):
            pairs += [(uid, neighbour) for neighbour in uids[place + 1 : place + 1 + LINKS_A_SIDE]]
    flat = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return flat[:, 0].copy(), flat[:, 1].copy()
