"""Lines of the bench become tables."""

from __future__ import annotations

from bench.tables import kind_table, list_table, mean_table, quality_table

LINES = [
    {"figure": "f1", "data": "lamps", "knowledge": "declared", "method": "tfidf, best threshold", "best_f1": 0.5},
    {"figure": "f1", "data": "lamps", "knowledge": "declared", "method": "towpath", "precision": 1.0, "recall": 0.25,
     "f1": 0.4, "best_f1": 0.625, "sure_right": None},
    {"figure": "f1", "data": "lamps", "knowledge": "declared", "method": "splink at 0.9", "failed": "no values"},
    {"figure": "list without duplicates", "data": "cities", "method": "towpath", "entities": 4000,
     "false_a_thousand": 1250.0, "false_between_different_a_thousand": 2.5},
    {"figure": "kinds", "data": "pairs", "method": "towpath", "duplicates_right": 1, "duplicates": 2,
     "different_right": 3, "different": 3, "missed": {"nickname": 0.2}, "merged": {}},
    {"figure": "mean", "of": "towpath: f1", "knowledge": "declared", "sets": 2, "mean": 0.5, "worst": 0.4,
     "worst_set": "lamps"},
]  # fmt: skip


def test_a_row_holds_ours_and_the_peers() -> None:
    assert list(quality_table(LINES))[2:] == ["| lamps | declared | 1.000 | .250 | .400 | .625 | .500 | - | - | - |"]


def test_false_pairs_are_for_every_thousand_entities() -> None:
    assert list(list_table(LINES))[2:] == ["| cities | 4000 | 1,250.0 | 2.5 | - |"]


def test_wrong_kinds_are_named() -> None:
    assert list(kind_table(LINES))[2:] == ["| pairs | 1 of 2 | 3 of 3 | nickname | - |"]


def test_means_name_the_worst() -> None:
    assert list(mean_table(LINES))[2:] == ["| towpath: f1 | declared | 2 | .500 | .400 | lamps |"]
