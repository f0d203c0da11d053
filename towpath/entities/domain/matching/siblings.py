"""Siblings: two things that share nearly all, and are two by the values of a field that is their own.

Evidence is a sum, so a house, a family name and a telephone that agree outweigh any conflict of given names. For
siblings they all agree, since they are one fact. So where the values of such a field are plainly apart, what remains
for a match is only what agrees in *other* fields of that kind; everything shared by context is set aside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.apart import are_names_apart, are_titles_apart
from towpath.entities.domain.matching.comparison import Comparison, Values
from towpath.entities.domain.matching.conflicts import LOWEST_NUMBER_LEVEL, LOWEST_STRING_LEVEL
from towpath.entities.domain.matching.levels import MISSING, Floats
from towpath.entities.domain.matching.model import FieldModel, MatchModel
from towpath.entities.domain.matching.roles import OWN_ROLES, Role
from towpath.entities.domain.matching.textspace import Int64s
from towpath.entities.types import FieldType

Bools = npt.NDArray[np.bool_]

PARTING_ROLES = OWN_ROLES | {Role.PRICE}
"""Roles of fields in which two plainly different values mean two things."""
MAX_PRICE_RATIO = 4.0
"""No two sellers ask so many times as much for one thing; for the thing and a part of it they do."""
MAX_BIRTH_LEVEL = 1
"""Up to this level two birth dates have other years and at least two other digits."""
APART_SHARE = 0.01
"""So many of the matches are told apart by a field by mistake: another name, a wrong date."""
APART_PSEUDO_COUNT = 200.0
MAX_APART_SHARE = 0.05
"""Where more of an index's own matches are apart in a field, its values do not tell its entities apart."""
MIN_MEAN_WORDS, MAX_MEAN_WORDS = 2.0, 8.0
"""Words of a field that calls a thing by a name, on average."""
MIN_BITS = -2.0
"""Below this nothing is looked at: the pair is none anyway."""

MIN_IDENTIFIED_BITS = 1.0
"""From here on an identifier agrees, with a typing error perhaps."""


def learn_apart_bits(
    model: MatchModel,
    records: Sequence[Values],
    left: Int64s,
    right: Int64s,
    comparison: Comparison,
    matches: Bools | None,
) -> MatchModel:
    """Return the model with what plainly different values say in each field that is a thing's own.

    Args:
        model: Its fields' roles.
        records: Entities.
        left: Positions of candidate pairs.
        right: As `left`.
        comparison: Of the pairs.
        matches: Which pairs the index itself shows to be matches; None: it shows none.
    """
    model = _name_own_field(model, records)
    at = np.flatnonzero(matches) if matches is not None else np.empty(0, dtype=np.int64)
    fields = []
    for number, field in enumerate(model.fields):
        bits = 0.0
        if _is_own(field):
            apart = _find_apart(field, number, records, left, right, comparison, at)
            compared = int((comparison.levels[at, number] != MISSING).sum())
            share = (float(apart.sum()) + APART_PSEUDO_COUNT * APART_SHARE) / (compared + APART_PSEUDO_COUNT)
            bits = round(float(-np.log2(share)), 4) if share <= MAX_APART_SHARE else 0.0
        fields.append(field.model_copy(update={"apart_bits": bits}))
    return model.with_fields(fields)


def _name_own_field(model: MatchModel, records: Sequence[Values]) -> MatchModel:
    """Return the model with a field that is a thing's own, where no name says so: the one that calls it at most length.

    Of addresses it is the street with its number. Prose is none, for it says one thing in many ways.
    """
    if any(_is_own(field) for field in model.fields):
        return model
    words = {
        number: mean
        for number, field in enumerate(model.fields)
        if field.is_telling and field.type in {FieldType.TEXT, FieldType.STRING}
        if MIN_MEAN_WORDS <= (mean := _mean_words(records, number)) <= MAX_MEAN_WORDS
    }
    if not words:
        return model
    own = max(words, key=lambda number: (words[number], -number))
    fields = [
        field.model_copy(update={"role": Role.TITLE}) if number == own else field
        for number, field in enumerate(model.fields)
    ]
    return model.with_fields(fields)


def _mean_words(records: Sequence[Values], number: int) -> float:
    counts = [value.count(" ") + 1 for values in records if (value := values[number]) is not None]
    return sum(counts) / len(counts) if counts else 0.0


def _is_own(field: FieldModel) -> bool:
    if field.role is Role.TITLE:
        # In a column of few values they are kinds of things, not names.
        return field.is_telling or not field.sampled
    return field.role in PARTING_ROLES


def find_apart(
    model: MatchModel, records: Sequence[Values], left: Int64s, right: Int64s, comparison: Comparison, at: Int64s
) -> Bools:
    """Return pairs x fields: where values plainly name two things, in fields that are a thing's own.

    Args:
        model: Of the index.
        records: Entities.
        left: Positions, one a pair.
        right: As `left`.
        comparison: Of the pairs.
        at: The pairs to look at; nothing is said of the others.
    """
    apart = np.zeros(comparison.levels.shape, dtype=np.bool_)
    for number, field in enumerate(model.fields):
        if field.apart_bits > 0.0 and len(at):
            apart[at, number] = _find_apart(field, number, records, left, right, comparison, at)
    return apart


def set_siblings_apart(model: MatchModel, apart: Bools, contributions: Floats, prior: float) -> None:
    """Lower the contributions of the fields by which pairs are two things, in place.

    Afterwards such a pair is worth no more than what agrees in other fields that are a thing's own.

    Args:
        model: Of the index.
        apart: Pairs x fields, from `find_apart`.
        contributions: Pairs x fields, in bits.
        prior: What counts before the fields.
    """
    # No two things share an identifier.
    identifies = np.array([field.role is Role.IDENTIFIER for field in model.fields], dtype=np.bool_)
    at = np.flatnonzero(apart.any(axis=1))
    at = at[~((contributions[at] >= MIN_IDENTIFIED_BITS) & identifies).any(axis=1)]
    if not len(at):
        return
    # Who has said which values are a thing's own has said of the others that they are not.
    is_said = any(field.role is Role.OWN for field in model.fields)
    tells = np.array([_is_evidence(field, is_said=is_said) for field in model.fields], dtype=np.bool_)
    agreeing = np.where(tells & ~apart[at], np.maximum(contributions[at], 0.0), 0.0)
    against = apart[at] @ np.array([field.apart_bits for field in model.fields])
    excess = np.maximum(prior + contributions[at].sum(axis=1) - (agreeing.sum(axis=1) - against), 0.0)
    contributions[at] -= apart[at] * (excess / apart[at].sum(axis=1))[:, None]


def learn_apart_from_labels(model: MatchModel, apart: Bools, duplicates: Bools) -> MatchModel:
    """Return the model without the fields in which people call different values the same, more than once.

    Args:
        model: Of the index.
        apart: Labelled pairs x fields.
        duplicates: Which of the pairs are duplicates.
    """
    counts = apart[duplicates].sum(axis=0)
    limit = max(1.0, MAX_APART_SHARE * float(duplicates.sum()))
    return model.with_fields(
        [
            field.model_copy(update={"apart_bits": 0.0}) if count > limit else field
            for field, count in zip(model.fields, counts.tolist(), strict=True)
        ]
    )


def _is_evidence(field: FieldModel, *, is_said: bool) -> bool:
    return field.role in OWN_ROLES or (field.role is Role.OTHER and field.is_telling and not is_said)


def _find_apart(
    field: FieldModel,
    number: int,
    records: Sequence[Values],
    left: Int64s,
    right: Int64s,
    comparison: Comparison,
    at: Int64s,
) -> Bools:
    """Return which of some pairs have values in a field that plainly name two things."""
    here = comparison.levels[at, number]
    if field.type is FieldType.DATE:
        apart = (here != MISSING) & (here <= MAX_BIRTH_LEVEL)
        for place in np.flatnonzero(apart).tolist():
            apart[place] = all(_is_whole_date(records[int(side[at[place]])][number]) for side in (left, right))
        return np.asarray(apart)
    if field.type is FieldType.NUMBER and field.role is Role.OWN:
        return np.asarray((here != MISSING) & (here < LOWEST_NUMBER_LEVEL))
    if field.role is Role.PRICE:
        prices = [
            np.array([float(records[row][number] or "nan") for row in side[at].tolist()]) for side in (left, right)
        ]
        low, high = np.abs(np.minimum(*prices)), np.abs(np.maximum(*prices))
        return np.asarray((here != MISSING) & (low > 0.0) & (high > MAX_PRICE_RATIO * low))
    apart = np.zeros(len(at), dtype=np.bool_)
    looked_at = here != MISSING
    are_apart: Callable[[str, str], bool] = are_titles_apart
    if field.role is Role.GIVEN_NAME:
        are_apart = are_names_apart
        if field.type is FieldType.STRING:
            looked_at &= here < LOWEST_STRING_LEVEL
    known: dict[tuple[str, str], bool] = {}
    for place in np.flatnonzero(looked_at).tolist():
        first, second = records[int(left[at[place]])][number], records[int(right[at[place]])][number]
        if first is None or second is None or first == second:
            continue
        pair = (first, second) if first < second else (second, first)
        if pair not in known:
            known[pair] = are_apart(*pair)
        apart[place] = known[pair]
    return apart


def _is_whole_date(value: str | None) -> bool:
    """Return whether a date has a month and a day: one that was misread, or is known in part, proves nothing."""
    return value is not None and "01" <= value[4:6] <= "12" and "01" <= value[6:8] <= "31"
