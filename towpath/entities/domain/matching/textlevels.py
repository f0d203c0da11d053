"""Likeness of texts, cut into levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.levels import TEXT_BINS, TEXT_EDGES
from towpath.entities.domain.matching.textspace import Floats, Int64s, Rarity, TextSpace
from towpath.entities.domain.matching.views import OTHER_SPELLING, find_same_umlauts, latin_views

Int16s = npt.NDArray[np.int16]

CONTAINMENT_SHARE = 0.2
"""Part of the likeness of texts that asks only how much of the shorter one is held by the longer one."""


def text_levels(rarity: Rarity, values: Sequence[str], left: Int64s, right: Int64s) -> Int16s:
    """Level of each pair of texts, given as positions in `values`."""
    space = TextSpace(values, rarity)
    likeness = _likeness(space, left, right)
    at, views = latin_views(values, left, right)
    if len(at):
        in_views = _likeness(TextSpace(views, rarity), left[at], right[at])
        likeness[at] = np.maximum(likeness[at], in_views * OTHER_SPELLING)
    likeness[find_same_umlauts(values, left, right)] = OTHER_SPELLING
    bins = cut(likeness, TEXT_EDGES)
    bins[left == right] = TEXT_BINS - 1
    return (space.code_states(left, right) * TEXT_BINS + bins).astype(np.int16)


def _likeness(space: TextSpace, left: Int64s, right: Int64s) -> Floats:
    words, grams = space.cosines(left, right)
    # How much of the shorter text stands in the longer one: a shop's short name beside another's long one.
    left_norms, right_norms = space.norms[left], space.norms[right]
    containment = np.minimum(words * np.maximum(left_norms, right_norms) / np.minimum(left_norms, right_norms), 1.0)
    return np.asarray((words + grams) * (1.0 - CONTAINMENT_SHARE) / 2.0 + containment * CONTAINMENT_SHARE)


def cut(likeness: Floats, edges: Floats) -> Int64s:
    """Level by likeness. Rounded first: the last bits depend on the order of adding, which depends on the chunk."""
    return np.digitize(np.round(likeness, 9), edges)
