"""A model over another."""

from __future__ import annotations

from towpath.ai.domain.semantics.content import read_model
from towpath.ai.domain.semantics.overlay import overlay

BASE = {
    "views": {
        "lamps": {"table": "lamps", "dimensions": {"id": {"type": "number"}, "shop": {"type": "number"}}},
        "shops": {"table": "shops", "dimensions": {"id": {"type": "number"}, "name": {}}},
    },
    "relationships": [{"from": "lamps", "to": "shops", "on": {"shop": "id"}}],
    "topics": {"lamps": {"base_view": "lamps"}},
}


def test_a_part_of_a_view_is_added_to_what_is_below() -> None:
    own = {"views": {"lamps": {"label": "Lamps", "dimensions": {"watts": {"type": "number"}}}}}

    found = overlay(BASE, own)

    assert list(found["views"]["lamps"]["dimensions"]) == ["id", "shop", "watts"]
    assert found["views"]["lamps"]["label"] == "Lamps"
    assert read_model(found).views["lamps"].table == "lamps"


def test_null_takes_a_member_away_and_nothing_else() -> None:
    found = overlay(BASE, {"views": {"shops": {"dimensions": {"name": None}}}, "topics": {"lamps": None}})

    assert list(found["views"]["shops"]["dimensions"]) == ["id"]
    assert found["topics"] == {}


def test_a_relationship_over_the_same_columns_replaces_that_of_the_base() -> None:
    own = {"relationships": [{"from": "lamps", "to": "shops", "on": {"shop": "id"}, "type": "one_to_one"}]}

    found = overlay(BASE, own)

    assert [one["type"] for one in found["relationships"]] == ["one_to_one"]


def test_the_base_stays_as_it_was() -> None:
    before = repr(BASE)

    overlay(BASE, {"views": {"lamps": {"table": "other", "dimensions": {"id": {"type": "string"}}}}})

    assert repr(BASE) == before
