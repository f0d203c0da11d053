"""What the words say that two near texts do not share."""

from __future__ import annotations

import numpy as np
import pytest

from towpath.entities.domain.matching.levels import WORDS_ALIKE, WORDS_CONFLICT, WORDS_EXTRA
from towpath.entities.domain.matching.textspace import Rarity
from towpath.entities.domain.matching.words import are_spellings, compare_words

TEXTS = [
    f"{maker} {thing} {colour}"
    for maker in ("orion", "vega", "lyra")
    for thing in ("lamp", "kettle", "chair")
    for colour in ("red", "navy", "black", "size s", "size l")
]
RARITY = Rarity.of(TEXTS)


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        ("orion lamp red", "orion lamp navy", WORDS_CONFLICT),
        ("orion lamp red", "lamp red orion", WORDS_ALIKE),
        ("orion lamp red", "orion lamp", WORDS_EXTRA),
        ("orion lamp red", "orion lampe red", WORDS_ALIKE),
        ("orion lamp red", "orion lamp zzyzx", WORDS_EXTRA),
        ("orion lamp s", "lamp orion size l", WORDS_CONFLICT),
        ("capital partners ii", "capital partners iii", WORDS_CONFLICT),
        ("orion lamp 40", "orion lamp 60", WORDS_ALIKE),
    ],
)
def test_a_word_that_several_texts_hold_tells_things_apart(first: str, second: str, state: int) -> None:
    both = compare_words(RARITY, len(TEXTS), [first, second], np.array([0, 1]), np.array([1, 0]))

    assert both.tolist() == [state, state]


def test_an_index_that_has_counted_nothing_knows_no_established_word() -> None:
    states = compare_words(Rarity.untrained(), 0, ["lamp red", "lamp navy"], np.array([0]), np.array([1]))

    assert states.tolist() == [WORDS_ALIKE]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("street", "st", True),
        ("international", "intl", True),
        ("john", "j", True),
        ("backpack", "backpakc", True),
        ("red", "navy", False),
        ("ii", "iii", False),
    ],
)
def test_spellings(first: str, second: str, expected: bool) -> None:
    assert are_spellings(first, second) is expected
    assert are_spellings(second, first) is expected
