"""Where a value stands in a document, and how sure that makes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from towpath.documents.types import Box, PageContent, Word
from towpath.extraction.domain.numbers import parse_number
from towpath.extraction.types import FieldSource

SEEN, UNSEEN = 0.95, 0.5
"""A model's value that the document says in its own words, and one that it does not."""
AGREED = 0.99
MAX_VALUE_WORDS = 30
_MARKS = re.compile(r"[\W_]+")


def find_source(value: Any, pages: Sequence[PageContent]) -> FieldSource:
    """Find a value of a model in the pages.

    Args:
        value: A scalar, or what is made of scalars: then the least sure of them counts.
        pages: In order.

    Returns:
        With page and boxes where the words are found.
    """
    if isinstance(value, Mapping):
        return _least([find_source(each, pages) for each in value.values()])
    if isinstance(value, list):
        return _least([find_source(each, pages) for each in value])
    if value is None or isinstance(value, bool) or value == "":
        return FieldSource(confidence=UNSEEN)
    for page in pages:
        place = _in_words(value, page.words)
        if place is not None:
            words, boxes = place
            sure = min((word.confidence for word in words), default=1.0)
            return FieldSource(confidence=round(SEEN * sure, 4), page=page.page, boxes=boxes)
    for page in pages:
        if _in_text(value, page.content):
            return FieldSource(confidence=round(SEEN * (page.confidence or 1.0), 4), page=page.page)
    return FieldSource(confidence=UNSEEN)


def is_said(value: Any, pages: Sequence[PageContent]) -> bool:
    """Return whether a document says a value in its own words."""
    return find_source(value, pages).page is not None


def _least(sources: Sequence[FieldSource]) -> FieldSource:
    if not sources:
        return FieldSource(confidence=UNSEEN)
    page = next((source.page for source in sources if source.page is not None), None)
    boxes = [box for source in sources if source.page == page for box in source.boxes]
    return FieldSource(confidence=min(source.confidence for source in sources), page=page, boxes=boxes)


def _in_words(value: Any, words: Sequence[Word]) -> tuple[list[Word], list[Box]] | None:
    if isinstance(value, int | float):
        for word in words:
            number = parse_number(word.text)
            if number is not None and float(number) == float(value):
                return [word], [word.box]
        return None
    value_words = _plain_words(str(value))
    if not value_words or len(value_words) > MAX_VALUE_WORDS:
        return None
    plain = ["".join(_plain_words(word.text)) for word in words]
    for start in range(len(words) - len(value_words) + 1):
        if plain[start] == value_words[0] and plain[start : start + len(value_words)] == value_words:
            hit = list(words[start : start + len(value_words)])
            return hit, [word.box for word in hit]
    return None


def _in_text(value: Any, text: str) -> bool:
    if isinstance(value, int | float):
        return any(
            (number := parse_number(part)) is not None and float(number) == float(value)
            for part in re.findall(r"[\d.,]+", text)
        )
    value_text = " ".join(_plain_words(str(value)))
    return bool(value_text) and f" {value_text} " in f" {' '.join(_plain_words(text))} "


def _plain_words(text: str) -> list[str]:
    return [word for word in _MARKS.sub(" ", text.casefold()).split() if word]
