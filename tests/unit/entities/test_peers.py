"""The peers of the bench answer on invented data."""

from __future__ import annotations

import pytest

from bench import invented, measures
from bench.datasets import DataSet
from towpath.entities.types import FieldType, IndexField

LAMPS = DataSet(
    "lamps",
    [
        {"id": "a1", "name": "desk lamp orion", "source": "a"},
        {"id": "a2", "name": "desk lamp orion", "source": "a"},
        {"id": "b1", "name": "Orion desk lamp", "source": "b"},
        {"id": "b2", "name": "steel garden chair", "source": "b"},
        {"id": "b3", "name": None, "source": "b"},
    ],
    {("a1", "b1")},
    linked=True,
)


def test_cosines_compare_everybody_once() -> None:
    pytest.importorskip("sklearn")
    from bench.tfidf import cosines

    scores = cosines(LAMPS, is_declared=False)

    assert scores[("a1", "a2")] == pytest.approx(1)
    assert 0.5 < scores[("a1", "b1")] < 1
    assert all(left < right for left, right in scores)
    assert not any("b3" in pair for pair in scores)


def test_who_knows_the_sources_compares_across_them_only() -> None:
    pytest.importorskip("sklearn")
    from bench.tfidf import cosines

    scores = cosines(LAMPS, is_declared=True)

    assert ("a1", "a2") not in scores
    assert scores[("a1", "b1")] == scores[("a2", "b1")]


def test_splink_finds_persons_with_typing_errors() -> None:
    pytest.importorskip("splink")
    from bench.splink import run_splink

    data = invented.persons(1_000)

    run = run_splink(data, is_declared=False)

    assert measures.quality(run.duplicates, data).f1 > 0.9
    assert run.seconds > 0


def test_fields_that_bring_too_many_pairs_are_joined() -> None:
    pandas = pytest.importorskip("pandas")
    from bench.splink import blocking_rules

    table = pandas.DataFrame(
        {
            "state": ["vic", "vic", "nsw", "vic"],
            "city": ["ashby", "bowen", "cowra", "dubbo"],
            "born": ["19800101", "19800102", "19800103", "19800104"],
            "kind": ["person", "person", "person", "person"],
            "status": ["new", "new", "new", "old"],
        }
    )
    fields = [IndexField(name=name, type=FieldType.STRING) for name in table.columns]
    state, city, born, kind, status = (f"substr({name}, 1, 5)" for name in table.columns)

    assert blocking_rules(table, fields, None) == [[state], [city], [born], [kind], [status]]
    assert blocking_rules(table, fields, 2) == [[city], ["born"], [state, kind, status]]
