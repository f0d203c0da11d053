"""Values that changed places: first and last name the other way round, and a full name against its two halves."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.levels import CODES_NEUTRAL, STRING_EDGES, TEXT_BINS
from towpath.entities.types import FieldType

Int16s = npt.NDArray[np.int16]
Int64s = npt.NDArray[np.int64]

MAX_FIELDS = 10
"""Of the words in an entity: beyond these nobody takes one for another by mistake."""
NEARLY_EQUAL = {FieldType.STRING: len(STRING_EDGES), FieldType.TEXT: CODES_NEUTRAL * TEXT_BINS + TEXT_BINS - 2}
"""The level of values that are equal but for their place: the highest one below equality."""


class Column(NamedTuple):
    """One field of some entities: the code of each entity's value, -1 for none, and the value of each code."""

    number: int
    type: FieldType
    codes: Int64s
    values: Sequence[str]


class _Sides(NamedTuple):
    """What the pairs have in one field: numbers of values over all fields, -1 for none, on either side."""

    column: Column
    left: Int64s
    right: Int64s


def raise_moved(levels: Int16s, columns: Sequence[Column], left: Int64s, right: Int64s) -> None:
    """Raise the levels of pairs whose values are equal but for the fields they stand in, in place.

    Args:
        levels: Pairs x fields.
        columns: The fields, in any order; those of words are looked at.
        left: Positions of entities, one a pair.
        right: As `left`.
    """
    wordy = [column for column in columns if column.type in NEARLY_EQUAL][:MAX_FIELDS]
    # Numbered over all fields, so that values of two fields can be told to be equal.
    numbers: dict[str, int] = {}
    sides: list[_Sides] = []
    for column in wordy:
        numbered = _number(column, numbers)
        sides.append(_Sides(column, numbered[left], numbered[right]))
    for first, second in combinations(sides, 2):
        crossed = np.flatnonzero((first.left == second.right) & (first.left >= 0))
        swapped = (second.left[crossed] == first.right[crossed]) & (second.left[crossed] >= 0)
        rows = crossed[swapped & (first.left[crossed] != second.left[crossed])]
        if len(rows):
            _raise(levels, rows, first.column)
            _raise(levels, rows, second.column)
    texts = list(numbers)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    for rest in sides:
        for lacks, has in (("left", "right"), ("right", "left")):
            lacking = np.flatnonzero((getattr(rest, lacks) < 0) & (getattr(rest, has) >= 0))
            if len(lacking):
                for whole in sides:
                    in_one, in_two = getattr(whole, lacks)[lacking], getattr(whole, has)[lacking]
                    added = getattr(rest, has)[lacking]
                    # One space stands between the two: of most pairs the lengths already say no.
                    at = np.flatnonzero(
                        (in_one >= 0) & (in_two >= 0) & (lengths[in_one] == lengths[in_two] + lengths[added] + 1)
                    )
                    together = _sum_words(texts, in_two[at]) + _sum_words(texts, added[at])
                    _raise(levels, lacking[at[_sum_words(texts, in_one[at]) == together]], whole.column)


def _number(column: Column, numbers: dict[str, int]) -> Int64s:
    of_code = [numbers.setdefault(value, len(numbers)) for value in column.values]
    return np.array([*of_code, -1], dtype=np.int64)[column.codes]


def _raise(levels: Int16s, rows: Int64s, column: Column) -> None:
    levels[rows, column.number] = np.maximum(levels[rows, column.number], NEARLY_EQUAL[column.type])


def _sum_words(texts: Sequence[str], numbers: Int64s) -> Int64s:
    """Return a number for the words of each text, whatever their order: that of two texts is the sum of theirs."""
    distinct, places = np.unique(numbers, return_inverse=True)
    sums = [
        sum(crc32(word.encode("utf-8", "surrogatepass")) + (1 << 32) for word in texts[number].split(" "))
        for number in distinct.tolist()
    ]
    return np.array(sums, dtype=np.int64)[places]
