"""Structured queries against real databases: DuckDB in this process, Postgres of the session."""

from __future__ import annotations

from typing import Any

import duckdb
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.ai.domain.semantics.compile import Dialect, compile_count, compile_query, list_fields
from towpath.ai.domain.semantics.content import read_model
from towpath.ai.semantic_types import Query
from towpath.core.errors import BadInputError, NotFoundError

MODEL = """
views:
  shipments:
    table: shipments
    dimensions:
      id: {type: number}
      depot: {sql: depot_code}
      sent: {type: timestamp, label: Sent}
      late: {type: boolean, sql: hours > 24}
      note: {}
    measures:
      count: {aggregate: count, label: Shipments}
      late_count: {aggregate: count, where: hours > 24}
      hours: {aggregate: sum, sql: hours}
      late_share: {aggregate: expression, sql: "sum(case when hours > 24 then 1.0 else 0 end) / count(*)"}
      odd: {aggregate: sum, sql: "hours % 2"}
      percents: {aggregate: count, where: "note like '1%' or note = '50%'"}
      notes: {aggregate: count_distinct, sql: note}
      last: {aggregate: max, sql: sent}
  depots:
    table: depots
    dimensions:
      code: {}
      name: {}
      region_id: {type: number}
    measures:
      count: {aggregate: count}
      names: {aggregate: count_distinct, sql: name}
  regions:
    table: regions
    dimensions:
      id: {type: number}
      name: {label: Region}
relationships:
  - {from: shipments, to: depots, on: {depot: code}}
  - {from: depots, to: regions, on: {region_id: id}}
topics:
  shipments: {base_view: shipments, label: Shipments}
  alone: {base_view: shipments, views: []}
  depots: {base_view: depots}
"""
CONTENT = read_model(MODEL)
DDL = """
CREATE TABLE shipments (id int, depot_code text, sent timestamp, hours int, note text);
CREATE TABLE depots (code text, name text, region_id int);
CREATE TABLE regions (id int, name text);
INSERT INTO depots VALUES ('n', 'North', 1), ('e', 'East', 1), ('d', 'Dock 5', 2);
INSERT INTO regions VALUES (1, 'Inland'), (2, 'Coast');
INSERT INTO shipments VALUES
  (1, 'n', '2026-05-01 10:00', 30, 'a'), (2, 'n', '2026-05-02 11:00', 40, '100%'),
  (3, 'n', '2026-06-01 12:00', 5, NULL),
  (4, 'e', '2026-05-03 10:00', 25, 'b'), (5, 'd', '2026-06-30 23:59', 3, 'b'), (6, NULL, '2026-05-04 00:00', 8, '50%');
"""
Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def duck() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(DDL)
    return connection


@pytest.fixture(scope="module", params=list(Dialect))
def ask(request: pytest.FixtureRequest, duck: duckdb.DuckDBPyConnection, database_url: str) -> Any:
    """Runs a query on one of both, and sees that its rows are counted right, whatever its limit."""

    def run(query: dict[str, Any], topic: str = "shipments") -> Rows:
        asked = Query.model_validate(query)
        made = compile_query(CONTENT, topic, asked, request.param)
        counting = compile_count(CONTENT, topic, asked, request.param, most=1000)
        if request.param is Dialect.DUCKDB:
            found = duck.execute(made.sql, made.parameters).fetchall()
            assert min(duck.execute(counting.sql, counting.parameters).fetchall()[0][0], asked.limit) == len(found)
            return found
        with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
            connection.execute("CREATE SCHEMA s; SET search_path TO s")
            connection.execute(DDL)
            rows: Rows = connection.execute(made.sql, made.parameters).fetchall()  # type: ignore[call-overload]
            counted = connection.execute(counting.sql, counting.parameters).fetchall()  # type: ignore[call-overload]
            assert min(counted[0][0], asked.limit) == len(rows)
            connection.rollback()
            return rows

    return run


def plain(rows: Rows) -> list[tuple[Any, ...]]:
    return [tuple(float(v) if type(v).__name__ in {"Decimal", "float"} else v for v in row) for row in rows]


def test_measures_by_a_joined_dimension(ask: Any) -> None:
    rows = ask(
        {"table": "shipments", "fields": ["depots.name", "shipments.count", "shipments.late_count"], "limit": 10}
    )

    assert rows == [("North", 3, 2), ("Dock 5", 1, 0), ("East", 1, 1), (None, 1, 0)]


def test_a_chain_of_joins_filters_sorts_and_a_limit(ask: Any) -> None:
    query = {
        "table": "shipments",
        "fields": ["regions.name", "shipments.hours"],
        "filters": {"regions.name": ["Inland", "Coast"], "shipments.sent": {"gte": "2026-05-01", "lt": "2026-06-15"}},
        "sorts": [{"column_name": "regions.name"}],
        "limit": 1,
    }
    assert plain(ask(query)) == [("Inland", 100.0)]


@pytest.mark.parametrize(("most", "found"), [(1, 2), (3, 4), (4, 4), (1000, 4)])
def test_counting_leaves_the_limit_aside_and_ends_one_row_above_its_own(most: int, found: int) -> None:
    query = Query(table="shipments", fields=["depots.name", "shipments.count"], limit=1)
    counting = compile_count(CONTENT, "shipments", query, Dialect.DUCKDB, most=most)

    connection = duckdb.connect()
    connection.execute(DDL)
    assert connection.execute(counting.sql, counting.parameters).fetchall() == [(found,)]


def test_time_frames(ask: Any) -> None:
    rows = ask({"table": "shipments", "fields": ["shipments.sent[month]", "shipments.count"],
                "sorts": [{"column_name": "shipments.sent[month]"}]})  # fmt: skip

    assert [(str(row[0]), row[1]) for row in rows] == [("2026-05-01", 4), ("2026-06-01", 2)]


def test_expressions_percent_signs_and_remainders(ask: Any) -> None:
    rows = plain(ask({"table": "shipments", "fields": ["shipments.late_share", "shipments.odd", "shipments.percents"]}))

    assert rows == [(0.5, 3.0, 2)]


def test_a_filter_on_a_measure_keeps_groups(ask: Any) -> None:
    query = {"table": "shipments", "fields": ["shipments.depot"], "filters": {"shipments.count": {"gt": 1}}}

    assert ask(query) == [("n",)]


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ({"shipments.late": True}, [1, 2, 4]),
        ({"shipments.note": {"contains": "%"}}, [2, 6]),
        ({"shipments.note": {"starts_with": "100"}}, [2]),
        ({"shipments.note": None}, [3]),
        ({"shipments.note": {"is_null": False, "not_in": ["b"]}}, [1, 2, 6]),
        ({"shipments.id": {"between": [2, 4]}}, [2, 3, 4]),
        ({"shipments.id": "3"}, [3]),
        ({"shipments.note": "' OR 1=1 --"}, []),
        ({"shipments.note": {"contains": "'; DROP TABLE shipments; --"}}, []),
    ],
)
def test_filters(ask: Any, given: dict[str, Any], ids: list[int]) -> None:
    query = {"table": "shipments", "fields": ["shipments.id"], "filters": given}

    assert [row[0] for row in ask(query)] == ids


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"fields": ["shipments.wings"]}, "fields.0: the view shipments has no field wings"),
        ({"fields": ["planes.id"]}, "fields.0: the topic shipments has no view planes"),
        ({"fields": ['shipments.id" FROM pg_shadow --']}, "fields.0"),
        ({"fields": ["shipments.id; drop table shipments"]}, "fields.0"),
        ({"fields": ["shipments.id", "shipments.id"]}, "twice"),
        ({"fields": ["shipments.id[month]"]}, "no time frame month"),
        ({"fields": ["shipments.sent[century]"]}, "no time frame century"),
        ({"fields": ["shipments.count[month]"]}, "is a measure"),
        ({"fields": ["depots.count"]}, "ask a topic over depots"),
        ({"table": "depots", "fields": ["depots.name"]}, "table"),
        (
            {"fields": ["shipments.id"], "filters": {"shipments.id": "three"}},
            "filters.shipments.id: 'three' is no number",
        ),
        ({"fields": ["shipments.id"], "filters": {"shipments.id": {"like": 3}}}, "no operator 'like'"),
        ({"fields": ["shipments.id"], "filters": {"shipments.id": {"contains": "3"}}}, "contains is for text"),
        ({"fields": ["shipments.id"], "filters": {"shipments.sent": "soon"}}, "is no timestamp"),
        ({"fields": ["shipments.id"], "filters": {"shipments.late": 1}}, "is no boolean"),
        ({"fields": ["shipments.id"], "filters": {"1=1": 1}}, "filters.1=1"),
        ({"fields": ["shipments.id"], "sorts": [{"column_name": "shipments.note"}]}, "not among the fields"),
        ({"fields": ["shipments.id"], "sorts": [{"column_name": "1; drop table x"}]}, "not among the fields"),
    ],
)
def test_what_the_topic_does_not_have_is_named(query: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        compile_query(CONTENT, "shipments", Query.model_validate({"table": "shipments", **query}), Dialect.DUCKDB)
    assert said in caught.value.detail


def test_measures_that_no_join_multiplies_are_served(ask: Any) -> None:
    assert ask({"table": "shipments", "fields": ["depots.names"]}) == [(3,)]
    assert ask({"table": "depots", "fields": ["depots.count"]}, "depots") == [(3,)]


def test_a_topic_shows_its_views_alone() -> None:
    assert {one.name.split(".")[0] for one in list_fields(CONTENT, "alone")} == {"shipments"}
    with pytest.raises(NotFoundError):
        list_fields(CONTENT, "wings")


@given(st.data())
def test_every_query_of_listed_fields_runs(data: st.DataObject) -> None:
    names = [one.name for one in list_fields(CONTENT, "shipments")]
    fields = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=6, unique=True))
    query = Query(table="shipments", fields=fields, limit=data.draw(st.integers(1, 50)))
    made = compile_query(CONTENT, "shipments", query, Dialect.DUCKDB)

    connection = duckdb.connect()
    connection.execute(DDL)
    rows = connection.execute(made.sql, made.parameters).fetchall()
    assert [one.name for one in made.columns] == fields
    assert rows == connection.execute(made.sql, made.parameters).fetchall()
    counting = compile_count(CONTENT, "shipments", query, Dialect.DUCKDB, most=1000)
    assert min(connection.execute(counting.sql, counting.parameters).fetchall()[0][0], query.limit) == len(rows)
