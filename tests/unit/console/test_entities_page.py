"""How the page of an entity shows values and evidence."""

from __future__ import annotations

from towpath.api.console.entities_page import evidence_of, flat
from towpath.entities.types import Contribution, Explanation, IndexConfig
from towpath.entities.views import read_explanation


async def test_values_are_told_by_their_paths() -> None:
    assert list(flat({"a": {"b": {"c": 1}, "d": []}, "e": {}, "f": "x"})) == [
        ("a.b.c", "1"), ("a.d", "[]"), ("e", "{}"), ("f", "x"),
    ]  # fmt: skip


async def test_evidence_is_drawn_to_both_sides_of_nothing() -> None:
    config = IndexConfig.model_validate(
        {"indexName": "x", "fields": [{"name": name, "type": "text"} for name in ("name", "city", "born")]}
    )
    told = Explanation(
        prior=-2.0,
        matched=[Contribution(field="name", contribution=8.0)],
        conflicting=[Contribution(field="born", contribution=-4.0)],
    )

    bars, total = evidence_of(config, told, 8.0)

    assert [(bar.name, bar.start, bar.width) for bar in bars] == [
        ("before any field", 37.5, 12.5), ("name", 50.0, 50.0), ("city", 50.0, 0.0), ("born", 25.0, 25.0),
    ]  # fmt: skip
    assert total == 2.0
    assert read_explanation(config, b"\0\0\0\0", 0.5, None).prior == 0.0
