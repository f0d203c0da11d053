"""What is computed from pairs and scores: quality at a verdict, the best a threshold could do, calibration, means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bench.datasets import DataSet, NamedPair
from towpath.demo.persons import Pair, ordered

SURE = 0.9
"""From this similarity on, a pair counts as stated with certainty."""
Scores = Mapping[Pair, float]


@dataclass(frozen=True)
class Quality:
    """Pairs called duplicates beside the true ones.

    Attributes:
        hits: Called, and true.
        wrong: Called, and not true; undecided pairs are not among them.
        missed: True, and not called.
    """

    hits: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of the called pairs that are true; 1 when nothing was called."""
        return self.hits / (self.hits + self.wrong) if self.hits + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of the true pairs that were called; 1 when there are none."""
        return self.hits / (self.hits + self.missed) if self.hits + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both; 1 when there was nothing to call and nothing was called."""
        every = 2 * self.hits + self.wrong + self.missed
        return 2 * self.hits / every if every else 1.0

    def figures(self) -> dict[str, float | None]:
        """Return precision, recall and F1 for a line of JSON; who called nothing has no precision to show."""
        precision = round(self.precision, 4) if self.hits + self.wrong else None
        return {"precision": precision, "recall": round(self.recall, 4), "f1": round(self.f1, 4)}


def quality(called: Iterable[Pair], data: DataSet) -> Quality:
    """Compare pairs called duplicates with the true ones."""
    pairs = set(called) - data.undecided
    hits = len(pairs & data.pairs)
    return Quality(hits, len(pairs) - hits, len(data.pairs) - hits)


def across_sources(called: Iterable[Pair], data: DataSet) -> set[Pair]:
    """Return the pairs whose two entities come from different sources."""
    source = {row["id"]: row.get("source") for row in data.rows}
    return {(left, right) for left, right in called if source[left] != source[right]}


@dataclass(frozen=True)
class Best:
    """The threshold with the highest F1, chosen on the truth: optimistic, and the same for everybody."""

    f1: float
    threshold: float


def best_threshold(scores: Scores, data: DataSet) -> Best:
    """Find the threshold with the highest F1; pairs of equal score are called together or not at all."""
    pairs = [pair for pair in scores if pair not in data.undecided]
    if not pairs or not data.pairs:
        return Best(0.0 if data.pairs else 1.0, 1.0)
    values = np.array([scores[pair] for pair in pairs])
    true = np.array([pair in data.pairs for pair in pairs])
    order = np.argsort(-values, kind="stable")
    values, true = values[order], true[order]
    is_last = np.append(values[1:] != values[:-1], True)
    called = np.arange(1, len(values) + 1)[is_last]
    f1 = 2 * np.cumsum(true)[is_last] / (called + len(data.pairs))
    at = int(np.argmax(f1))
    return Best(float(f1[at]), float(values[is_last][at]))


def mutual_best(scores: Scores) -> dict[Pair, float]:
    """Keep the pairs in which each entity is the best, or as good as the best, of the other."""
    best: dict[str, float] = {}
    for pair, score in scores.items():
        for entity in pair:
            best[entity] = max(best.get(entity, score), score)
    return {pair: score for pair, score in scores.items() if score >= best[pair[0]] and score >= best[pair[1]]}


@dataclass(frozen=True)
class Calibration:
    """Pairs stated with a similarity of at least `SURE`: how many, what they promise, how many hold."""

    count: int
    promised: float | None
    right: float | None

    def figures(self) -> dict[str, float | None]:
        """Return the three for a line of JSON."""
        return {"sure_pairs": self.count, "sure_promised": self.promised, "sure_right": self.right}


def calibration(scores: Scores, data: DataSet) -> Calibration:
    """Compare what pairs of high similarity promise with the share of them that is right."""
    sure = [(pair, score) for pair, score in scores.items() if score >= SURE and pair not in data.undecided]
    if not sure:
        return Calibration(0, None, None)
    promised = sum(score for _, score in sure) / len(sure)
    right = sum(pair in data.pairs for pair, _ in sure) / len(sure)
    return Calibration(len(sure), round(promised, 4), round(right, 4))


def false_a_thousand(result: Quality, data: DataSet) -> float:
    """Return how many pairs are wrongly called duplicates for every thousand entities."""
    return round(1000 * result.wrong / len(data.rows), 2)


def equal_records(data: DataSet) -> frozenset[Pair]:
    """Return the pairs of records that have the same in every field: nothing in the data tells them apart."""
    names = [field.name for field in data.fields]
    together: dict[tuple[str, ...], list[str]] = {}
    for row in data.rows:
        values = tuple("" if row.get(name) is None else str(row[name]).strip().lower() for name in names)
        together.setdefault(values, []).append(row["id"])
    return frozenset(ordered(*pair) for ids in together.values() for pair in combinations(ids, 2))


def named_verdicts(called: Collection[Pair], scores: Scores, named: Iterable[NamedPair]) -> dict[str, Any]:
    """Count the right answers on each side and list the wrong ones with their kind."""
    cases = list(named)
    wrong = [case for case in cases if (case.pair in called) != case.is_duplicate]
    sides = {
        is_duplicate: [case for case in cases if case.is_duplicate == is_duplicate] for is_duplicate in (True, False)
    }
    right = {side: len(every) - sum(case in wrong for case in every) for side, every in sides.items()}
    return {
        "duplicates_right": right[True],
        "duplicates": len(sides[True]),
        "different_right": right[False],
        "different": len(sides[False]),
        "missed": {case.kind: _rounded(scores.get(case.pair)) for case in wrong if case.is_duplicate},
        "merged": {case.kind: _rounded(scores.get(case.pair)) for case in wrong if not case.is_duplicate},
    }


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def mean_and_worst(values: Mapping[str, float], *, is_high_good: bool = True) -> dict[str, Any]:
    """Return the mean over data sets and the worst with its name."""
    if not values:
        return {"sets": 0}
    worst = (min if is_high_good else max)(values, key=lambda name: values[name])
    return {
        "sets": len(values),
        "mean": round(sum(values.values()) / len(values), 4),
        "worst": round(values[worst], 4),
        "worst_set": worst,
    }


def ratio(value: float, baseline: float | None) -> float | None:
    """Return a figure as a multiple of its baseline, None where there is none."""
    return round(value / baseline, 3) if baseline else None
