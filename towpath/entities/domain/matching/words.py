"""Words that one of two near texts has and the other has not: a typing error, an addition, or another thing.

Variants of a product, members of a series and firms of one kind share every word but one, and this one word tells them
apart: a colour, a place, a trade. A typing error makes a word that hardly any other text holds. So a word counts here
only if it is established: if several texts of the index hold it. Where both sides have such a word, each without a
counterpart on the other side, the words conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import OSA

from towpath.entities.domain.matching.levels import WORDS_ALIKE, WORDS_CONFLICT, WORDS_EXTRA
from towpath.entities.domain.matching.scripts import CJK_LEGAL_FORMS
from towpath.entities.domain.matching.textspace import Int64s, Rarity
from towpath.entities.domain.matching.views import put_in_one_script

ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv")
NUMERALS = frozenset(ROMAN)
"""Roman numerals: established everywhere, and no spellings of each other."""
MAX_WORDS = 60
MAX_LEFT_OVER = 12
"""With more words than these left over on a side, spellings are not compared."""
MAX_OPPOSED = 4
"""With more words than these left over on both sides, a letter on each may be an initial."""
ESTABLISHED_COUNT = 3
"""Texts that hold an established word."""

Int8s = npt.NDArray[np.int8]


def find_established(rarity: Rarity, words: Sequence[str], texts: int) -> set[str]:
    """Return those of some words that at least `ESTABLISHED_COUNT` of the `texts` counted ones hold."""
    if texts < 2 * ESTABLISHED_COUNT:
        return set()
    # Rarity is kept in steps, and rounded to the nearer one.
    limit = float(np.log2((texts + 1.0) / (ESTABLISHED_COUNT + 0.5))) + 0.05
    return {word for word, bits in zip(words, rarity.of_words(words).tolist(), strict=True) if bits <= limit}


def compare_words(rarity: Rarity, texts: int, values: Sequence[str], left: Int64s, right: Int64s) -> Int8s:
    """Return, for each pair of near values given by their positions, one of the `WORDS_` states.

    Words with digits are left out, since sizes and codes have states of their own, and so are legal forms
    in Chinese, Japanese and Korean, of which one holds the other.
    """
    states = np.full(len(left), WORDS_ALIKE, dtype=np.int8)
    differing = np.flatnonzero(left != right)
    left, right = left[differing], right[differing]
    rows = np.unique(np.concatenate([left, right])).tolist()
    words = {row: frozenset(values[row].split(" ")[:MAX_WORDS]) for row in rows}
    vocabulary = sorted({word for of_row in words.values() for word in of_row if word.isalpha()})
    established = find_established(rarity, vocabulary, texts) | NUMERALS if vocabulary else NUMERALS
    for at, first, second in zip(differing.tolist(), left.tolist(), right.tolist(), strict=True):
        left_words, right_words = words[first], words[second]
        if not (values[first].isascii() and values[second].isascii()):
            left_words, right_words = (
                frozenset(value.split(" ")[:MAX_WORDS]) for value in put_in_one_script(values[first], values[second])
            )
        if left_words == right_words:
            continue
        here = sorted(word for word in left_words - right_words - CJK_LEGAL_FORMS if word.isalpha())
        there = sorted(word for word in right_words - left_words - CJK_LEGAL_FORMS if word.isalpha())
        if here and there and max(len(here), len(there)) <= MAX_LEFT_OVER:
            here, there = strike_out_spellings(here, there, are_alike=are_spellings, max_opposed=MAX_OPPOSED)
        sides = sum(any(word in established for word in side) for side in (here, there))
        states[at] = (WORDS_ALIKE, WORDS_EXTRA, WORDS_CONFLICT)[sides]
    return states


def strike_out_spellings(
    here: list[str], there: list[str], *, are_alike: Callable[[str, str], bool], max_opposed: int
) -> tuple[list[str], list[str]]:
    """Leave out words that are spellings of each other.

    Args:
        here: Words that one side alone has.
        there: Those of the other side.
        are_alike: Whether two words may be one.
        max_opposed: With more words left over than these, a letter on each side may be an initial. Where less is left,
            as of sizes, it is none of some other word.
    """
    letters = [sum(len(word) == 1 for word in side) for side in (here, there)]
    are_letters_opposed = letters == [1, 1] and len(here) + len(there) <= max_opposed
    rest = []
    for word in here:
        if are_letters_opposed and len(word) == 1:
            rest.append(word)
            continue
        counterpart = next(
            (other for other in there if not (are_letters_opposed and len(other) == 1) and are_alike(word, other)), None
        )
        if counterpart is None:
            rest.append(word)
        else:
            there = [other for other in there if other != counterpart]
    return rest, there


def are_spellings(first: str, second: str) -> bool:
    """Return whether two words may be one: a typing error, a shorter form, or an abbreviation."""
    if first in NUMERALS or second in NUMERALS:
        return False
    short, long = (first, second) if len(first) <= len(second) else (second, first)
    if long.startswith(short):
        return True
    if len(short) >= 4 and OSA.distance(short, long) <= (1 if len(short) < 6 else 2):
        return True
    return 2 <= len(short) <= 4 and short[0] == long[0] and len(long) > len(short) + 1 and is_within(short, long)


def is_within(short: str, long: str) -> bool:
    """Return whether a word has the letters of another one in their order."""
    letters = iter(long)
    return all(letter in letters for letter in short)
