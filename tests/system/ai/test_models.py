"""Connections and semantic models as their users see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.support.ai import LATE, TELL, TOTALS, answered, ask, lamps_model, make_lamps, script, shop_model, until
from tests.support.builders import Organization
from tests.support.llm_server import LlmServer
from towpath.runtime.embedded import EmbeddedStack

Ids = dict[str, str]
YAML = """
views:
  sales:
    label: Sales
    measures:
      share_late:
        aggregate: expression
        sql: count(*) filter (where late) * 1.0 / count(*)
topics:
  sales: {base_view: sales, label: Sales of lamps}
"""


def test_a_schema_model_is_made_by_reading_the_database(org: Organization, lamps: Ids) -> None:
    found = org.call("GET", f"/v1/models/{lamps['schema']}/topic/sales")["topic"]

    assert {view["name"] for view in found["views"]} == {"sales", "shops"}
    assert found["relationships"] == [{"from": "sales", "to": "shops", "on": {"shop_id": "id"}, "type": "many_to_one"}]
    topics = org.call("GET", f"/v1/models/{lamps['model']}/topic")["topics"]
    assert {one["name"]: one["base_view_name"] for one in topics} == {"sales": "sales", "shops": "shops"}


def test_models_are_listed_filtered_and_paged(org: Organization, lamps: Ids) -> None:
    everything = org.call("GET", "/v1/models", params={"pageSize": 1, "sortField": "createdAt"})
    following = org.call(
        "GET",
        "/v1/models",
        params={"pageSize": 1, "sortField": "createdAt", "cursor": everything["pageInfo"]["nextCursor"]},
    )

    assert [one["modelKind"] for one in everything["records"] + following["records"]] == ["SCHEMA", "SHARED"]
    assert everything["pageInfo"]["totalRecords"] == 2
    assert following["pageInfo"]["hasNextPage"] is False
    shared = org.call("GET", "/v1/models", params={"modelKind": "SHARED"})["records"]
    assert [one["id"] for one in shared] == [lamps["model"]]
    assert org.call("GET", "/v1/models", params={"modelId": lamps["schema"]})["records"][0]["baseModelId"] is None


def test_a_models_content_is_changed_by_yaml(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    answer = org.http.put(
        f"/v1/models/{lamps['model']}/content", content=YAML, headers={"Content-Type": "application/yaml"}
    )

    assert answer.status_code == 200, answer.text
    content = org.call("GET", f"/v1/models/{lamps['model']}/content")
    assert content["content"]["views"]["sales"]["label"] == "Sales"
    assert "share_late" in content["whole"]["views"]["sales"]["measures"]
    assert "price" in content["whole"]["views"]["sales"]["dimensions"]
    script(provider, {**LATE, "query": {"title": "Share", "fields": ["sales.share_late"]}}, TELL)
    found = answered(org, lamps)
    query = org.call("GET", f"/v1/ai/jobs/{found['id']}/result")["actions"][0]["result"]
    assert query["csvResult"].splitlines()[1] == "0.25"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"views": {"sales": {"dimensions": {"x": {"sql": "(SELECT 1)"}}}}}, "content.views.sales.dimensions.x.sql"),
        ({"views": {"sales": {"measures": {"x": {"aggregate": "sum", "sql": "read_csv('/etc/passwd')"}}}}}, "sql"),
        ({"views": {"sales": {"table": "sales; DROP TABLE sales"}}}, "content.views.sales.table"),
        ({"views": {"sales": {"table": 'sales" WHERE 1=1 --'}}}, "content.views.sales.table"),
        ({"views": {"sales": {"dimensions": {"x y": {}}}}}, "content.views.sales.dimensions"),
        ({"views": {"sales": {"dimensions": {"x": {"sql": "pg_sleep(10)"}}}}}, "sql"),
        ({"views": {"sales": {"dimensions": {"x": {"sql": "shops.name"}}}}}, "sql"),
        ({"topics": {"sales": {"base_view": "nothing"}}}, "content.topics.sales.base_view"),
        ({"unknown": {}}, "content.unknown"),
        ("views: [", "content"),
        ("a: &a [1]\nb: *a", "content"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_valid_is_refused_with_the_place_and_changes_nothing(
    org: Organization, lamps: Ids, content: Any, place: str
) -> None:
    path = f"/v1/models/{lamps['model']}/content"
    before = org.call("GET", path)["content"]

    answer = org.call("PUT", path, 400, json={"content": content})

    assert place in answer["detail"]
    assert org.call("GET", path)["content"] == before


def test_a_branch_is_merged_into_its_model(org: Organization, lamps: Ids) -> None:
    body = {
        "connectionId": lamps["connection"],
        "modelKind": "BRANCH",
        "modelName": "wording",
        "baseModelId": lamps["model"],
        "content": {"views": {"sales": {"dimensions": {"watts": {"label": "Power"}, "lamp": None}}}},
    }
    branch = org.call("POST", "/v1/models", json=body)["model"]["id"]
    listed = org.call("GET", "/v1/models", params={"include": "activeBranches", "modelId": lamps["model"]})
    assert listed["records"][0]["branches"] == [{"id": branch, "name": "wording"}]
    topic = f"/v1/models/{lamps['model']}/topic/sales"
    assert _dimensions(org.call("GET", topic)["topic"])["watts"].get("label") is None
    assert _dimensions(org.call("GET", topic, params={"branch_id": branch})["topic"])["watts"]["label"] == "Power"
    org.call("DELETE", f"/v1/models/{lamps['model']}", 409)

    org.call("POST", f"/v1/models/{branch}/merge")

    merged = _dimensions(org.call("GET", topic)["topic"])
    assert merged["watts"]["label"] == "Power"
    assert "lamp" not in merged
    org.call("GET", f"/v1/models/{branch}", 404)
    with_deleted = org.call("GET", "/v1/models", params={"includeDeleted": True})["records"]
    assert {one["id"] for one in with_deleted if one["deletedAt"]} == {branch}


def _dimensions(topic: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in topic["views"] if one["name"] == "sales")["dimensions"]
    return found


def test_an_extension_is_asked_as_a_model_of_its_own(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    body = {
        "connectionId": lamps["connection"],
        "modelKind": "SHARED_EXTENSION",
        "modelName": "finance",
        "baseModelId": lamps["model"],
        "content": {"views": {"sales": {"measures": {"turnover": {"aggregate": "sum", "sql": "price"}}}}},
    }
    extension = org.call("POST", "/v1/models", json=body)["model"]["id"]
    script(provider, {**LATE, "query": {"title": "Turnover", "fields": ["sales.turnover"]}}, TELL)

    found = answered(org, {**lamps, "model": extension})

    query = org.call("GET", f"/v1/ai/jobs/{found['id']}/result")["actions"][0]["result"]
    assert query["status"] == "success"


def test_a_schema_model_is_brought_up_to_date_below_what_lies_on_it(org: Organization, lamps: Ids) -> None:
    answer = org.call("POST", f"/v1/models/{lamps['schema']}/refresh")

    assert answer["success"] is True
    assert org.call("GET", f"/v1/models/{lamps['model']}/topic/sales")["topic"]["label"] == "Sales of lamps"
    org.call("POST", f"/v1/models/{lamps['model']}/refresh", 404)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"modelKind": "BRANCH"}, "baseModelId"),
        ({"modelKind": "WORKBOOK"}, "modelKind"),
        ({"content": {}}, "content"),
        ({"modelKind": "BRANCH", "baseModelId": "schema"}, "baseModelId"),
    ],
)
def test_kinds_that_do_not_fit_are_refused(org: Organization, lamps: Ids, change: dict[str, Any], told: str) -> None:
    body = {"connectionId": lamps["connection"], **change}
    if body.get("baseModelId") == "schema":
        body["baseModelId"] = lamps["schema"]

    assert told in org.call("POST", "/v1/models", 400, json=body)["detail"]


def test_unknown_connections_and_bases_are_404(org: Organization, lamps: Ids) -> None:
    org.call("POST", "/v1/models", 404, json={"connectionId": str(uuid4())})
    body = {"connectionId": lamps["connection"], "modelKind": "SHARED", "baseModelId": str(uuid4())}
    org.call("POST", "/v1/models", 404, json=body)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"name": "x", "kind": "mysql", "path": "a"}, "kind"),
        ({"name": "x", "kind": "duckdb"}, "path"),
        ({"name": "x", "kind": "postgres"}, "url"),
        ({"name": "x", "kind": "postgres", "url": "http://example.com"}, "url"),
        ({"name": "", "kind": "duckdb", "path": "a"}, "name"),
        ({"name": "x", "kind": "duckdb", "path": "a", "url": "postgresql://a/b"}, "url"),
    ],
)
def test_a_connection_that_cannot_be_is_refused(org: Organization, body: dict[str, Any], told: str) -> None:
    assert told in org.call("POST", "/v1/connections", 400, json=body)["detail"]


@pytest.mark.parametrize(
    "path", ["../outside.duckdb", "/etc/passwd", "../../../../etc/passwd", "nothing.duckdb", ".", "a" * 300, "a\0b"]
)
def test_a_path_that_leads_to_no_file_of_the_folder_is_refused(org: Organization, lamps: Ids, path: str) -> None:
    body = {"name": "x", "kind": "duckdb", "path": path}

    for method, where in (("POST", "/v1/connections"), ("PUT", f"/v1/connections/{lamps['connection']}")):
        assert org.call(method, where, 400, json=body)["detail"].startswith(("path: ", "path contains"))
    assert [one["path"] for one in org.call("GET", "/v1/connections")] == ["lamps.duckdb"]


def test_a_file_that_has_gone_since_is_told_when_it_is_read(org: Organization, databases: Path) -> None:
    passing = databases / org.slug / f"{uuid4().hex}.duckdb"
    make_lamps(passing)
    body = {"name": "x", "kind": "duckdb", "path": passing.name}
    connection = org.call("POST", "/v1/connections", 201, json=body)["id"]
    passing.unlink()

    answer = org.call("POST", "/v1/models", 400, json={"connectionId": connection})

    assert "cannot be read" in answer["detail"]


def test_a_shared_model_without_a_base_is_made_over_what_the_database_tells_of_itself(org: Organization) -> None:
    body = {"name": "bare", "kind": "duckdb", "path": "lamps.duckdb"}
    connection = org.call("POST", "/v1/connections", 201, json=body)["id"]
    wanted = {"connectionId": connection, "modelKind": "SHARED", "modelName": "bare"}

    first = org.call("POST", "/v1/models", json=wanted)["model"]
    second = org.call("POST", "/v1/models", json={**wanted, "modelName": "other"})["model"]

    schemas = org.call("GET", "/v1/models", params={"modelKind": "SCHEMA"})["records"]
    assert [one["id"] for one in schemas] == [first["baseModelId"]] == [second["baseModelId"]]
    assert {one["name"] for one in org.call("GET", f"/v1/models/{first['id']}/topic")["topics"]} == {"sales", "shops"}


def test_a_key_makes_a_model_over_a_database_that_is_read_first_once(org: Organization, lamps: Ids) -> None:
    body = {"name": "unread", "kind": "duckdb", "path": "lamps.duckdb"}
    connection = org.call("POST", "/v1/connections", 201, json=body)["id"]
    model = {"connectionId": connection, "modelKind": "SHARED", "modelName": "shared"}
    key = {"Idempotency-Key": str(uuid4())}

    first = org.http.post("/v1/models", json=model, headers=key)
    again = org.http.post("/v1/models", json=model, headers=key)

    assert first.status_code == 200, first.text
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    models = org.call("GET", "/v1/models", params={"connectionId": connection, "sortField": "createdAt"})["records"]
    assert [row["modelKind"] for row in models] == ["SCHEMA", "SHARED"]
    assert models[1]["baseModelId"] == models[0]["id"]


@pytest.mark.parametrize("field", ["name", "createdAt", "updatedAt", "modelKind", "connectionId", "baseModelId"])
def test_models_are_sorted_by_every_field_that_the_original_names(org: Organization, lamps: Ids, field: str) -> None:
    lamps_model(org, name="other")

    up = org.call("GET", "/v1/models", params={"sortField": field, "sortDirection": "asc"})["records"]
    down = org.call("GET", "/v1/models", params={"sortField": field, "sortDirection": "desc"})["records"]

    values = [one[field] for one in up if one[field] is not None]
    assert len(up) == len(down) == 4
    assert values == sorted(values)
    assert [one[field] for one in down if one[field] is not None] == sorted(values, reverse=True)


def test_a_connection_with_models_over_it_stays(org: Organization, lamps: Ids) -> None:
    path = f"/v1/connections/{lamps['connection']}"

    assert "delete its models first" in org.call("DELETE", path, 409)["detail"]

    assert org.call("GET", path)["id"] == lamps["connection"]
    for model in (lamps["model"], lamps["schema"]):
        org.call("DELETE", f"/v1/models/{model}", 204)
    org.call("DELETE", path, 204)
    org.call("GET", path, 404)


def test_credentials_are_sealed_at_rest_and_never_shown(org: Organization, system: EmbeddedStack) -> None:
    url = "postgresql://reader:s3cret@db.example.com:6000/shop"

    made = org.call("POST", "/v1/connections", 201, json={"name": "shop", "kind": "postgres", "url": url})

    assert made["host"] == "db.example.com:6000"
    assert made["database"] == "shop"
    assert "s3cret" not in str(org.call("GET", "/v1/connections"))
    with psycopg.connect(system.database_url) as database:
        row = database.execute("SELECT * FROM connections WHERE id = %s", (made["id"],)).fetchone()
        jobs = database.execute("SELECT params::text FROM jobs WHERE organization = %s", (row[1],)).fetchall()
    assert "s3cret" not in str(row)
    assert "s3cret" not in str(jobs)


def test_postgres_is_read_and_asked_without_being_written(
    org: Organization, system: EmbeddedStack, provider: LlmServer
) -> None:
    shop, _ = shop_model(org, system.database_url)
    script(provider, TOTALS, TELL, topic="orders")

    found = answered(org, shop, topicName="orders")

    query = org.call("GET", f"/v1/ai/jobs/{found['id']}/result")["actions"][0]["result"]
    assert query["status"] == "success", query
    assert sorted(query["csvResult"].splitlines()[1:]) == ["city 0,165", "city 1,145", "city 2,155"]


def test_a_question_over_a_connection_that_is_gone_fails_with_a_reason(
    org: Organization, lamps: Ids, provider: LlmServer, system: EmbeddedStack
) -> None:
    script(provider, LATE, TELL)
    # As connections went before they were kept while there are models over them.
    with psycopg.connect(system.database_url) as database:
        database.execute("UPDATE connections SET deleted_at = now() WHERE id = %s", (lamps["connection"],))
    found = until(org, ask(org, lamps)["jobId"])

    assert found["error"]["code"] == "QUERY_EXECUTION_ERROR"
    assert "connection" in found["error"]["message"]


@pytest.mark.parametrize(
    "query",
    [
        {"fields": ["sales.count; DROP TABLE sales"]},
        {"fields": ['sales.count") FROM sales; --']},
        {"fields": ["sales.count"], "filters": [{"field": "sales.lamp' OR 1=1", "operator": "is", "values": ["x"]}]},
        {"fields": ["sales.count"], "filters": [{"field": "sales.lamp", "operator": "is) OR (1=1", "values": ["x"]}]},
        {"fields": ["sales.sold[month'); --]"]},
    ],
)
def test_sql_in_the_names_of_fields_comes_nowhere_near_the_database(
    org: Organization, lamps: Ids, provider: LlmServer, query: dict[str, Any]
) -> None:
    # The form is not enforced by this provider: what comes is what a hostile model would send.
    script(provider, {**LATE, "query": {"title": "x", **query}}, TELL)
    found = until(org, ask(org, lamps)["jobId"])

    assert found["state"] == "FAILED"
    assert lamps_model(org, name="again")


def test_sql_in_a_value_is_a_value(org: Organization, lamps: Ids, provider: LlmServer) -> None:
    value = "x' OR '1'='1"
    query = {
        "title": "x",
        "fields": ["sales.count"],
        "filters": [{"field": "sales.lamp", "operator": "is", "values": [value]}],
    }
    script(provider, {**LATE, "query": query}, TELL)

    found = answered(org, lamps)

    action = org.call("GET", f"/v1/ai/jobs/{found['id']}/result")["actions"][0]["result"]
    assert action["csvResult"].splitlines()[1] == "0"
