"""Copies: entities with the same values in every field, of which there may be any number.

The keys that copies share are cut off where too many entities hold them, and of the rest an entity keeps its best
candidates only. So copies are also linked by their order: each one to its next neighbours by uid, to a few on either
side, so that what one pair says does not decide the group alone; and to landmarks, so that few steps lead from any copy
to any other, as in a skip list. Uids are hashes: one in eight ends in three zero bits, one in 64 in six, and so on,
which is its height. The links depend on nothing but who is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.candidates import TOP_K

Int64s = npt.NDArray[np.int64]

LINKS_A_SIDE = 2
"""Neighbours on either side that a copy is linked to."""
MAX_HEIGHT = 4
"""Of landmarks: from one of this height to the next there are some 4,000 copies."""
_BITS_A_STEP = 3
FEW_COPIES = TOP_K + 1
"""So many copies all find each other as candidates."""


def find_landmark_masks(uids: Int64s) -> tuple[Int64s, Int64s]:
    """Return which landmarks copies are linked to: the next one that is higher than they are, and one as high.

    Args:
        uids: The copies.

    Returns:
        Places in `uids`, and beside each a mask: landmarks are the next uids, on either side, whose bits in it are 0.
    """
    masks = (np.int64(1) << (_BITS_A_STEP * np.arange(MAX_HEIGHT + 2, dtype=np.int64))) - 1
    heights = np.zeros(len(uids), dtype=np.int64)
    for height in range(1, MAX_HEIGHT + 1):
        heights[(uids & masks[height]) == 0] = height
    higher, as_high = np.flatnonzero(heights < MAX_HEIGHT), np.flatnonzero(heights > 0)
    places = np.concatenate([higher, as_high])
    return places, masks[np.concatenate([heights[higher] + 1, heights[as_high]])]


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
