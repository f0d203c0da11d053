"""The filter language: what cannot be understood is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.core.errors import BadInputError
from towpath.vectors.domain.filters import parse_filter


def q(**query: Any) -> dict[str, Any]:
    return {"query": query}


BAD: list[tuple[dict[str, Any], str]] = [
    (q(term={"value": 1}), "filter.query.term.field"),
    (q(term={"field": "a"}), "filter.query.term.value"),
    (q(term={"field": "a", "value": {"b": 1}}), "filter.query.term.value"),
    (q(terms={"field": "a", "values": "b"}), "filter.query.terms.values"),
    (q(wildcard={"field": "a", "value": 5}), "filter.query.wildcard.value"),
    (q(field="a", range={}), "filter.query.range"),
    (q(field="a", range={"gte": 1, "lt": "b"}), "filter.query.range"),
    (q(field="a", range={"above": 1}), "filter.query.range.above"),
    (q(field="a", range={"gte": True}), "filter.query.range.gte"),
    (q(nearly={"field": "a"}), "filter.query"),
    (q(must={"field": "a"}), "filter.query.must"),
    (q(must=[{"term": {"field": "a", "value": 1}}, {"odd": 1}]), "filter.query.must[1]"),
    (q(term={"field": "payload", "value": 1}, force_not_payload=True), "filter.query.term.field"),
    (q(term={"field": "a\0", "value": 1}), "filter.query.term.field"),
    (q(term={"field": "a", "value": "b\0"}), "filter.query.term.value"),
    ({"year": {"$near": 5}}, "filter.year.$near"),
    ({"$or": {"year": 5}}, "filter.$or"),
    (q(terms={"field": "a", "values": [1] * 1001}), "filter.query.terms.values"),
]


@pytest.mark.parametrize(("given", "where"), BAD, ids=[where + str(i) for i, (_, where) in enumerate(BAD)])
def test_a_filter_that_cannot_be_understood_names_the_place(given: dict[str, Any], where: str) -> None:
    with pytest.raises(BadInputError) as error:
        parse_filter(given)

    assert error.value.field == where


def test_a_filter_is_bounded_in_depth() -> None:
    given: dict[str, Any] = {"field": "a"}
    for _ in range(30):
        given = {"must": [given]}

    with pytest.raises(BadInputError, match="levels deep"):
        parse_filter({"query": given})
