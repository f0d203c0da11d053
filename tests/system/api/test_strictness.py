"""Nothing of a request is dropped in silence: what is not known is refused with the nearest name, or warned of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.ai import lamps_model
from tests.support.builders import FIELDS, LAMPS, Organization, persons
from towpath.runtime.embedded import EmbeddedStack

UNKNOWN = "zzUnknown"
INDEX = {"indexName": "people", "fields": FIELDS}
RUN = {"items": [{"object_id": "a", "payload": {"text": "terns"}}]}


def filled(operation: dict[str, Any], path: str) -> tuple[str, dict[str, str]]:
    """A path and the required parameters of an operation, filled with something."""
    query: dict[str, str] = {}
    for parameter in operation.get("parameters", []):
        value = str(uuid4()) if parameter["schema"].get("format") == "uuid" else "1"
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", value)
        elif parameter["in"] == "query" and parameter["required"]:
            query[parameter["name"]] = value
    return path, query


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_operation_refuses_an_unknown_query_parameter(org: Organization, system: EmbeddedStack) -> None:
    document = httpx.get(f"{system.api_url}/openapi.json").json()
    wrong: list[str] = []
    seen = 0
    for method, template, operation in operations(document):
        path, query = filled(operation, template)
        answer = org.http.request(method, path, params={**query, UNKNOWN: "1"})
        seen += 1
        if answer.status_code not in {400, 422} or "unknown query parameter" not in answer.text:
            wrong.append(f"{method} {template}: {answer.status_code} {answer.text[:200]}")
        elif answer.status_code == 400 and not answer.json()["detail"].startswith(f"{UNKNOWN}: unknown query"):
            wrong.append(f"{method} {template}: {answer.json()['detail']}")

    assert wrong == []
    assert seen > 140


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/jobs?stat=RUNNING", "stat: unknown query parameter; did you mean state?"),
        ("/jobs?from=yesterday", "from: unknown query parameter; known are status, reviewStatus"),
        ("/v1/duplicates?index_name=x", "index_name: unknown query parameter; did you mean indexName?"),
        ("/v1/jobs?state=RUNING", "state: must be"),
        ("/v1/jobs?limit=many", "limit: must be a whole number (got 'many')"),
        ("/v1/jobs?limit=0", "limit: must be at least 1 (got '0')"),
        ("/v1/jobs/123", "jobId: must be a UUID (got '123')"),
        ("/v1/webhooks/deliveries/x", "deliveryId: must be a UUID (got 'x')"),
        ("/api/llm/stream/123", "job_id: must be a UUID (got '123')"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_told_in_plain_words(org: Organization, path: str, says: str) -> None:
    detail = org.call("GET", path, 400)["detail"]

    assert says in detail
    assert "input should" not in detail


def test_a_parameter_that_comes_twice_is_not_halved_in_silence(org: Organization) -> None:
    error = org.call("GET", "/v1/jobs?state=RUNNING&state=FAILED", 400)

    assert error["detail"] == "state: is there twice"


def test_a_parameter_without_effect_is_warned_of(org: Organization) -> None:
    answer = org.http.get("/api/records", params={"capabilities": "vision"})

    assert answer.status_code == 200
    assert answer.headers["Warning"] == '199 towpath "capabilities has no effect: records have none"'


def test_who_asks_is_looked_at_before_what_is_asked(org: Organization) -> None:
    assert httpx.get(f"{org.http.base_url}/v1/jobs?stat=RUNNING").status_code == 401


def test_the_embeddings_api_tells_it_in_its_own_list(org: Organization) -> None:
    told = org.call("POST", "/embeddings/upsertion-tasks/run", 422, json={**RUN, "colection": "x"})
    item = {"items": [{"object_id": "a", "paylod": {}}]}
    inside = org.call("POST", "/embeddings/upsertion-tasks/run", 422, json=item)["detail"][0]
    query = org.call("GET", "/embeddings/upsertion-tasks/list?colection=x", 422)["detail"][0]

    assert told["detail"][0]["loc"] == ["body", "colection"]
    assert told["detail"][0]["msg"].startswith("unknown field; known are task_id, id, items, webhookUrl")
    assert inside["loc"] == ["body", "items", 0, "paylod"]
    assert inside["msg"] == "unknown field; did you mean payload?"
    assert (query["loc"], query["msg"]) == (
        ["query", "colection"], "unknown query parameter; did you mean collection?",
    )  # fmt: skip
    assert org.call("GET", "/embeddings/upsertion-tasks/list") == []


SCHEMA = {"name": "lamps", "schema_content": LAMPS}
MISSPELT: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "/v1/indexes", {**INDEX, "duplicateTreshold": 0.5},
        "duplicateTreshold", "duplicateThreshold",
    ),
    (
        "/v1/indexes", {"indexName": "x", "fields": [{"nam": "a", "type": "text"}]},
        "fields[0].nam", "name",
    ),
    (
        "/v1/entities/batch", {"entities": [{"id": 1, "name": "x"}], "webhookURL": "x"},
        "webhookURL", "webhookUrl",
    ),
    (
        "/api/schema/saved", {**SCHEMA, "is_pined": True},
        "is_pined", "is_pinned",
    ),
    (
        "/api/single/enrich/stream", {"entity_data": {"name": "x"}, "target_schema": LAMPS, "model": ["auto"]},
        "model", "models",
    ),
    (
        "/api/enrichment/batch/fetch", {"url": "http://x.example", "auth": {"auth_typ": "none"}},
        "auth.auth_typ", "auth_type",
    ),
    (
        "/extract", {"url": "http://x.example/a.pdf", "shema": {}},
        "shema", "schema",
    ),
    (
        "/templates", {"name": "x", "options": {"includeConfidense": True}},
        "options.includeConfidense", "includeConfidence",
    ),
    (
        "/classification", {"name": "x", "options": [{"name": "a", "example": []}, {"name": "b"}]},
        "options[0].example", "examples",
    ),
    (
        "/webhooks", {"url": "http://127.0.0.1:1/", "event": ["job.complete"]},
        "event", "events",
    ),
    (
        "/v1/connections", {"name": "x", "kind": "duckdb", "pth": "x"},
        "pth", "path",
    ),
    (
        "/api/auth/api-keys", {"name": "x", "expire_in_days": 3},
        "expire_in_days", "expiresInDays",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "name", "meant"), MISSPELT)
def test_an_unknown_field_is_refused_with_the_nearest(
    org: Organization, path: str, body: dict[str, Any], name: str, meant: str
) -> None:
    error = org.call("POST", path, 400, json=body)

    assert error["detail"] == f"{name}: unknown field; did you mean {meant}?"
    assert org.call("GET", "/v1/jobs")["jobs"] == []


def test_an_unknown_field_of_a_form_is_refused(org: Organization) -> None:
    files = {"file": ("note.html", b"<p>Pallets: 4</p>")}

    extract = org.call("POST", "/extract", 400, files=files, data={"shema": "{}"})
    upload = org.call("POST", "/api/attachments", 400, files={"files": ("a.txt", b"x")}, data={"file": "x"})

    assert extract["detail"] == "shema: unknown field; did you mean schema?"
    assert upload["detail"] == "file: unknown field; did you mean files?"


def test_where_a_contract_ignores_unknown_fields_the_answer_warns_of_them(org: Organization) -> None:
    connection = lamps_model(org)["connection"]
    body = {"connectionId": connection, "modelKind": "SHARED", "modelName": "x", "content": {"views": {}}}
    plain = org.http.post("/v1/models", json={"connectionId": connection})
    warned = org.http.post("/v1/models", json={"connectionId": connection, "modelNam": "x", 'é\r\n"x': 1})
    many = org.http.post("/v1/models", json={"connectionId": connection, **{f"{'x' * 99}{n}": 1 for n in range(300)}})
    refused = org.http.post("/v1/models", json={**body, "modelNam": "x"})

    assert (plain.status_code, "Warning" in plain.headers) == (200, False)
    assert warned.status_code == 200
    assert warned.headers["Warning"] == (
        '199 towpath "unknown field(s) ignored: modelNam (did you mean modelName?), ????x"'
    )
    assert many.status_code == 200
    assert many.headers["Warning"].endswith(' and 290 more"')
    assert len(many.headers["Warning"]) < 1000
    assert refused.status_code == 400


def test_a_body_where_none_is_read_is_warned_of(org: Organization) -> None:
    job = org.call("POST", "/v1/entities/batch", json=[{"id": 1, "name": "x"}])["jobId"]

    assert "body ignored" in org.http.post(f"/v1/jobs/{job}/cancel", json={"reason": "late"}).headers["Warning"]
    assert "Warning" not in org.http.post(f"/v1/jobs/{job}/cancel", json={}).headers
    assert "Warning" not in org.http.post(f"/v1/jobs/{job}/cancel").headers


BODIES: list[tuple[str, str]] = [
    ("/v1/indexes", '{"indexName": "people", "fields": [{"name": "name", "type": "text"}]}'),
    ("/v1/entity", '{"id": 1, "name": "x"}'),
    ("/v1/entities/batch", '[{"id": 1, "name": "x"}]'),
    ("/embeddings/upsertion-tasks/run", '{"items": []}'),
    ("/embeddings/payload-count", '{"search_query": null}'),
    ("/api/schema/saved", f'{{"name": "x", "schema_content": {json.dumps(LAMPS)}}}'),
    ("/templates", '{"name": "x"}'),
    ("/api/auth/invitations", '{"email": "ada@example.com"}'),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body"), BODIES, ids=[path for path, _ in BODIES])
@pytest.mark.parametrize("said", [None, "application/x-www-form-urlencoded", "Application/JSON; charset=utf-8"])
def test_a_body_that_curl_sends_is_taken_as_json(org: Organization, path: str, body: str, said: str | None) -> None:
    headers = {} if said is None else {"Content-Type": said}

    answer = org.http.post(path, content=body.encode(), headers=headers)

    nothing_to_count = path.endswith("count") and "holds nothing yet" in answer.text
    assert answer.status_code in {200, 201, 202} or nothing_to_count, answer.text


@pytest.mark.parametrize(("path", "body"), BODIES, ids=[path for path, _ in BODIES])
@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Content-Type": "text/plain"}, "Content-Type text/plain is not understood; send application/json"),
        ({"Origin": "https://evil.example"}, "Content-Type is missing; send application/json"),
        (
            {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "cross-site"},
            "Content-Type application/x-www-form-urlencoded is not understood; send application/json",
        ),
    ],
    ids=["text", "browser without", "form of a browser"],
)
def test_a_body_of_another_type_is_told_so(
    org: Organization, path: str, body: str, headers: dict[str, str], says: str
) -> None:
    error = org.call("POST", path, 415, content=body.encode(), headers=headers)

    assert error["detail"].startswith(says)
    assert error["code"] == "UNSUPPORTED_MEDIA_TYPE"


def test_a_missing_body_is_told_as_missing(org: Organization) -> None:
    for path in ("/v1/indexes", "/api/schema/saved", "/templates", "/annotate"):
        assert org.call("POST", path, 400)["detail"] == "the body is required", path
        assert org.call("POST", path, 400, json=[])["detail"].startswith("the body must be an object"), path


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/api/auth/invitations", {"email": "nobody"}, "email: must be an e-mail address (got 'nobody')"),
        ("/v1/indexes", {"indexName": "a b", "fields": FIELDS}, "indexName: must be 1 to 128 letters"),
        ("/v1/indexes", {"indexName": "a", "fields": []}, "fields: must not be empty"),
        ("/v1/indexes", {"indexName": "a", "fields": [{"name": "x", "type": "t"}]}, "fields[0].type: must be 'text',"),
        ("/annotate", {"jobId": "1", "annotatedData": {}}, "jobId: must be a UUID (got '1')"),
        ("/jobs/0f9e0f9e-0000-4000-8000-000000000000/review", {"decision": "YES"}, "decision: must be 'APPROVED'"),
        ("/api/schema/saved", {"name": "", "schema_content": {}}, "name: must not be empty"),
        ("/api/auth/api-keys", {"name": "x", "expires_in_days": 0}, "expires_in_days: must be at least 1"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_told_in_plain_words(org: Organization, path: str, body: dict[str, Any], says: str) -> None:
    assert org.call("POST", path, 400, json=body)["detail"].startswith(says)


def test_a_password_is_not_said_again(org: Organization) -> None:
    who = {"email": "ada@example.com", "password": "short", "organization": "x"}

    assert "short'" not in org.call("POST", "/api/auth/register", 400, json=who)["detail"]


def test_words_are_read_in_any_case(org: Organization) -> None:
    job = org.call("POST", "/v1/entities/batch", json=[{"id": 1, "name": "x"}])["jobId"]

    assert org.call("GET", "/v1/jobs?state=completed")["jobs"][0]["id"] == job
    assert org.call("GET", "/jobs?status=Complete&kind=Entity_Batch")["jobs"][0]["jobId"] == job
    assert org.call("GET", "/embeddings/upsertion-tasks/list?status=DONE") == []


def test_a_head_has_the_headers_of_its_get(org: Organization) -> None:
    job = org.call("POST", "/v1/entities/batch", json=[{"id": 1, "name": "x"}])["jobId"]

    for path in ("/v1/jobs", f"/v1/jobs/{job}", "/api/records/export", "/console", "/docs"):
        got, head = org.http.get(path), org.http.head(path)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert head.headers["content-type"] == got.headers["content-type"], path
    assert org.http.head("/v1/jobs/123").status_code == 400
    assert httpx.head(f"{org.http.base_url}/v1/jobs").status_code == 401


def test_a_head_of_a_stream_ends_at_once(org: Organization) -> None:
    org.index()
    job = org.submit(persons(2000))

    head = org.http.head(f"/v1/jobs/{job}/events", timeout=10)

    assert (head.status_code, head.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
