"""The filter language against real Postgres: what matches is what a plain reading of the language says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from towpath.db.engine import Database
from towpath.vectors.domain.filters import parse_filter
from towpath.vectors.domain.items import object_uid
from towpath.vectors.store.collections import Collections
from towpath.vectors.store.filters import compile_filter
from towpath.vectors.store.objects import Draft, lock_objects, write_objects
from towpath.vectors.types import Collection

PAYLOADS: dict[str, dict[str, Any] | None] = {
    "a": {"text": "Graph attention for routing", "year": 2025, "tags": ["ml", "graphs"], "open": True},
    "b": {"text": "Sourdough: a routing of flour", "year": 2019, "tags": ["food"], "author": {"name": "Ada"}},
    "c": {"text": "100% rye_bread", "year": "2020", "tags": [], "open": None, "a.b": 1},
    "d": {"year": 2020.5, "author": {"name": "Bo"}, "date": "2020-05-01"},
    "e": None,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def number(database: Database) -> int:
    collection = await Collections().ensure(database, "acme", Collection.DEFAULT, "m")
    drafts = [
        Draft(object_uid(name), name, 1, b"x", None if payload is None else json.dumps(payload), None, parts=1)
        for name, payload in PAYLOADS.items()
    ]
    async with database.transaction() as connection:
        objects = [(draft.uid, draft.object_id) for draft in drafts]
        standings = await lock_objects(connection, collection.collection_no, objects)
        await write_objects(connection, collection.collection_no, drafts, accepted=1, standings=standings)
    return collection.collection_no


async def matches(database: Database, number: int, given: dict[str, Any]) -> str:
    condition, values = compile_filter(parse_filter(given))
    async with database.transaction() as connection:
        found = await connection.execute(
            f"SELECT object_id FROM vector_objects o WHERE collection_no = %s AND {condition} ORDER BY 1",
            (number, *values),
        )
        return "".join([row[0] async for row in found])


def q(**query: Any) -> dict[str, Any]:
    return {"query": query}


CASES: list[tuple[dict[str, Any], str]] = [
    (q(term={"field": "year", "value": 2025}), "a"),
    (q(term={"field": "year", "value": "2020"}), "c"),
    (q(term={"field": "tags", "value": "food"}), "b"),
    (q(term={"field": "open", "value": True}), "a"),
    (q(term={"field": "open", "value": None}), "bcde"),
    (q(term={"field": "author.name", "value": "Bo"}), "d"),
    (q(term={"field": "a.b", "value": 1}), "c"),
    (q(terms={"field": "tags", "values": ["food", "ml"]}), "ab"),
    (q(any={"field": "year", "values": [2019, 2025]}), "ab"),
    (q(all={"field": "tags", "values": ["ml", "graphs"]}), "a"),
    (q(all={"field": "tags", "values": ["ml", "food"]}), ""),
    (q(match={"field": "text", "value": "ROUTING bananas"}), "ab"),
    (q(match={"field": "text", "value": "..."}), ""),
    (q(match={"field": "year", "value": 2019}), "b"),
    (q(match_phrase={"field": "text", "value": "for routing"}), "a"),
    (q(match_phrase={"field": "text", "value": "routing for"}), ""),
    (q(wildcard={"field": "text", "value": "Graph*rout?ng"}), "a"),
    (q(wildcard={"field": "text", "value": "100%*"}), "c"),
    (q(wildcard={"field": "text", "value": "*rye?bread"}), "c"),
    (q(wildcard={"field": "text", "value": "%"}), ""),
    (q(wildcard={"field": "tags", "value": "gra*"}), "a"),
    (q(field="author"), "bd"),
    (q(field="open"), "a"),
    (q(field="year", range={"gte": 2019, "lt": 2025}), "bd"),
    (q(field="year", range={"gte": "2020"}), "c"),
    (q(field="date", range={"gte": "2020-01-01", "lte": "2020-12-31"}), "d"),
    (q(field="year", range={"eq": 2025}), "a"),
    (q(field="object_id", force_not_payload=True, range={"gte": "d"}), "de"),
    (q(term={"field": "object_id", "value": "b"}, force_not_payload=True), "b"),
    (q(terms={"field": "object_id", "values": ["b", "c"], "force_not_payload": True}), "bc"),
    (q(field="updated_at", force_not_payload=True, range={"gte": "2020-01-01T00:00:00Z"}), "abcde"),
    (q(must=[{"field": "year"}, {"term": {"field": "tags", "value": "ml"}}]), "a"),
    (q(should=[{"term": {"field": "tags", "value": "ml"}}, {"term": {"field": "tags", "value": "food"}}]), "ab"),
    (q(filter=[{"field": "year"}], must_not=[{"term": {"field": "year", "value": 2025}}]), "bcd"),
    (q(must_not=[{"match": {"field": "text", "value": "routing"}}]), "cde"),
    (q(must=[{"should": [{"field": "date"}, {"field": "open"}]}]), "ad"),
    ({"query": {}}, "abcde"),
    ({}, "abcde"),
    ({"year": {"$gte": 2020}}, "ad"),
    ({"tags": "ml", "year": {"$gt": 2000, "$lt": 2030}}, "a"),
    ({"tags": ["ml", "food"]}, "ab"),
    ({"year": {"$in": [2019, "2020"]}}, "bc"),
    ({"year": {"$nin": [2019, "2020"]}}, "ade"),
    ({"year": {"$ne": 2025}}, "bcde"),
    ({"author": {"$exists": False}}, "ace"),
    ({"$or": [{"year": 2019}, {"open": True}]}, "ab"),
    ({"$and": [{"year": 2019}, {"open": True}]}, ""),
    ({"$not": {"tags": "all"}}, "abcde"),
    ({"query": "routing"}, ""),
]


@pytest.mark.parametrize(("given", "found"), CASES, ids=[json.dumps(given)[:70] for given, _ in CASES])
async def test_what_a_filter_matches(database: Database, number: int, given: dict[str, Any], found: str) -> None:
    assert await matches(database, number, given) == found


NASTY = st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text and text.isprintable())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(field=NASTY, value=NASTY)
async def test_no_name_or_value_becomes_part_of_the_query(
    database: Database, number: int, field: str, value: str
) -> None:
    for form in ("term", "match", "match_phrase", "wildcard"):
        found = await matches(database, number, q(**{form: {"field": field, "value": value}}))
        assert len(found) <= len(PAYLOADS)
    await matches(database, number, q(field=field, range={"gte": value}))
    assert await matches(database, number, {}) == "abcde"
