"""Which fields and topics a question speaks of, by the words they share: what a prompt is narrowed down to."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

from towpath.ai.domain.semantics.compile import Column, fields_of
from towpath.ai.semantic_types import Content

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
FOCUS = re.compile(r"\b(?:by|per|each|every|which|what)\s+((?:\w+\s*){1,3})")
# A name within a sentence, an abbreviation, a year, something in quotes.
VALUE = re.compile(
    r"(?<!\w)[\"“'‘]([^\"“”‘’']{1,40})[\"”'’](?!\w)|(?<=[^.?!\s] )([A-Z][\w-]+)|\b([A-Z][A-Z\d]+)\b|\b(\d{3,})\b"
)
SMALL_MEASURES, SMALL_DIMENSIONS = 4, 5
NEAR = 0.75
Key = TypeVar("Key")


def words_of(text: str) -> list[str]:
    """The words of a text as stems, without those that say nothing."""
    found = [_stem(word) for word in WORD.findall(text.lower()) if word not in STOP]
    return [SAME.get(word, word) for word in found]


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
    asked = set(words_of(question))
    words = {key: Counter(words_of(text)) for key, text in texts.items()}
    seen = Counter(word for each in words.values() for word in each)
    weight = {word: math.log(1 + len(words) / count) for word, count in seen.items()}
    scores = {
        key: sum(weight[word] for word in each if word in asked) / math.sqrt(1 + 0.2 * len(each))
        for key, each in words.items()
    }
    return sorted(scores.items(), key=lambda one: -one[1])


def topic_texts(content: Content, names: Sequence[str]) -> dict[str, str]:
    """What is said of some topics: their own words, and the labels of their base's fields."""
    found = {}
    for name in names:
        topic = content.topics[name]
        base = content.views[topic.base_view]
        fields = [field.label or field_name for field_name, field in (*base.dimensions.items(), *base.measures.items())]
        said = (name, topic.label, topic.description, base.label, base.description)
        found[name] = " ".join([*(one.replace("_", " ") for one in said if one), *fields]).replace("_", " ")
    return found


def described(content: Content, column: Column) -> str:
    """What is said of a field: label, name, description, the view it is of."""
    view_name, _, rest = column.name.partition(".")
    view = content.views[view_name]
    field = rest.partition("[")[0]
    known = view.dimensions.get(field) or view.measures.get(field)
    said = (known.description or "") if known is not None else ""
    return f"{column.label} {field.replace('_', ' ')} {said} {(view.label or view_name).replace('_', ' ')}"


def fields_for(question: str, content: Content, topic: str, *, most: int) -> list[Column]:
    """The fields of a topic that a question may be about.

    Args:
        question: In words.
        content: The model.
        topic: One of its topics.
        most: How many at most.

    Returns:
        All of them where they are few; else the nearest, among them at least one measure and one dimension.
    """
    fields = fields_of(content, topic)
    if len(fields) <= most:
        return fields
    texts = {place: described(content, column) for place, column in enumerate(fields)}
    order = [place for place, _ in rank(question, texts)]
    chosen = set(order[:most])
    for measure in (True, False):
        # Without a measure there is nothing to tell, without a dimension nothing to tell it by.
        chosen |= set([place for place in order if fields[place].measure is measure][:2])
    return [fields[place] for place in order if place in chosen]


def small_choice(question: str, content: Content, topic: str) -> tuple[list[Column], list[Column]]:
    """What a small model chooses from: the few measures and the few dimensions that a question may be about.

    What follows `by`, `per`, `each` or `which` counts most for the dimensions; a number that a measure sums up is not
    something to tell it by.
    """
    fields = fields_of(content, topic)
    texts = {place: described(content, column) for place, column in enumerate(fields)}
    scores = dict(rank(question, texts))
    focus = " ".join(FOCUS.findall(question.lower()))
    nearer = dict(rank(focus, texts)) if focus else {}
    summed = {f"{view}.{measure.sql}" for view, known in content.views.items() for measure in known.measures.values()}
    measures = [place for place, column in enumerate(fields) if column.measure]
    dimensions = [place for place, column in enumerate(fields) if not column.measure and column.name not in summed]
    for_dimensions = {place: scores[place] + 2 * nearer.get(place, 0.0) for place in dimensions}
    return (
        [fields[place] for place in _nearest(measures, scores)[:SMALL_MEASURES]],
        [fields[place] for place in _nearest(dimensions, for_dimensions)[:SMALL_DIMENSIONS]],
    )


def _nearest(places: list[int], scores: Mapping[int, float]) -> list[int]:
    """Those that are about as near as the nearest one; all where nothing is near."""
    order = sorted(places, key=lambda place: -scores[place])
    least = scores[order[0]] * NEAR if order else 0.0
    return [place for place in order if scores[place] >= least]


def values_in(question: str, content: Content, topic: str) -> list[str]:
    """What a question seems to narrow its answer to: names, abbreviations, years, which are the words of no field."""
    fields = {word for column in fields_of(content, topic) for word in words_of(described(content, column))}
    found = ("".join(groups) for groups in VALUE.findall(question))
    return [value for value in dict.fromkeys(found) if not fields.issuperset(words_of(value))]


def shares_words(question: str, content: Content, topic: str) -> bool:
    """Whether a question names any field of a topic."""
    texts = {column.name: described(content, column) for column in fields_of(content, topic)}
    return any(score > 0 for _, score in rank(question, texts))
