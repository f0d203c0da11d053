"""Values that are one in another spelling, although they are compared as two: by their Latin letters, or as phones."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import JaroWinkler

from towpath.entities.domain.matching.phones import MAX_CODE_DIGITS, MIN_DIGITS, is_same_phone
from towpath.entities.domain.matching.scripts import latin_view

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

_UMLAUT = re.compile("(?<=[aou])e")
OTHER_SPELLING = 0.97
"""Likeness of values that are equal in a view of them; of others, what their likeness is multiplied by."""


def latin_views(values: Sequence[str], left: Int64s, right: Int64s) -> tuple[Int64s, list[str]]:
    """Return the pairs of which a side has a view in Latin letters, and the values with views in the place of those.

    Args:
        values: Normalised values.
        left: Positions in `values`, one a pair.
        right: As `left`.
    """
    if all(map(str.isascii, values)):
        return np.empty(0, dtype=np.int64), []
    has_view = np.array([not value.isascii() for value in values], dtype=np.bool_)
    return np.flatnonzero(has_view[left] | has_view[right]), [latin_view(value) or value for value in values]


def find_same_umlauts(values: Sequence[str], left: Int64s, right: Int64s) -> npt.NDArray[np.bool_]:
    """Return the pairs that differ in how they write umlauts alone: `kase`, which was `Käse`, and `kaese`."""
    if not any(map(_UMLAUT.search, values)):
        return np.zeros(len(left), dtype=np.bool_)
    numbers: dict[str, int] = {}
    plain = np.array([numbers.setdefault(_UMLAUT.sub("", value), len(numbers)) for value in values], dtype=np.int64)
    return np.asarray((plain[left] == plain[right]) & (left != right))


def put_in_one_script(first: str, second: str) -> tuple[str, str]:
    """Return two values in Latin letters where they are in different scripts, or equal in those; else as they are."""
    if first.isascii() and second.isascii():
        return first, second
    views = (latin_view(first) or first, latin_view(second) or second)
    return views if first.isascii() or second.isascii() or views[0] == views[1] else (first, second)


def compare_spellings(values: Sequence[str], left: Int64s, right: Int64s) -> Floats:
    """Return how alike short values are in their views; 0 for pairs without any."""
    likeness = find_same_umlauts(values, left, right).astype(np.float64)
    at, views = latin_views(values, left, right)
    # Without spaces: `xiaoming li` in one place is `小明` and `李` in others, whose characters are joined.
    joined = [view.replace(" ", "") for view in views]
    for place in at.tolist():
        likeness[place] = JaroWinkler.similarity(joined[int(left[place])], joined[int(right[place])])
    digits = np.fromiter((len(value) if value.isdigit() else 0 for value in values), dtype=np.int64, count=len(values))
    if digits.max(initial=0) > MIN_DIGITS:
        apart = np.abs(digits[left] - digits[right])
        shorter = np.minimum(digits[left], digits[right])
        for place in np.flatnonzero((shorter >= MIN_DIGITS) & (apart > 0) & (apart <= MAX_CODE_DIGITS)).tolist():
            likeness[place] = float(is_same_phone(values[int(left[place])], values[int(right[place])]))
    return likeness * OTHER_SPELLING


def find_misread_thousands(left: Floats, right: Floats) -> npt.NDArray[np.bool_]:
    """Return the pairs of numbers of which one was read with decimals where the other has thousands, see `numbers`."""
    small, large = np.minimum(np.abs(left), np.abs(right)), np.maximum(np.abs(left), np.abs(right))
    has_decimals = (small > 1.0) & (small < 1000.0) & (small % 1.0 != 0.0)
    is_thousandfold = (np.sign(left) == np.sign(right)) & (np.round(small * 1000.0, 6) == large)
    return np.asarray(has_decimals & is_thousandfold, dtype=np.bool_)
