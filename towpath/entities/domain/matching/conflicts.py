"""Values of one field that plainly belong to different things."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.comparison import Comparison
from towpath.entities.domain.matching.levels import (
    CODES_CONFLICT,
    MISSING,
    NUMBERS_CONFLICT,
    TEXT_BINS,
    WORDS_CONFLICT,
)
from towpath.entities.domain.matching.model import MatchModel
from towpath.entities.types import FieldType

Bools = npt.NDArray[np.bool_]

LOWEST_TEXT_BIN, LOWEST_STRING_LEVEL, LOWEST_DATE_LEVEL, LOWEST_NUMBER_LEVEL = 4, 3, 2, 2
"""Below these levels values of one field are plainly different."""


def find_conflicts(model: MatchModel, comparison: Comparison) -> Bools:
    """Return pairs x fields: where both sides have a value and these are plainly different."""
    conflicts = np.zeros(comparison.levels.shape, dtype=np.bool_)
    for number, field in enumerate(model.fields):
        levels = comparison.levels[:, number]
        words_conflict = comparison.word_states[:, number] == WORDS_CONFLICT
        match field.type:
            case FieldType.TEXT:
                states = levels // TEXT_BINS
                codes_conflict = (states == CODES_CONFLICT) | (states == NUMBERS_CONFLICT)
                conflicts[:, number] = (levels % TEXT_BINS < LOWEST_TEXT_BIN) | codes_conflict | words_conflict
            case FieldType.STRING:
                conflicts[:, number] = (levels < LOWEST_STRING_LEVEL) | words_conflict
            case FieldType.DATE:
                conflicts[:, number] = levels < LOWEST_DATE_LEVEL
            case FieldType.NUMBER:
                conflicts[:, number] = levels < LOWEST_NUMBER_LEVEL
    return np.asarray(conflicts & (comparison.levels != MISSING))


def find_conflict_free(model: MatchModel, comparison: Comparison) -> Bools:
    """Return the pairs that agree somewhere and conflict nowhere, in fields that tell entities apart."""
    telling = np.array([field.is_telling for field in model.fields], dtype=np.bool_)
    compared = (comparison.levels[:, telling] != MISSING).any(axis=1)
    return np.asarray(compared & ~find_conflicts(model, comparison)[:, telling].any(axis=1))
