"""How surely a label on a page means a property of a schema: word by word, by the shorter saying less."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rapidfuzz import fuzz

# Words that differ less are the same one, misread or inflected.
SAME_WORD = 82.0
SAME_JOINED = 93.0
# What a label counts that says more or less than the name, by what is left over.
FILLED = 0.92
TWO_SHARED = 0.88
NAMED_WITHIN = 0.72
DESCRIBED = 0.8
MAX_LEFT_OVER = 2
# Words that labels shorten, so that both are compared in full.
FULL_WORDS = {
    "no": "number", "nr": "number", "num": "number", "#": "number", "№": "number", "id": "number",
    "qty": "quantity", "amt": "amount", "tel": "phone", "telephone": "phone", "addr": "address",
    "dob": "date of birth", "acct": "account", "ref": "reference", "desc": "description", "inv": "invoice",
    "po": "purchase order", "pct": "percent", "wt": "weight", "pcs": "pieces",
}  # fmt: skip
# Words that a name may have or lack without meaning something else.
FILLERS = frozenset({"number", "name", "amount", "value", "code"})
# By themselves they name nothing.
VAGUE = FILLERS | {"type", "address", "status", "text", "other"}
LITTLE = frozenset({"of", "the", "a", "an", "and", "for", "in", "to", "de", "der", "des", "du", "la", "le"})
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BREAK = re.compile(r"[^\w#№]+|_+")


def split_words(text: str) -> list[str]:
    """Split a name or label into words, small, apart and in full; little ones are left out."""
    parts = [part.lower() for part in _BREAK.split(_CAMEL.sub(" ", text.replace("#", " # "))) if part]
    return [word for part in parts for word in FULL_WORDS.get(part, part).split() if word not in LITTLE]


def list_names(name: str, schema: Mapping[str, Any], prefix: Sequence[str] = ()) -> list[list[str]]:
    """List the ways in which a page may call a property: by its name and by its title."""
    names = [name, schema.get("title")]
    return [[*prefix, *split_words(each)] for each in names if isinstance(each, str) and each]


def measure_likeness(label: str, names: Sequence[Sequence[str]], description: str = "") -> float:
    """Measure how surely a label means one of the names, 0..1.

    Args:
        names: As of `list_names`.
        description: What the schema says of the property.
    """
    words = split_words(label)
    if not words:
        return 0.0
    best = max((_alike(words, name) for name in names if name), default=0.0)
    # A description tells much; that all of a label is in it says something when the label does.
    if best < DESCRIBED and len(words) > 1 and set(words) <= set(split_words(description)):
        return DESCRIBED
    return best


def _alike(label: Sequence[str], name: Sequence[str]) -> float:
    if len(label) != len(name):
        joined = fuzz.ratio("".join(label), "".join(name))
        if joined >= SAME_JOINED:
            return joined / 100
    # Each word of the label takes the likest word that is left of the name; `more` are left over of the label.
    left = list(name)
    scores: list[float] = []
    shared: list[str] = []
    more: list[str] = []
    for word in label:
        score, place = max(((fuzz.ratio(word, other), at) for at, other in enumerate(left)), default=(0.0, 0))
        if score < SAME_WORD:
            more.append(word)
            continue
        scores.append(score / 100)
        shared.append(left.pop(place))
    if not shared or (more and left):
        return 0.0
    return _weight(shared, more, left) * sum(scores) / len(scores)


def _weight(shared: Sequence[str], more: Sequence[str], less: Sequence[str]) -> float:
    """Return what is left of a likeness when one side has words over."""
    over = [*more, *less]
    if not over:
        return 1.0
    if FILLERS.issuperset(over):
        return FILLED
    if len(shared) > 1 and len(over) <= MAX_LEFT_OVER:
        return TWO_SHARED
    # `date` may be the invoice's date; `customerPhone` is not what is called the customer.
    return NAMED_WITHIN if more and len(over) <= MAX_LEFT_OVER and not VAGUE.issuperset(shared) else 0.0
