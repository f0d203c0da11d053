"""Words that stand in one field here and in another field there.

Two sources may call the same thing `name` and `title`, and a value may slip into the next column. Where each side has
words in fields that the other side leaves empty, those words are compared as one text. Likeness speaks for a match;
unlikeness says nothing, since the fields were never meant to hold the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.levels import default_weights
from towpath.entities.domain.matching.model import MatchModel
from towpath.entities.domain.matching.textlevels import text_levels
from towpath.entities.domain.matching.textspace import Floats, Int64s
from towpath.entities.types import FieldType

_BITS = np.maximum(default_weights(FieldType.TEXT), 0.0)


def cross_field_weights(
    model: MatchModel,
    records: Sequence[Sequence[str | None]],
    has_value: npt.NDArray[np.bool_],
    left: Int64s,
    right: Int64s,
) -> Floats:
    """Return pairs x fields: the match weight of words in different fields, in equal parts to the fields they stand in.

    `has_value` says, records x fields, which values there are.
    """
    bits = np.zeros((len(left), len(model.fields)), dtype=np.float64)
    wordy = [n for n, field in enumerate(model.fields) if field.type in (FieldType.TEXT, FieldType.STRING)]
    if len(wordy) < 2 or not len(left):
        return bits
    filled = np.asarray(has_value[:, wordy], dtype=bool)
    packed = np.packbits(filled, axis=1)
    rows = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, of_record = np.unique(rows, return_index=True, return_inverse=True)
    patterns: npt.NDArray[np.bool_] = filled[first]
    only = patterns[:, None, :] & ~patterns[None, :, :]
    # Pairs of patterns in which each side has something that the other one lacks.
    has_extra = np.asarray(only.any(axis=2), dtype=bool).reshape(len(patterns), len(patterns))
    both_have_extra: npt.NDArray[np.bool_] = has_extra & has_extra.T
    rows_of_pairs = np.flatnonzero(both_have_extra[of_record[left], of_record[right]])
    if not len(rows_of_pairs):
        return bits
    indexes: dict[str, int] = {}
    sides = []
    for side, opposite in ((left[rows_of_pairs], right[rows_of_pairs]), (right[rows_of_pairs], left[rows_of_pairs])):
        texts = [
            _join_values(records[record], [wordy[n] for n in np.flatnonzero(only[mine, theirs])])
            for record, mine, theirs in zip(
                side.tolist(), of_record[side].tolist(), of_record[opposite].tolist(), strict=True
            )
        ]
        sides.append(np.array([indexes.setdefault(text, len(indexes)) for text in texts], dtype=np.int64))
    weights = _BITS[text_levels(model.rarity, list(indexes), sides[0], sides[1])]
    involved = (
        only[of_record[left[rows_of_pairs]], of_record[right[rows_of_pairs]]]
        | only[of_record[right[rows_of_pairs]], of_record[left[rows_of_pairs]]]
    )
    bits[rows_of_pairs[:, None], np.array(wordy)[None, :]] = involved * (weights / involved.sum(axis=1))[:, None]
    return bits


def _join_values(values: Sequence[str | None], fields: list[int]) -> str:
    return " ".join(values[n] or "" for n in fields)
