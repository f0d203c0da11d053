"""How the page of an entity shows values and evidence."""

from __future__ import annotations

from towpath.api.console.entities_page import evidence_of, flat
from towpath.api.console.rendering import make_environment
from towpath.entities.types import Candidate, Contribution, Explanation, IndexConfig
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
    assert read_explanation(config, b"\0\0\0\0", 0.5, None, None).prior == 0.0


async def test_what_labels_and_judges_have_is_drawn_beside_the_fields_and_counted() -> None:
    config = IndexConfig.model_validate({"indexName": "x", "fields": [{"name": "name", "type": "text"}]})
    told = Explanation(
        prior=-2.0,
        matched=[Contribution(field="#judge", contribution=6.0), Contribution(field="name", contribution=1.0)],
        conflicting=[],
    )

    bars, total = evidence_of(config, told, 8.0)

    assert [bar.name for bar in bars] == ["before any field", "name", "a model's judgement"]
    assert total == 5.0
    label = Explanation(prior=0.0, matched=[], conflicting=[Contribution(field="#label", contribution=-20.0)])
    assert evidence_of(config, label, 20.0)[0][-1].name == "a label"


async def test_a_judged_pair_names_its_judge_and_what_that_says_is_no_markup() -> None:
    page = '{% from "entity_macros.html" import judged %}{{ judged(pair) }}'
    template = make_environment().from_string(page)
    judged = Candidate(id=1, similarity=0.97, duplicate=True, judged_by="openai::gpt-4o", judge_reason="<b>same</b>")

    shown = template.render(pair=judged)

    assert "openai::gpt-4o" in shown
    assert "&lt;b&gt;same&lt;/b&gt;" in shown
    assert template.render(pair=Candidate(id=1, similarity=0.97, duplicate=True)).strip() == ""
