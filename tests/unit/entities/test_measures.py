"""Figures of the bench, on data small enough to count by hand."""

from __future__ import annotations

import pytest

from bench import measures
from bench.datasets import DataSet, NamedPair

ROWS = [{"id": name, "source": source} for name, source in zip("abcdef", "xxxyyy", strict=True)]
DATA = DataSet("letters", ROWS, {("a", "d"), ("b", "e")}, linked=True, undecided=frozenset({("c", "f")}))


def test_quality_counts_right_wrong_and_missed_pairs() -> None:
    result = measures.quality([("a", "d"), ("a", "b"), ("a", "c"), ("c", "f")], DATA)

    assert (result.hits, result.wrong, result.missed) == (1, 2, 1)
    assert result.precision == pytest.approx(1 / 3)
    assert result.recall == pytest.approx(1 / 2)
    assert result.f1 == pytest.approx(0.4)
    assert measures.false_a_thousand(result, DATA) == pytest.approx(333.33)


def test_calling_nothing_on_a_list_without_duplicates_is_right() -> None:
    result = measures.quality([], DataSet("none", ROWS, set()))

    assert (result.precision, result.recall, result.f1) == (1, 1, 1)


def test_nothing_called_where_something_is_true_is_no_success() -> None:
    assert measures.quality([], DATA).figures() == {"precision": None, "recall": 0.0, "f1": 0.0}


def test_pairs_across_sources() -> None:
    assert measures.across_sources([("a", "d"), ("a", "b")], DATA) == {("a", "d")}


def test_the_best_threshold_is_the_one_with_the_highest_f1() -> None:
    scores = {("a", "d"): 0.9, ("a", "b"): 0.8, ("b", "e"): 0.7, ("a", "c"): 0.6, ("c", "f"): 0.95}

    best = measures.best_threshold(scores, DATA)

    assert best.threshold == 0.7
    assert best.f1 == pytest.approx(2 * 2 / (3 + 2))


def test_pairs_of_equal_score_are_called_together() -> None:
    scores = {("a", "d"): 1.0, ("a", "b"): 1.0, ("a", "c"): 1.0, ("b", "c"): 1.0}

    best = measures.best_threshold(scores, DATA)

    assert best.f1 == pytest.approx(2 * 1 / (4 + 2))


def test_a_ranking_that_lists_nothing_true_has_no_good_threshold() -> None:
    assert measures.best_threshold({("a", "b"): 1.0}, DATA).f1 == 0
    assert measures.best_threshold({}, DATA).f1 == 0


def test_mutual_best_keeps_the_best_of_both() -> None:
    scores = {("a", "d"): 0.9, ("a", "e"): 0.8, ("b", "e"): 0.8, ("b", "f"): 0.7}

    assert measures.mutual_best(scores) == {("a", "d"): 0.9, ("b", "e"): 0.8}


def test_calibration_compares_promise_and_truth() -> None:
    scores = {("a", "d"): 1.0, ("a", "b"): 0.9, ("b", "e"): 0.89, ("c", "f"): 0.99}

    assert measures.calibration(scores, DATA) == measures.Calibration(2, 0.95, 0.5)
    assert measures.calibration({("b", "e"): 0.5}, DATA) == measures.Calibration(0, None, None)


def test_records_that_nothing_tells_apart() -> None:
    rows = [{"id": "a", "name": "Deli", "city": None}, {"id": "b", "name": "deli ", "city": ""},
            {"id": "c", "name": "Deli", "city": "Rome"}, {"id": "d", "name": "Deli", "city": "Rome"}]  # fmt: skip

    assert measures.equal_records(DataSet("delis", rows, set())) == {("a", "b"), ("c", "d")}


def test_named_pairs_are_counted_on_both_sides() -> None:
    named = [
        NamedPair("nickname", ("a", "d"), True),
        NamedPair("two scripts", ("b", "e"), True),
        NamedPair("twins", ("a", "b"), False),
        NamedPair("spouses", ("a", "c"), False),
    ]

    verdicts = measures.named_verdicts({("a", "d"), ("a", "b")}, {("a", "d"): 1.0, ("a", "b"): 0.91234}, named)

    assert verdicts == {
        "duplicates_right": 1, "duplicates": 2, "different_right": 1, "different": 2,
        "missed": {"two scripts": None}, "merged": {"twins": 0.9123},
    }  # fmt: skip


def test_mean_and_the_worst_by_name() -> None:
    values = {"easy": 1.0, "hard": 0.4, "middling": 0.7}

    assert measures.mean_and_worst(values) == {"sets": 3, "mean": 0.7, "worst": 0.4, "worst_set": "hard"}
    assert measures.mean_and_worst(values, is_high_good=False)["worst_set"] == "easy"
    assert measures.mean_and_worst({}) == {"sets": 0}


def test_a_ratio_needs_a_baseline() -> None:
    assert measures.ratio(0.5, 0.4) == 1.25
    assert measures.ratio(0.5, 0) is None
    assert measures.ratio(0.5, None) is None
