"""Values that name two different things, however much else the two share: other names, other numbers, other sizes.

What one side adds is no difference: a longer name of the same thing is usual. But where both sides hold a word or a
number that the other has in no spelling, as red and blue, 42 and 43, II and III, Peter and Grace, the things are two.
Typing errors, abbreviations, initials, nicknames, acronyms, words written together and quantities in another unit are
spellings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from nicknames import NickNamer
from rapidfuzz.distance import OSA, JaroWinkler

from towpath.entities.domain.matching.legal_forms import LEADING_FORMS, LEGAL_FORMS
from towpath.entities.domain.matching.quantities import find_quantities, is_same_quantity
from towpath.entities.domain.matching.scripts import CJK_LEGAL_FORMS, is_read_by_guess, latin_view
from towpath.entities.domain.matching.views import put_in_one_script
from towpath.entities.domain.matching.words import NUMERALS, ROMAN, are_spellings, is_within, strike_out_spellings

MAX_WORDS = 40
MAX_ACRONYM = 6
MAX_FORM_WORDS = 3
"""A legal form is among the last words of a name, as in `gmbh co kg`."""
MIN_MODEL_CHARS = 4
MIN_NAME_LIKENESS = 0.8
MIN_READ_LIKENESS = 0.7
"""Of words of which one was written in Latin letters by its sounds: `Чайковский` is Tchaikovsky and Tschaikowski."""
MIN_STEM_CHARS = 4
STEM_SHARE = 0.6
MIN_JOINED_CHARS = 6
MIN_JOINED_LIKENESS = 0.8
VOWELS = frozenset("aeiouy")
_FILLERS = """
    a an the of for with in on at by to from and or new
    apt apartment suite ste unit flat no nr mr mrs ms miss dr prof sir herr frau
    und der die das von mit et de la le les du el los y e di da do
"""
FILLERS = frozenset(_FILLERS.split())
EDITIONS = frozenset({"pro", "max", "mini", "plus", "lite", "ultra"})
"""Words that make another product of one, also where only one side has them."""


def are_names_apart(first: str, second: str) -> bool:
    """Return whether two given names belong to two people: no word of one is a spelling of a word of the other."""
    is_read = first.isascii() != second.isascii()
    if is_read and (is_read_by_guess(first) or is_read_by_guess(second)):
        return False
    least = MIN_READ_LIKENESS if is_read else MIN_NAME_LIKENESS
    first, second = put_in_one_script(first, second)
    here, there = first.split(" "), second.split(" ")
    return not any(_are_names_alike(word, other, least) for word in here for other in there)


def _are_names_alike(word: str, other: str, least: float) -> bool:
    return (
        are_spellings(word, other)
        or JaroWinkler.similarity(word, other) >= least
        or not _all_names(word).isdisjoint(_all_names(other))
    )


@lru_cache(maxsize=1 << 14)
def _all_names(name: str) -> frozenset[str]:
    """Return a name and those that it is short for."""
    return frozenset({name, *_nick_namer().canonicals_of(name)})


@lru_cache(maxsize=1)
def _nick_namer() -> NickNamer:
    return NickNamer()


def are_titles_apart(first: str, second: str) -> bool:
    """Return whether two titles, or names of firms or people, belong to two things."""
    if first.isascii() and second.isascii():
        return _are_titles_apart(first, second)
    if first.isascii() != second.isascii():
        if is_read_by_guess(first) or is_read_by_guess(second):
            return False
        return _are_titles_apart(*put_in_one_script(first, second), _are_read_alike)
    views = latin_view(first) or first, latin_view(second) or second
    return _are_titles_apart(*put_in_one_script(first, second)) and _are_titles_apart(*views)


def _are_titles_apart(first: str, second: str, are_alike: Callable[[str, str], bool] | None = None) -> bool:
    left, right = first.split(" ")[:MAX_WORDS], second.split(" ")[:MAX_WORDS]
    shared = set(left) & set(right)
    here = [word for at, word in enumerate(left) if word not in shared and not _is_filler(left, at)]
    there = [word for at, word in enumerate(right) if word not in shared and not _is_filler(right, at)]
    if not here or not there:
        return _is_another_edition(here or there)
    here, there = _strike_quantities(left, right, here, there)
    here, there = _strike_joined(here, there, left, right)
    here, there = strike_out_spellings(here, there, are_alike=are_alike or _are_words_alike, max_opposed=2 * MAX_WORDS)
    if not here or not there or _are_joined_alike(here, there):
        return False
    if any(_is_model(word) for word in shared):
        # One model number: only a single word in the place of another one makes two of it.
        return len(here) == 1 and len(there) == 1
    return True


def _is_filler(words: list[str], at: int) -> bool:
    word = words[at]
    if word in FILLERS or word in CJK_LEGAL_FORMS:
        return True
    # Behind a name, AB is a legal form; in front of one it is the name.
    return (word in LEGAL_FORMS and at > 0 and at >= len(words) - MAX_FORM_WORDS) or (at == 0 and word in LEADING_FORMS)


def _is_another_edition(added: list[str]) -> bool:
    return any(word in EDITIONS or (word in NUMERALS and len(word) > 1) for word in added)


def _is_model(word: str) -> bool:
    return len(word) >= MIN_MODEL_CHARS and not word.isdigit() and not word.isalpha() and word.isascii()


def _strike_quantities(
    left: list[str], right: list[str], here: list[str], there: list[str]
) -> tuple[list[str], list[str]]:
    """Leave out quantities that are one in two units, with their units."""
    ours, theirs = find_quantities(left), find_quantities(right)
    struck_here: set[str] = set()
    struck_there: set[str] = set()
    for left_quantity in ours:
        for right_quantity in theirs:
            if is_same_quantity(left_quantity, right_quantity):
                struck_here.update(left_quantity.words)
                struck_there.update(right_quantity.words)
    return [word for word in here if word not in struck_here], [word for word in there if word not in struck_there]


def _strike_joined(here: list[str], there: list[str], left: list[str], right: list[str]) -> tuple[list[str], list[str]]:
    """Leave out words that the other side writes as several, joined or by their first letters."""
    here, there = _strike_joined_in(here, there, right)
    there, here = _strike_joined_in(there, here, left)
    return here, there


def _strike_joined_in(words: list[str], others: list[str], whole: list[str]) -> tuple[list[str], list[str]]:
    for word in list(words):
        parts = _find_parts(word, whole)
        if parts:
            words = [rest for rest in words if rest != word]
            others = [rest for rest in others if rest not in parts]
    return words, others


def _find_parts(word: str, whole: list[str]) -> frozenset[str]:
    """Return the neighbouring words that make up a word; nothing: none do."""
    for start in range(len(whole) - 1):
        joined = whole[start]
        for end in range(start + 1, len(whole)):
            joined += whole[end]
            if joined == word:
                return frozenset(whole[start : end + 1])
            if len(joined) > len(word):
                break
    if 2 <= len(word) <= MAX_ACRONYM and word.isalpha():
        telling = [other for other in whole if other not in FILLERS]
        initials = "".join(other[0] for other in telling)
        at = initials.find(word)
        if at >= 0:
            return frozenset(telling[at : at + len(word)])
    return frozenset()


def _are_joined_alike(here: list[str], there: list[str]) -> bool:
    """Return whether words are spellings of each other if spaces do not count."""
    left, right = "".join(here), "".join(there)
    if min(len(left), len(right)) < MIN_JOINED_CHARS or not (left.isalpha() and right.isalpha()):
        return False
    return OSA.normalized_similarity(left, right) >= MIN_JOINED_LIKENESS


_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:st|nd|rd|th)?")
_CARDINALS = "one two three four five six seven eight nine ten eleven twelve"
_ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
_NUMBERS = {
    word: float(number)
    for words in (_CARDINALS.split(), _ORDINALS.split(), ROMAN)
    for number, word in enumerate(words, start=1)
}


def _read_number(word: str) -> float | None:
    """Return the number that a word is, in digits, in letters or in Roman numerals; None: it is none."""
    match = _NUMBER.fullmatch(word)
    return float(match[1]) if match else _NUMBERS.get(word)


def _are_words_alike(word: str, other: str) -> bool:
    numbers = _read_number(word), _read_number(other)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] == numbers[1]
    if word.isalpha() and other.isalpha():
        return (
            are_spellings(word, other)
            or _is_inflected(word, other)
            or _is_abbreviated(word, other)
            or not _all_names(word).isdisjoint(_all_names(other))
        )
    short, long = sorted((word, other), key=len)
    # A model number with a letter more names a variant that sellers leave out.
    return len(short) >= MIN_MODEL_CHARS and (
        long.startswith(short) or (len(short) > 6 and OSA.distance(word, other) <= 1)
    )


def _are_read_alike(word: str, other: str) -> bool:
    """Return whether two words are alike, of which one was written in Latin letters by its sounds."""
    is_name = word.isalpha() and other.isalpha()
    return _are_words_alike(word, other) or (is_name and JaroWinkler.similarity(word, other) >= MIN_READ_LIKENESS)


def _is_inflected(word: str, other: str) -> bool:
    """Return whether two words begin alike: `battery` and `batteries`."""
    common = next((at for at, (left, right) in enumerate(zip(word, other, strict=False)) if left != right), len(word))
    return common >= max(MIN_STEM_CHARS, STEM_SHARE * max(len(word), len(other)))


def _is_abbreviated(word: str, other: str) -> bool:
    """Return whether one word is the other one without vowels and some letters more: `hldgs` for `holdings`."""
    short, long = sorted((word, other), key=len)
    return len(short) >= 3 and short[0] == long[0] and VOWELS.isdisjoint(short[1:]) and is_within(short, long)
