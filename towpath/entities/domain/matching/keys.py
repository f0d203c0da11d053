"""Blocking keys of one entity: signed 64-bit numbers that entities about the same thing are likely to share.

Keys are made from the entity alone, so each kind has to stay selective however large the index grows:

- *the whole record*: entities with equal values in every field share it, however many they are (see `copy_key`);
- *neighbouring characters* of scripts without spaces, in the place of words;
- *Latin letters* for words in other scripts, beside those, and for two characters that stand beside each other;
- *codes*: words that mix letters and digits, or are long digit runs;
- *whole values* of short fields and dates;
- *words*;
- *compounds* of a short form of two fields, or of two neighbouring words: their frequency grows with the
  product of two rarities, which is what still finds persons among a million;
- *grams* of the longest words, when the entity has few other keys: they find a typing error in a lone name.

Words and values are not salted by field: a value that slipped into another field is still found.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.scripts import CJK_LEGAL_FORMS, is_character, latin_view
from towpath.entities.types import FieldType

MAX_KEYS = 48
"""No entity has more keys."""
USUAL_KEYS = 24
"""Kinds of keys are added until there are this many."""
MAX_WORDS = 14
MAX_GRAMS = 12
MAX_NAME = 4
"""Characters of a person's name in a script without spaces."""
LOCAL_DIGITS = 7
"""Digits at the end of a long number that are a key: those of a phone without its codes of country and area."""

STOPWORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "for",
        "from",
        "in",
        "into",
        "is",
        "it",
        "of",
        "on",
        "or",
        "s",
        "the",
        "this",
        "to",
        "with",
        "und",
        "der",
        "die",
        "das",
        "de",
        "la",
        "le",
        "et",
        "du",
        "des",
        "el",
        "los",
        "las",
        "y",
        "en",
        "x",
        "inc",
        "ltd",
        "co",
        "llc",
        "corp",
        "gmbh",
        "plc",
        "sa",
        "ag",
        *CJK_LEGAL_FORMS,
    ]
)

_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15
_MIX = 0xD6E8FEB86659FD93


@lru_cache(maxsize=1 << 17)
def hash_text(text: str) -> int:
    """Stable unsigned 64-bit hash of a text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _both(first: int, second: int) -> int:
    """Hash of two hashes, the same in either order."""
    low, high = (first, second) if first < second else (second, first)
    return ((low * _ODD ^ high) * _MIX) & _MASK


def copy_key(values: Sequence[str | None]) -> int:
    """Return the key that an entity shares with its copies: those with the same normalised value in every field.

    Fields that come behind the last value do not count, so that it stays the same while a dynamic index gets fields.
    """
    unsigned = _hash_record(values)
    return unsigned - (1 << 64) if unsigned >> 63 else unsigned


def _hash_record(values: Sequence[str | None]) -> int:
    width = len(values)
    while width and values[width - 1] is None:
        width -= 1
    text = "\x1b" + "\x1f".join(["\x1e" if value is None else value for value in values[:width]])
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _is_code(word: str) -> bool:
    return len(word) >= 3 and not word.isalpha() and (len(word) >= 5 or not word.isdigit())


class _Parts:
    """What the keys of one entity are made of, collected value by value."""

    __slots__ = ("atoms", "characters", "codes", "lone", "runs", "views", "whole", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.codes: list[str] = []
        self.whole: list[str] = []
        self.characters: list[str] = []
        self.views: list[str] = []
        # A short form of each value, and the words of each value of several words.
        self.atoms: list[str] = []
        self.runs: list[list[str]] = []
        # What stands for the words of an entity without values of several words.
        self.lone: list[str] = []

    def add(self, value: str, kind: FieldType) -> None:
        """Take the parts of one value."""
        self.lone.append(value)
        if not value.isascii():
            self._add_view(value)
        if kind is FieldType.DATE:
            self.whole.append("d" + value)
            self.atoms.append(value[:4])
        elif kind is FieldType.NUMBER:
            if len(value) > 3:
                self.whole.append(value)
            self.atoms.append(value)
        elif " " in value:
            self._add_words(value, value.split(" ", 40)[:40])
        else:
            self.whole.append(value)
            self.atoms.append(value[:4])
            if len(value) > LOCAL_DIGITS and value.isdigit():
                self.whole.append(value[-LOCAL_DIGITS:])

    def _add_words(self, value: str, words: list[str]) -> None:
        telling = words if STOPWORDS.isdisjoint(words) else [word for word in words if word not in STOPWORDS]
        telling = telling or words[:1]
        if not value.isascii() and any(map(is_character, telling)):
            self._add_characters(telling)
            return
        if not value.replace(" ", "").isalpha():
            self.codes.extend([word for word in telling if _is_code(word)])
        self.runs.append(telling)
        self.words.extend(telling)
        self.atoms.append(telling[0][:4] + telling[-1][:3])
        if len(telling) <= 4:
            self.whole.append(" ".join(sorted(telling)))

    def _add_view(self, value: str) -> None:
        view = latin_view(value)
        if view is not None:
            self.views.append(view)
            self.views.extend(word for word in view.split(" ")[:MAX_WORDS] if word not in STOPWORDS and len(word) > 1)

    def _add_characters(self, telling: list[str]) -> None:
        joined = "".join(telling)
        if len(joined) <= MAX_NAME and (given_name := latin_view(joined[1:])):
            # A person's name: the family name is the first character, and the rest is one word in Latin letters.
            self.views.append(given_name)
        self.lone[-1] = joined
        self.whole.append(joined)
        self.atoms.append(joined[:4])
        for left, right in pairwise(telling):
            if is_character(left):
                self.characters.append(left + right)
                self.characters.append(f"{latin_view(left)} {latin_view(right)}")
        self.words.extend(word for word in telling if not is_character(word))


def blocking_keys(values: Sequence[str | None], types: Sequence[FieldType]) -> npt.NDArray[np.int64]:
    """Return the keys of one entity.

    Args:
        values: normalised value of each field, in the order of the configuration.
        types: type of each field.

    Returns:
        Sorted unique keys, at most `MAX_KEYS`, about `USUAL_KEYS` when the entity has enough to say.
    """
    parts = _Parts()
    for value, kind in zip(values, types, strict=True):
        if value is not None:
            parts.add(value, kind)
    keys: dict[int, None] = {_hash_record(values): None}
    for code in parts.codes[:8]:
        keys[hash_text(code)] = None
    for whole in parts.whole[:12]:
        keys[hash_text(whole)] = None
    for two in parts.characters[:MAX_WORDS]:
        keys[hash_text("\x1c" + two)] = None
    for view in parts.views[:MAX_WORDS]:
        keys[hash_text(view)] = None
    _add_words(keys, parts.words)
    if len(keys) < USUAL_KEYS:
        _add_compounds(keys, parts.atoms)
    if len(keys) < USUAL_KEYS:
        _add_pairs(keys, parts.runs)
    if len(keys) < USUAL_KEYS:
        _add_grams(keys, parts.words or parts.lone)
    unsigned = np.fromiter(keys, dtype=np.uint64, count=len(keys))[:MAX_KEYS]
    signed = unsigned.view(np.int64)
    signed.sort()
    return signed


def _add_words(keys: dict[int, None], words: list[str]) -> None:
    distinct = list(dict.fromkeys(words))
    if len(distinct) > MAX_WORDS:
        # Without a corpus, length is the best sign of rarity; the first words count as well.
        first, rest = distinct[:6], distinct[6:]
        distinct = first + sorted(rest, key=lambda word: (-len(word), word))[: MAX_WORDS - 6]
    for word in distinct:
        if len(word) > 1:
            keys[hash_text(word)] = None


def _add_compounds(keys: dict[int, None], atoms: list[str]) -> None:
    """Pairs of fields at distance one to three: enough that one or two wrong fields leave a pair standing."""
    hashes = [hash_text("\x1f" + atom) for atom in atoms]
    room = USUAL_KEYS - len(keys)
    for distance in (1, 2, 3):
        for first, second in zip(hashes, hashes[distance:], strict=False):
            # As `_both`, without a call for each pair.
            low, high = (first, second) if first < second else (second, first)
            compound = ((low * _ODD ^ high) * _MIX) & _MASK
            if compound not in keys:
                keys[compound] = None
                room -= 1
                if not room:
                    return


def _add_pairs(keys: dict[int, None], runs: list[list[str]]) -> None:
    for run in runs:
        for left, right in pairwise(run[:8]):
            if len(keys) >= USUAL_KEYS:
                return
            keys[_both(hash_text("\x1e" + left[:5]), hash_text("\x1e" + right[:5]))] = None


def _add_grams(keys: dict[int, None], words: list[str]) -> None:
    limit = min(USUAL_KEYS, len(keys) + MAX_GRAMS)
    for word in sorted(dict.fromkeys(words), key=lambda word: (-len(word), word)):
        if len(word) < 4:
            return
        padded = f"^{word[:24]}$"
        for start in range(len(padded) - 3):
            if len(keys) >= limit:
                return
            keys[hash_text("\x1d" + padded[start : start + 4])] = None
