"""Values that changed places: first and last name the other way round, and a full name against its two halves."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Sequence
from itertools import combinations, permutations
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


def raise_moved(levels: Int16s, columns: Sequence[Column], left: Int64s, right: Int64s) -> None:
    """Raise the levels of pairs whose values are equal but for the fields they stand in, in place.

    Args:
        levels: Pairs x fields.
        columns: The fields, in any order; those of words are looked at.
        left: Positions of entities, one a pair.
        right: As `left`.
    """
    wordy = [column for column in columns if column.type in NEARLY_EQUAL][:MAX_FIELDS]
    numbers: dict[str, int] = {}
    # Numbered over all fields, so that values of two fields can be told to be equal.
    numbered = {column.number: _number(column, numbers) for column in wordy}
    for one, other in combinations(wordy, 2):
        first, second = numbered[one.number], numbered[other.number]
        swapped = (first[left] == second[right]) & (second[left] == first[right]) & (first[left] != second[left])
        rows = np.flatnonzero(swapped & (first[left] >= 0) & (second[left] >= 0))
        _raise(levels, rows, one)
        _raise(levels, rows, other)
    for whole, rest in permutations(wordy, 2):
        for one_side, other_side in ((left, right), (right, left)):
            _raise(levels, _find_joined(whole, rest, one_side, other_side), whole)


def _number(column: Column, numbers: dict[str, int]) -> Int64s:
    of_code = [numbers.setdefault(value, len(numbers)) for value in column.values]
    return np.array([*of_code, -1], dtype=np.int64)[column.codes]


def _raise(levels: Int16s, rows: Int64s, column: Column) -> None:
    levels[rows, column.number] = np.maximum(levels[rows, column.number], NEARLY_EQUAL[column.type])


def _find_joined(whole: Column, rest: Column, joined: Int64s, parted: Int64s) -> Int64s:
    """Return the pairs of which one side has in a single field the words that the other side has in two."""
    has_space = np.array([*(" " in value for value in whole.values), False], dtype=np.bool_)
    rows = np.flatnonzero(
        has_space[whole.codes[joined]]
        & (rest.codes[joined] < 0)
        & (whole.codes[parted] >= 0)
        & (rest.codes[parted] >= 0)
    )
    if not len(rows):
        return rows
    in_one = _sum_words(whole, whole.codes[joined[rows]])
    in_two = _sum_words(whole, whole.codes[parted[rows]]) + _sum_words(rest, rest.codes[parted[rows]])
    return np.asarray(rows[in_one == in_two], dtype=np.int64)


def _sum_words(column: Column, codes: Int64s) -> Int64s:
    """Return a number for the words of each value, whatever their order: that of two values is the sum of theirs."""
    distinct, places = np.unique(codes, return_inverse=True)
    sums = [
        sum(crc32(word.encode("utf-8", "surrogatepass")) + (1 << 32) for word in column.values[code].split(" "))
        for code in distinct.tolist()
    ]
    return np.array(sums, dtype=np.int64)[places]
