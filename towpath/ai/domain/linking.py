"""Which fields and topics a question speaks of, by the words they share: what a prompt is narrowed down to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from towpath.ai.domain.semantics.compile import Column, list_fields
from towpath.ai.semantic_types import Content
from towpath.core.word_ranking import rank, words_of

FOCUS = re.compile(r"\b(?:by|per|each|every|which|what)\s+((?:\w+\s*){1,3})")
# A name within a sentence, an abbreviation, a year, something in quotes.
VALUE = re.compile(
    r"(?<!\w)[\"“'‘]([^\"“”‘’']{1,40})[\"”'’](?!\w)|(?<=[^.?!\s] )([A-Z][\w-]+)|\b([A-Z][A-Z\d]+)\b|\b(\d{3,})\b"
)
SMALL_MEASURES, SMALL_DIMENSIONS = 4, 5
NEAR = 0.75


def describe_topics(content: Content, names: Sequence[str]) -> dict[str, str]:
    """Describe topics: by their own words, and by the labels of their base's fields."""
    texts = {}
    for name in names:
        topic = content.topics[name]
        base = content.views[topic.base_view]
        fields = [field.label or field_name for field_name, field in (*base.dimensions.items(), *base.measures.items())]
        descriptions = (name, topic.label, topic.description, base.label, base.description)
        texts[name] = " ".join([*(text.replace("_", " ") for text in descriptions if text), *fields]).replace("_", " ")
    return texts


def describe_field(content: Content, column: Column) -> str:
    """Describe a field: label, name, description, the view it is of."""
    view_name, _, rest = column.name.partition(".")
    view = content.views[view_name]
    field = rest.partition("[")[0]
    known = view.dimensions.get(field) or view.measures.get(field)
    description = (known.description or "") if known is not None else ""
    return f"{column.label} {field.replace('_', ' ')} {description} {(view.label or view_name).replace('_', ' ')}"


def select_fields(question: str, content: Content, topic: str, *, most: int) -> list[Column]:
    """Select the fields of a topic that a question may be about.

    Args:
        question: In words.
        content: The model.
        topic: One of its topics.
        most: How many at most.

    Returns:
        All of them where they are few; else the nearest, among them at least one measure and one dimension.
    """
    fields = list_fields(content, topic)
    if len(fields) <= most:
        return fields
    texts = {place: describe_field(content, column) for place, column in enumerate(fields)}
    order = [place for place, _ in rank(question, texts)]
    chosen = set(order[:most])
    for measure in (True, False):
        # Without a measure there is nothing to tell, without a dimension nothing to tell it by.
        chosen |= set([place for place in order if fields[place].measure is measure][:2])
    return [fields[place] for place in order if place in chosen]


def select_constrained_fields(question: str, content: Content, topic: str) -> tuple[list[Column], list[Column]]:
    """Select what a small model chooses from: the few measures and dimensions that a question may be about.

    What follows `by`, `per`, `each` or `which` counts most for the dimensions; a number that a measure sums up is not
    something to tell it by.
    """
    fields = list_fields(content, topic)
    texts = {place: describe_field(content, column) for place, column in enumerate(fields)}
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
    """Return those that are about as near as the nearest one; all where nothing is near."""
    order = sorted(places, key=lambda place: -scores[place])
    least = scores[order[0]] * NEAR if order else 0.0
    return [place for place in order if scores[place] >= least]


def find_values(question: str, content: Content, topic: str) -> list[str]:
    """Find what a question seems to narrow its answer to: names, abbreviations, years, which are no field's words."""
    fields = {word for column in list_fields(content, topic) for word in words_of(describe_field(content, column))}
    values = ("".join(groups) for groups in VALUE.findall(question))
    return [value for value in dict.fromkeys(values) if not fields.issuperset(words_of(value))]


def has_field_names(question: str, content: Content, topic: str) -> bool:
    """Return whether a question names any field of a topic."""
    texts = {column.name: describe_field(content, column) for column in list_fields(content, topic)}
    return any(score > 0 for _, score in rank(question, texts))
