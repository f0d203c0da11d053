"""How alike two values are, cut into a few levels for each field type, and what each level is worth untrained.

A level is a small integer that grows with likeness; `MISSING` stands for "one side has no value". For `text`
the level also tells whether the two sides share a code (a word of letters and digits, or a long number), hold
variants of one, hold different ones, or give no hint: model numbers part products that share every other word.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from towpath.entities.types import FieldType

Floats = npt.NDArray[np.float64]

MISSING: Final = -1

TEXT_EDGES: Final = np.array([0.05, 0.12, 0.20, 0.28, 0.36, 0.44, 0.52, 0.60, 0.68, 0.76, 0.84, 0.92])
TEXT_BINS: Final = len(TEXT_EDGES) + 2
"""One bin below each edge, one above all of them, one for equal values."""
CODES_NEUTRAL, CODES_AGREE, CODES_CONFLICT, CODES_NEAR = 0, 1, 2, 3
NUMBERS_AGREE, NUMBERS_CONFLICT = 4, 5
CODE_STATES: Final = 6

WORDS_ALIKE, WORDS_EXTRA, WORDS_CONFLICT = 0, 1, 2
"""What near texts say by the words that they do not share; see `words`."""
WORD_STATES: Final = 3
WORD_SHARES: Final = np.array([0.5, 0.3, 0.2])
"""How often the states are met among near texts of matches."""
NEAR_TEXT_BIN: Final = 7
NEAR_STRING_LEVEL: Final = 4
"""From here on, two values are near enough for single words to be looked at."""

STRING_EDGES: Final = np.array([0.45, 0.60, 0.70, 0.78, 0.84, 0.89, 0.93, 0.965])
NUMBER_EDGES: Final = np.array([0.25, 0.50, 0.70, 0.82, 0.92, 0.98])
DATE_LEVELS: Final = 6

_TEXT_BITS = [-6.0, -5.0, -4.2, -3.4, -2.5, -1.6, -0.7, 0.3, 1.4, 2.5, 3.6, 4.6, 5.4, 6.2]
_TEXT_SHARE = [0.01, 0.01, 0.02, 0.03, 0.05, 0.07, 0.08, 0.09, 0.10, 0.10, 0.11, 0.11, 0.10, 0.12]
_CODE_BITS = [0.0, 2.5, -3.5, 0.5, 1.5, -2.5]
_CODE_SHARE = [0.40, 0.30, 0.08, 0.03, 0.13, 0.06]
_STRING_BITS = [-5.0, -4.0, -3.0, -2.0, -0.5, 1.0, 2.2, 3.2, 4.0, 4.6]
_STRING_SHARE = [0.05, 0.02, 0.02, 0.02, 0.03, 0.04, 0.05, 0.06, 0.06, 0.65]
_NUMBER_BITS = [-3.0, -2.0, -1.2, -0.3, 0.6, 1.6, 3.2, 3.8]
_NUMBER_SHARE = [0.05, 0.04, 0.04, 0.06, 0.08, 0.09, 0.04, 0.60]
_DATE_BITS = [-4.0, -2.0, -0.5, 1.5, 3.0, 4.5]
_DATE_SHARE = [0.05, 0.03, 0.04, 0.06, 0.07, 0.75]


def level_count(kind: FieldType) -> int:
    """Return how many levels a field of this type has."""
    match kind:
        case FieldType.TEXT:
            return TEXT_BINS * CODE_STATES
        case FieldType.STRING:
            return len(STRING_EDGES) + 2
        case FieldType.NUMBER:
            return len(NUMBER_EDGES) + 2
        case FieldType.DATE:
            return DATE_LEVELS


def monotonic_runs(kind: FieldType) -> list[slice]:
    """Return the runs of levels along which likeness grows, so that the match weight may not fall."""
    if kind is FieldType.TEXT:
        return [slice(state * TEXT_BINS, (state + 1) * TEXT_BINS) for state in range(CODE_STATES)]
    return [slice(0, level_count(kind))]


def default_probabilities(kind: FieldType) -> tuple[Floats, Floats]:
    """Return the m and u probabilities of the levels, among matches and among other candidates, before any training."""
    match kind:
        case FieldType.TEXT:
            bits = np.add.outer(_CODE_BITS, _TEXT_BITS).ravel()
            shares = np.outer(_CODE_SHARE, _TEXT_SHARE).ravel()
        case FieldType.STRING:
            bits, shares = np.array(_STRING_BITS), np.array(_STRING_SHARE)
        case FieldType.NUMBER:
            bits, shares = np.array(_NUMBER_BITS), np.array(_NUMBER_SHARE)
        case FieldType.DATE:
            bits, shares = np.array(_DATE_BITS), np.array(_DATE_SHARE)
    others = shares * np.exp2(-bits)
    return shares / shares.sum(), others / others.sum()


def default_weights(kind: FieldType) -> Floats:
    """Return the match weight of each level in bits, before any training."""
    match kind:
        case FieldType.TEXT:
            return np.add.outer(_CODE_BITS, _TEXT_BITS).ravel()
        case FieldType.STRING:
            return np.array(_STRING_BITS)
        case FieldType.NUMBER:
            return np.array(_NUMBER_BITS)
        case FieldType.DATE:
            return np.array(_DATE_BITS)


def find_near(kind: FieldType, levels: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Return which pairs of values are near enough for single words to be looked at."""
    match kind:
        case FieldType.TEXT:
            return np.asarray((levels != MISSING) & (levels % TEXT_BINS >= NEAR_TEXT_BIN))
        case FieldType.STRING:
            return np.asarray((levels != MISSING) & (levels >= NEAR_STRING_LEVEL))
        case _:
            return np.zeros(len(levels), dtype=np.bool_)
