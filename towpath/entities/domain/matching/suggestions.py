"""Which pairs a person had best label: few, doubtful, and each of another kind.

A label teaches most where the model is in doubt, or calls a pair a duplicate though a field speaks against it; and it
teaches of all pairs with the same pattern of evidence at once. So patterns are taken in turn, those that decide about
many doubtful pairs more often, and no two pairs share an entity or a group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from towpath.entities.domain.matching.levels import Floats
from towpath.entities.quality_types import SuggestionReason

CLEAR_BITS = 0.75
"""Evidence below this is neither for nor against."""
CERTAIN_CONFLICT_BITS = 4.0
PLAIN_EACH = 4
"""Every so many suggestions one is of a pair that nothing speaks against."""
MIN_DOUBT = 0.02
"""A pair without any doubt counts this much: labels of ordinary duplicates are needed as well."""
NEAR = 0.1


@dataclass(frozen=True, slots=True)
class ListedPair:
    """A listed pair that has no label.

    Attributes:
        left_uid: uid of one side, the smaller.
        right_uid: uid of the other side.
        similarity: score, 0..1.
        duplicate: its verdict.
        contributions: of the fields, in bits.
        groups: the groups that its sides are in.
    """

    left_uid: int
    right_uid: int
    similarity: float
    duplicate: bool
    contributions: Floats
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A pair to be labelled, why, and how many pairs of the same pattern were looked at."""

    pair: ListedPair
    reason: SuggestionReason
    alike: int


def suggest(pairs: Sequence[ListedPair], threshold: float, limit: int) -> list[Suggestion]:
    """Choose the pairs whose labels would teach most; the same for any order of `pairs`.

    Args:
        pairs: Without a label; each once.
        threshold: Where the verdict changes.
        limit: How many to choose at most.
    """
    by_pattern: dict[bytes, list[ListedPair]] = defaultdict(list)
    for pair in pairs:
        by_pattern[_pattern_of(pair)].append(pair)
    worth = {pattern: sqrt(sum(_doubt(pair, threshold) for pair in alike)) for pattern, alike in by_pattern.items()}
    waiting = {
        pattern: sorted(alike, key=lambda pair: (_doubt(pair, threshold), -pair.left_uid, -pair.right_uid))
        for pattern, alike in by_pattern.items()
    }
    plain = {pattern for pattern in by_pattern if min(np.frombuffer(pattern, dtype=np.int8), default=0) >= 0}
    taken: dict[bytes, int] = defaultdict(int)
    used: set[tuple[str, int]] = set()
    suggestions: list[Suggestion] = []
    while waiting and len(suggestions) < limit:
        # Labels of both kinds are needed, and where a model merges what it should not, only plain pairs are duplicates.
        is_plain_turn = len(suggestions) % PLAIN_EACH == PLAIN_EACH - 1
        eligible = [pattern for pattern in waiting if pattern in plain] if is_plain_turn else []
        pattern = max(eligible or waiting, key=lambda key: (worth[key] / (1 + taken[key]) ** 2, key))
        pair = waiting[pattern].pop()
        if not waiting[pattern]:
            del waiting[pattern]
        marks = {("entity", pair.left_uid), ("entity", pair.right_uid), *(("group", group) for group in pair.groups)}
        if marks & used:
            continue
        used |= marks
        taken[pattern] += 1
        suggestions.append(Suggestion(pair, _reason(pair, threshold), len(by_pattern[pattern])))
    return suggestions


def _pattern_of(pair: ListedPair) -> bytes:
    """Return which fields speak for, against, or neither."""
    signs = np.where(np.abs(pair.contributions) < CLEAR_BITS, 0, np.sign(pair.contributions))
    return signs.astype(np.int8).tobytes()


def _conflict(pair: ListedPair) -> float:
    """Return how strongly fields speak against the pair, 0..1."""
    against = -float(np.minimum(pair.contributions, 0.0).sum())
    return min(against / CERTAIN_CONFLICT_BITS, 1.0)


def _doubt(pair: ListedPair, threshold: float) -> float:
    """Return how much is open about a pair, 0..2: by its score, and by evidence against a pair called a duplicate."""
    distance = abs(pair.similarity - threshold) / max(threshold, 1.0 - threshold)
    by_score = (1.0 - min(distance, 1.0)) * 4.0 * max(pair.similarity * (1.0 - pair.similarity), 0.0)
    by_conflict = _conflict(pair) if pair.similarity >= threshold else 0.0
    return max(by_score + by_conflict, MIN_DOUBT)


def _reason(pair: ListedPair, threshold: float) -> SuggestionReason:
    if abs(pair.similarity - threshold) <= NEAR and pair.similarity < 0.5 + threshold / 2:
        return SuggestionReason.NEAR_THRESHOLD
    if pair.similarity >= threshold and _conflict(pair) >= CLEAR_BITS / CERTAIN_CONFLICT_BITS:
        return SuggestionReason.CONFLICTING_EVIDENCE
    return SuggestionReason.NEAR_THRESHOLD if pair.similarity < threshold else SuggestionReason.TYPICAL
