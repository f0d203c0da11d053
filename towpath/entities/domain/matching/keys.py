"""Blocking keys of one entity: signed 64-bit numbers that entities about the same thing are likely to share.

Keys are made from the entity alone, so each kind has to stay selective however large the index grows:

- *the whole record*: entities with equal values in every field share it, however many they are (see `copy_key`);
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

from towpath.entities.types import FieldType

MAX_KEYS = 48
"""No entity has more keys."""
USUAL_KEYS = 23
"""Kinds of keys are added until there are this many, besides that of the whole record."""
MAX_WORDS = 14
MAX_GRAMS = 12

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
    ]
)

_MASK = (1 << 64) - 1
_ODD = 0x9E3779B97F4A7C15


@lru_cache(maxsize=1 << 17)
def hash_text(text: str) -> int:
    """Stable unsigned 64-bit hash of a text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _both(first: int, second: int) -> int:
    """Hash of two hashes, the same in either order."""
    low, high = (first, second) if first < second else (second, first)
    return ((low * _ODD ^ high) * 0xD6E8FEB86659FD93) & _MASK


def copy_key(values: Sequence[str | None]) -> int:
    """Return the key that an entity shares with its copies: those with the same normalised value in every field.

    Fields that come behind the last value do not count, so that it stays the same while a dynamic index gets fields.
    """
    width = len(values)
    while width and values[width - 1] is None:
        width -= 1
    text = "\x1f".join("\x1e" if value is None else value for value in values[:width])
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=b"copy").digest()
    return int.from_bytes(digest, "big", signed=True)


def _is_code(word: str) -> bool:
    return len(word) >= 3 and not word.isalpha() and (len(word) >= 5 or not word.isdigit())


def blocking_keys(values: Sequence[str | None], types: Sequence[FieldType]) -> npt.NDArray[np.int64]:
    """Return the keys of one entity.

    Args:
        values: normalised value of each field, in the order of the configuration.
        types: type of each field.

    Returns:
        Sorted unique keys, at most `MAX_KEYS`, about one more than `USUAL_KEYS` when the entity has enough to say.
    """
    all_words: list[str] = []
    codes: list[str] = []
    whole: list[str] = []
    atoms: list[str] = []
    runs: list[list[str]] = []
    for value, kind in zip(values, types, strict=True):
        if value is None:
            continue
        if kind is FieldType.DATE:
            whole.append("d" + value)
            atoms.append(value[:4])
        elif kind is FieldType.NUMBER:
            if len(value) > 3:
                whole.append(value)
            atoms.append(value)
        else:
            words_of_value = value.split(" ")
            if len(words_of_value) == 1:
                whole.append(value)
                atoms.append(value[:4])
            else:
                telling = [word for word in words_of_value[:40] if word not in STOPWORDS] or words_of_value[:1]
                codes.extend(word for word in telling if _is_code(word))
                runs.append(telling)
                all_words.extend(telling)
                atoms.append(telling[0][:4] + telling[-1][:3])
                if len(telling) <= 4:
                    whole.append(" ".join(sorted(telling)))
    keys = dict.fromkeys(map(hash_text, codes[:8]))
    keys.update(dict.fromkeys(map(hash_text, whole[:12])))
    _add_words(keys, all_words)
    _add_compounds(keys, atoms)
    _add_pairs(keys, runs)
    if len(keys) < USUAL_KEYS:
        _add_grams(keys, all_words or [value for value in values if value])
    unsigned = np.fromiter(keys, dtype=np.uint64, count=len(keys))[: MAX_KEYS - 1]
    return np.unique(np.append(unsigned.view(np.int64), copy_key(values)))


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
    for distance in (1, 2, 3):
        for left in range(len(hashes) - distance):
            if len(keys) >= USUAL_KEYS:
                return
            keys[_both(hashes[left], hashes[left + distance])] = None


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
