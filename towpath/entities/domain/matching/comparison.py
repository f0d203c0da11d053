"""Field by field, how alike two entities are: many pairs at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import count
from operator import gt, itemgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from rapidfuzz import distance, process

from towpath.entities.domain.matching.cross_field import cross_field_weights
from towpath.entities.domain.matching.fields import Column, raise_moved
from towpath.entities.domain.matching.levels import MISSING, NUMBER_EDGES, STRING_EDGES, find_near
from towpath.entities.domain.matching.model import FieldModel, MatchModel
from towpath.entities.domain.matching.textlevels import cut, text_levels
from towpath.entities.domain.matching.textspace import Floats, Int64s, Rarity
from towpath.entities.domain.matching.views import compare_spellings, find_misread_thousands
from towpath.entities.domain.matching.words import compare_words
from towpath.entities.types import FieldType

Values = Sequence[str | None]
Bools = npt.NDArray[np.bool_]
Int8s = npt.NDArray[np.int8]
Int16s = npt.NDArray[np.int16]

MIN_COPY_WORDS = 3
"""Records of fewer words may be equal by accident: two towns of one name in one country."""
MIN_TELLING_FIELDS = 4
"""Records that are equal in so many fields, each of which tells entities apart, are copies in any data."""
NOT_NEAR = -1
"""The state of words of values that are not near."""


class Comparison(NamedTuple):
    """How alike pairs are.

    Attributes:
        levels: pairs x fields, `MISSING` where a side has no value.
        frequency_adjustments: pairs x fields, in bits, for how common the value is that both sides share.
        cross_field_weights: pairs x fields, in bits, for likeness between words in different fields, see `cross_field`.
        copies: pairs, whether the two are equal in every field and say enough for that not to be an accident.
        word_states: pairs x fields, what the words say that near values do not share, `NOT_NEAR` for others.
    """

    levels: Int16s
    frequency_adjustments: Floats
    cross_field_weights: Floats
    word_states: Int8s
    copies: Bools

    def take(self, rows: Int64s) -> Comparison:
        """Return some of the pairs."""
        return Comparison(
            self.levels[rows],
            self.frequency_adjustments[rows],
            self.cross_field_weights[rows],
            self.word_states[rows],
            self.copies[rows],
        )


def compare(model: MatchModel, left: Sequence[Values], right: Sequence[Values]) -> Comparison:
    """Compare `left[i]` with `right[i]` for each i, field by field. Symmetric.

    Args:
        model: says the fields' types and how common words and values are.
        left: normalised values of entities, each in the order of the configuration.
        right: as `left`, of the same length.
    """
    records, left_at, right_at = pool(left, right)
    return compare_pool(model, records, left_at, right_at)


def pool(left: Sequence[Values], right: Sequence[Values]) -> tuple[list[Values], Int64s, Int64s]:
    """Return the distinct entities of both sides (by object identity), and where each pair finds its two."""
    slots: dict[int, int] = {}
    records: list[Values] = []
    places: list[Int64s] = []
    for side in (left, right):
        at = np.empty(len(side), dtype=np.int64)
        for i, values in enumerate(side):
            slot = slots.setdefault(id(values), len(records))
            if slot == len(records):
                records.append(values)
            at[i] = slot
        places.append(at)
    return records, places[0], places[1]


def compare_pool(model: MatchModel, records: Sequence[Values], left: Int64s, right: Int64s) -> Comparison:
    """As `compare`, for pairs given as positions in one list of entities: the fast way for many pairs."""
    levels = np.full((len(left), len(model.fields)), MISSING, dtype=np.int16)
    frequency_adjustments = np.zeros((len(left), len(model.fields)), dtype=np.float64)
    word_states = np.full((len(left), len(model.fields)), NOT_NEAR, dtype=np.int8)
    copies = np.ones(len(left), dtype=np.bool_)
    has_value = np.zeros((len(records), len(model.fields)), dtype=bool)
    columns: list[Column] = []
    for number, field in enumerate(model.fields):
        codes, distinct = _codes(list(map(itemgetter(number), records)))
        columns.append(Column(number, field.type, codes, distinct))
        has_value[:, number] = codes >= 0
        left_codes, right_codes = codes[left], codes[right]
        present = (left_codes >= 0) & (right_codes >= 0)
        copies &= left_codes == right_codes
        equal = present & (left_codes == right_codes)
        if equal.any() and field.sampled:
            table = np.zeros(len(distinct), dtype=np.float64)
            for code in np.unique(left_codes[equal]).tolist():
                table[code] = field.frequency_adjustment(distinct[code])
            frequency_adjustments[equal, number] = table[left_codes[equal]]
        at = np.flatnonzero(present)
        if not len(at):
            continue
        # Each two values are compared once, the smaller code first, so that the order of a pair cannot matter.
        low, high = np.minimum(left_codes[at], right_codes[at]), np.maximum(left_codes[at], right_codes[at])
        pairs, pair_of_row = np.unique(low * len(distinct) + high, return_inverse=True)
        low, high = pairs // len(distinct), pairs % len(distinct)
        levels_of_pairs = _levels(field, model.rarity, distinct, low, high)
        levels[at, number] = levels_of_pairs[pair_of_row]
        states = np.full(len(low), NOT_NEAR, dtype=np.int8)
        near = np.flatnonzero(find_near(field.type, levels_of_pairs))
        states[near] = compare_words(model.rarity, model.texts, distinct, low[near], high[near])
        word_states[at, number] = states[pair_of_row]
    raise_moved(levels, columns, left, right)
    cross_field = cross_field_weights(model, records, has_value, left, right)
    for row in np.flatnonzero(copies).tolist():
        copies[row] = _is_no_accident(model, records[int(left[row])])
    return Comparison(levels, frequency_adjustments, cross_field, word_states, copies)


def distinct_pairs(uids: Int64s, left: Int64s, right: Int64s) -> tuple[Int64s, Int64s]:
    """Return each unordered pair once, in order, as positions; pairs with a side that is not there are left out.

    Args:
        uids: Of entities, rising, no uid twice.
        left: uid of one side of each pair.
        right: uid of the other side.
    """
    nothing = np.empty(0, dtype=np.int64)
    if not len(uids) or not len(left):
        return nothing, nothing
    left_at = np.minimum(np.searchsorted(uids, left), len(uids) - 1)
    right_at = np.minimum(np.searchsorted(uids, right), len(uids) - 1)
    is_sampled = (uids[left_at] == left) & (uids[right_at] == right) & (left_at != right_at)
    low, high = np.minimum(left_at, right_at)[is_sampled], np.maximum(left_at, right_at)[is_sampled]
    pairs = np.unique(low * len(uids) + high)
    return pairs // len(uids), pairs % len(uids)


def _is_no_accident(model: MatchModel, values: Values) -> bool:
    """Return whether another entity with all of these values would be the same one, and no accident."""
    present = [(field, value) for field, value in zip(model.fields, values, strict=True) if value is not None]
    if sum(field.is_telling for field, _ in present) >= MIN_TELLING_FIELDS:
        return True
    words = sum(value.count(" ") + 1 for _, value in present)
    return model.equal_are_copies and len(present) > 1 and words >= MIN_COPY_WORDS


def _codes(column: list[str | None]) -> tuple[Int64s, list[str]]:
    """Return a number for each distinct value, -1 for none."""
    # No step of Python's own for a value: every field of every record comes by here.
    slots: defaultdict[str | None, int] = defaultdict(count().__next__)
    slots[None] = -1
    codes = np.fromiter(map(slots.__getitem__, column), dtype=np.int64, count=len(column))
    return codes, [value for value in slots if value is not None]


def _levels(field: FieldModel, rarity: Rarity, values: list[str], left: Int64s, right: Int64s) -> Int16s:
    match field.type:
        case FieldType.TEXT:
            return text_levels(rarity, values, left, right)
        case FieldType.STRING:
            return _string_levels(values, left, right)
        case FieldType.NUMBER:
            return _number_levels(values, left, right, field.spread)
        case FieldType.DATE:
            return _date_levels(values, left, right)


def _string_levels(values: list[str], left: Int64s, right: Int64s) -> Int16s:
    levels = np.full(len(left), len(STRING_EDGES) + 1, dtype=np.int16)
    at = np.flatnonzero(left != right)
    if len(at):
        levels[at] = cut(_string_likeness(values, left[at], right[at]), STRING_EDGES)
    return levels


def _string_likeness(values: list[str], left: Int64s, right: Int64s) -> Floats:
    # In a fixed order: Jaro's count of transpositions depends on which side comes first.
    left_values, right_values = (list(map(values.__getitem__, side.tolist())) for side in (left, right))
    swap = np.fromiter(map(gt, left_values, right_values), dtype=np.bool_, count=len(left))
    first, second = np.where(swap, right, left), np.where(swap, left, right)
    likeness = _pairwise(distance.JaroWinkler.similarity, values, first, second)
    # Jaro-Winkler is too kind to numbers: 1234 and 1243 are other numbers, at best a typing error.
    has_digit = np.array([not value.isalpha() and any(map(str.isdigit, value)) for value in values])
    at = np.flatnonzero(has_digit[first] | has_digit[second])
    if len(at):
        edits = _pairwise(distance.OSA.normalized_similarity, values, first[at], second[at])
        likeness[at] = np.minimum(likeness[at], edits)
    has_space = np.array([" " in value for value in values])
    at = np.flatnonzero(has_space[first] | has_space[second])
    if len(at):
        turned = [
            " ".join(sorted(value.split(" "))) if space else value
            for value, space in zip(values, has_space, strict=True)
        ]
        same_words = _pairwise(distance.Indel.normalized_similarity, turned, first[at], second[at])
        likeness[at] = np.maximum(likeness[at], same_words * 0.98)
    return np.maximum(likeness, compare_spellings(values, first, second))


def _pairwise(scorer: Callable[..., float], values: list[str], left: Int64s, right: Int64s) -> Floats:
    left_values, right_values = (list(map(values.__getitem__, side.tolist())) for side in (left, right))
    return np.asarray(process.cpdist(left_values, right_values, scorer=scorer, dtype=np.float64))


def _number_levels(values: list[str], left: Int64s, right: Int64s, spread: float) -> Int16s:
    numbers = np.array([float(value) for value in values])
    left_numbers, right_numbers = numbers[left], numbers[right]
    apart = np.abs(left_numbers - right_numbers)
    scale = np.maximum(np.abs(left_numbers), np.abs(right_numbers))
    # Years differ by little of their size, but by much of their spread.
    years = (
        (np.minimum(left_numbers, right_numbers) >= 1000)
        & (np.maximum(left_numbers, right_numbers) <= 2200)
        & (left_numbers % 1 == 0)
        & (right_numbers % 1 == 0)
    )
    scale = np.where(years, np.minimum(scale, spread if spread > 0 else 20.0), scale)
    if spread > 0:
        scale = np.minimum(scale, 4.0 * spread)
    likeness = 1.0 - np.minimum(apart / np.maximum(scale, 1e-12), 1.0)
    levels = cut(likeness, NUMBER_EDGES)
    levels[(apart == 0) | find_misread_thousands(left_numbers, right_numbers)] = len(NUMBER_EDGES) + 1
    return levels.astype(np.int16)


def _date_levels(values: list[str], left: Int64s, right: Int64s) -> Int16s:
    joined = "".join([value[:8].ljust(8, "0") for value in values]).encode("utf-32-le", "surrogatepass")
    digits = np.frombuffer(joined, dtype="<u4").reshape(-1, 8).astype(np.int64) - ord("0")
    year = digits[:, :4] @ np.array([1000, 100, 10, 1])
    month, day = digits[:, 4:6] @ np.array([10, 1]), digits[:, 6:8] @ np.array([10, 1])
    same_year = year[left] == year[right]
    unknown_month = (month[left] == 0) | (month[right] == 0)
    same_month = month[left] == month[right]
    unknown_day = (day[left] == 0) | (day[right] == 0)
    turned = same_year & (month[left] == day[right]) & (day[left] == month[right])
    wrong = (digits[left] != digits[right]).sum(axis=1)
    # Two neighbouring digits changed places: one error, though two digits differ.
    swapped = (wrong == 2) & (np.sort(digits[left], axis=1) == np.sort(digits[right], axis=1)).all(axis=1)
    levels = np.zeros(len(left), dtype=np.int16)
    levels[wrong == 2] = 1
    levels[same_year] = 2
    levels[same_year & (unknown_month | (same_month & unknown_day))] = 3
    levels[same_year & same_month] = np.maximum(levels[same_year & same_month], 3)
    levels[(wrong == 1) | turned | swapped] = 4
    levels[left == right] = 5
    return levels
