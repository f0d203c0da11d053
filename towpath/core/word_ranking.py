"""Texts ranked by the words that they share with a question; no model is asked."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

WORD = re.compile(r"[^\W_]+")
ENDINGS = ("ings", "ing", "ied", "ies", "es", "ed", "s", "e", "y")
STOP = frozenset(
    [
        "the", "a", "an", "of", "in", "on", "for", "to", "by", "with", "and", "or", "is", "are", "was", "were", "what",
        "which", "who", "how", "many", "much", "show", "me", "list", "give", "all", "each", "per", "had", "have", "has",
        "did", "do", "does", "that", "this", "from", "at", "it", "its", "their", "there", "most", "top", "best", "be",
    ]
)  # fmt: skip
SYNONYMS: dict[str, tuple[str, ...]] = {
    "average": ("avg", "mean"),
    "total": ("sum",),
    "number": ("count", "many", "often"),
    "maximum": ("max", "highest", "largest"),
    "minimum": ("min", "lowest", "smallest"),
    "departure": ("dep", "depart"),
    "arrival": ("arr", "arrive"),
    "destination": ("dest",),
}
Key = TypeVar("Key")


def words_of(text: str) -> list[str]:
    """Return the words of a text as stems, without those that say nothing."""
    stems = [_stem(word) for word in WORD.findall(text.lower()) if word not in STOP]
    return [SAME.get(word, word) for word in stems]


def _stem(word: str) -> str:
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            # Once more, so that `delays` and `delay` come to the same.
            return _stem(word[: -len(ending)])
    return word


SAME = {_stem(word): _stem(name) for name, others in SYNONYMS.items() for word in others}


def rank(question: str, texts: Mapping[Key, str]) -> list[tuple[Key, float]]:
    """Texts by how much they share with a question, best first; rare words count more.

    Args:
        question: In words.
        texts: What is said of each candidate.

    Returns:
        Each candidate with its score, 0 where nothing is shared; equal ones in the order given.
    """
    question_words = set(words_of(question))
    words = {key: Counter(words_of(text)) for key, text in texts.items()}
    frequency = Counter(word for each in words.values() for word in each)
    weight = {word: math.log(1 + len(words) / count) for word, count in frequency.items()}
    scores = {
        key: sum(weight[word] for word in each if word in question_words) / math.sqrt(1 + 0.2 * len(each))
        for key, each in words.items()
    }
    return sorted(scores.items(), key=lambda item: -item[1])
