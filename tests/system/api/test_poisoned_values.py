"""A value that no part can hold is refused where it comes in, its neighbours live, and big numbers stay as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.builders import LAMPS, Organization

RUN = "/embeddings/upsertion-tasks/run"
MARK = b"\xef\xbb\xbf"
NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}
BIG = 123456789012345678901234567890
BEYOND = ["9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z", "9000-01-01T00:00:00Z", "1969-12-31T23:59:59Z"]


@pytest.mark.parametrize(
    "deadline", [*BEYOND, "2200-01-01T00:00:00Z", "1e12", "1e400", "nan", "inf", "-inf", "-5", "tomorrow", "0001-01-01"]
)
def test_a_deadline_out_of_range_is_refused_and_the_lists_live(org: Organization, deadline: str) -> None:
    headers = {"Towpath-Deadline": deadline}

    error = org.call("POST", "/v1/entities/batch", 400, json=[{"id": 1, "name": "a"}], headers=headers)
    other = org.call("POST", RUN, 422, json={"items": []}, headers=headers)

    assert "Towpath-Deadline" in error["detail"]
    assert "Towpath-Deadline" in other["detail"][0]["loc"]
    assert org.call("GET", "/v1/jobs")["jobs"] == []
    assert org.call("GET", "/jobs")["jobs"] == []


@pytest.mark.parametrize("moment", BEYOND)
def test_a_time_out_of_range_is_refused_with_its_name(org: Organization, moment: str) -> None:
    key = org.call("POST", "/api/auth/api-keys", 201, json={"name": "k"})

    made = org.call("POST", "/api/auth/api-keys", 400, json={"name": "k", "expiresAt": moment})
    changed = org.call("PATCH", f"/api/auth/api-keys/{key['id']}", 400, json={"expiresAt": moment})

    assert "expiresAt: a time from 1970 to 8999 is needed" in made["detail"]
    assert "expiresAt" in changed["detail"]
    assert len(org.call("GET", "/api/auth/api-keys")["apiKeys"]) == 2
    for path, name in (
        ("/v1/jobs", "createdAfter"), ("/v1/jobs", "createdBefore"), ("/jobs", "createdAfter"),
        ("/jobs", "createdBefore"), ("/api/records", "since"), ("/api/records/export", "since"),
    ):  # fmt: skip
        assert name in org.call("GET", path, 400, params={name: moment})["detail"]


@pytest.mark.parametrize("number", ["0.5", "1700000000", "-1", "1e20"])
def test_a_time_is_written_as_one(org: Organization, number: str) -> None:
    org.call("GET", "/v1/jobs", 400, params={"createdAfter": number})


def test_a_time_without_a_zone_is_in_utc(org: Organization) -> None:
    org.index()
    org.done([{"id": 1, "name": "ada"}])

    for moment, found in (("2020-01-01T00:00:00", 1), ("2020-01-01T00:00:00+02:00", 1), ("2199-12-31", 0)):
        assert len(org.call("GET", "/v1/jobs", params={"createdAfter": moment})["jobs"]) == found
        assert len(org.call("GET", "/jobs", params={"createdAfter": moment})["jobs"]) == found


def test_a_name_is_not_changed_to_null(org: Organization) -> None:
    key = org.call("POST", "/api/auth/api-keys", 201, json={"name": "k"})

    assert (
        "name: must not be null"
        in org.call("PATCH", f"/api/auth/api-keys/{key['id']}", 400, json={"name": None})["detail"]
    )
    assert org.call("PATCH", f"/api/auth/api-keys/{key['id']}", json={"expiresAt": None})["name"] == "k"


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("/v1/indexes/%00", "NULL_BYTE"), ("/v1/indexes/%ff", "INVALID_ENCODING"), ("/v1/nowhere/%00", "NULL_BYTE"),
        ("/v1/jobs?externalId=%00", "NULL_BYTE"), ("/v1/jobs?%00=1", "NULL_BYTE"),
        ("/v1/jobs?externalId=a%C3", "INVALID_ENCODING"), ("/v1/entity?entityId=x%00", "NULL_BYTE"),
        ("/console/%00", "NULL_BYTE"),
    ],
)  # fmt: skip
def test_a_path_or_query_with_a_nul_or_no_text_is_refused(org: Organization, place: str, code: str) -> None:
    assert org.call("GET", place, 400)["code"] == code


def test_a_plus_and_an_escaped_zero_are_no_nul(org: Organization) -> None:
    assert org.call("GET", "/v1/jobs?externalId=a+b%2500&limit=5")["jobs"] == []


@pytest.mark.parametrize("path", ["/v1/indexes", "/v1/duplicates", "/v1/groups"])
def test_an_offset_beyond_every_list_is_refused(org: Organization, path: str) -> None:
    org.index("default")

    org.call("GET", path, params={"offset": 2**31 - 1})
    for offset in (2**31, 2**63, 10**30, -1):
        assert "offset" in org.call("GET", path, 400, params={"offset": offset})["detail"]


@pytest.mark.parametrize("number", [BIG, 2**64, -(2**63) - 1, 10**300])
def test_a_big_integer_comes_back_as_it_was_sent(org: Organization, number: int) -> None:
    org.index()
    entity = {"id": 1, "name": "ada", "serial": number, "deep": [{"x": number}], "note": "ü😀"}

    one = org.call("POST", "/v1/entity", params={"indexName": "people"}, json=entity)
    many = org.call("POST", "/v1/entities/batch", params={"indexName": "people"}, json=[{**entity, "id": 2}])

    assert {**one, "duplicates": []} == {**entity, "duplicates": []}
    assert many["results"][0]["serial"] == number
    assert org.call("GET", "/v1/entity", params={"indexName": "people", "entityId": 1}) == entity
    again = org.call("POST", "/v1/entities/batch", params={"indexName": "people"}, json=[{**entity, "id": 2}])
    assert again["summary"]["unchanged"] == 1
    changed = [{**entity, "id": 2, "serial": number + 1}]
    other = org.call("POST", "/v1/entities/batch", params={"indexName": "people"}, json=changed)
    assert other["summary"]["unchanged"] == 0


def test_a_big_integer_in_a_payload_is_found_and_answered(org: Organization) -> None:
    payload = {"text": "a big number", "x": BIG, "list": [2**64], "small": 2**63}
    items = [
        {"object_id": "big", "payload": {**payload, "float": 1e300}, "item_info": {"n": BIG}},
        {"object_id": "other", "payload": {"text": "a neighbour of it", "x": 1}},
    ]

    org.stored(items)

    found = {one["object_id"]: one for one in org.search("a big number")["search_results"]}
    assert float(found["big"]["payload"].pop("float")) == 1e300
    assert found["big"]["payload"] == payload
    assert found["big"]["meta"] == {"n": BIG}
    assert set(found) == {"big", "other"}
    body = {"search_query": None, "limit": 5, "filter": {"query": {"field": "x", "range": {"gte": 10**29}}}}
    assert [
        one["object_id"] for one in org.call("POST", "/embeddings/payload-search", json=body)["search_results"]
    ] == ["big"]
    equal = {"search_query": None, "filter": {"query": {"term": {"field": "x", "value": BIG}}}}
    assert org.call("POST", "/embeddings/payload-count", json=equal) == {"total_count": 1}
    again = org.ended(org.task({"items": items})["id"])
    assert again["status"] == "done"


def test_an_id_beyond_64_bits_is_refused(org: Organization) -> None:
    org.index()
    for identity in (2**64, -(2**63) - 1, BIG):
        error = org.call("POST", "/v1/entity", 400, params={"indexName": "people"}, json={"id": identity, "name": "x"})
        assert "64 bits" in error["detail"]
    assert (
        org.call("POST", "/v1/entity", params={"indexName": "people"}, json={"id": 2**63, "name": "x"})["id"] == 2**63
    )


def rows(*middle: bytes) -> list[bytes]:
    return [b'{"id": "first", "name": "Ada Lovelace"}', *middle, b'{"id": "last", "name": "Alan Turing"}']


LARGE = b'{"id": "large", "name": "' + b"x" * 1_100_000 + b'"}'


@pytest.mark.parametrize("lines", [True, False])
def test_a_row_above_the_limit_fails_alone(org: Organization, lines: bool) -> None:
    org.index()
    found = rows(LARGE, b'{"id": 3, "name": "b\\ud800"}', b'{"id": 4, "n": 1e999}', b'{"id": 5, "name": "\\u0000"}')
    body = b"\n".join(found) if lines else b'{"entities": [' + b",".join(found) + b"]}"

    answer = org.call(
        "POST", "/v1/entities/batch", params={"indexName": "people"}, content=body, headers=NDJSON if lines else JSON
    )

    assert answer["status"] == "COMPLETED"
    assert answer["summary"] == {"total": 6, "processed": 6, "succeeded": 2, "failed": 4, "unchanged": 0}
    assert [(one["index"], one.get("id"), one["code"]) for one in answer["errors"]] == [
        (1, "large", "TOO_LARGE"), (2, "3", "INVALID_ENCODING"), (3, "4", "INVALID_VALUE"), (4, "5", "NULL_BYTE"),
    ]  # fmt: skip
    assert "entities[1]" in answer["errors"][0]["message"]
    assert [one["id"] for one in answer["results"]] == ["first", "last"]
    org.call("POST", f"/v1/jobs/{answer['jobId']}/restart")
    assert org.until(answer["jobId"])["state"] == "COMPLETED"


def test_a_batch_of_one_row_above_the_limit_is_failed(org: Organization) -> None:
    org.index()

    answer = org.call(
        "POST", "/v1/entities/batch", params={"indexName": "people"}, content=b"[" + LARGE + b"]", headers=JSON
    )

    assert (answer["status"], answer["error"]["code"]) == ("FAILED", "TOO_LARGE")


def test_an_item_that_cannot_be_held_fails_alone_and_a_repeat_is_the_same_task(org: Organization) -> None:
    large = b'{"object_id": "large", "payload": {"text": "%s"}}' % (b"x" * (16 << 20))
    items = [
        b'{"object_id": "first", "payload": {"text": "a text"}}', large,
        b'{"object_id": "half", "payload": {"text": "\\ud800"}}',
        b'{"object_id": "path", "item_info": {"path": "note.txt\\u0000.png"}}',
        b'{"object_id": "last", "payload": {"text": "another text"}}',
    ]  # fmt: skip
    body = b'{"task_id": "poison", "items": [' + b",".join(items) + b"]}"

    org.call("POST", RUN, content=body, headers=JSON)
    task = org.ended("poison")

    assert task["status"] == "done"
    assert task["progress"] == {"total": 5, "processed": 5, "succeeded": 2, "failed": 3}
    assert [(one["object_id"], one["failure_stage"]) for one in task["failed_items"]] == [
        ("large", "on_upsert"), ("half", "on_upsert"), ("path", "on_upsert"),
    ]  # fmt: skip
    assert "larger than" in task["failed_items"][0]["detail"]
    assert task["failed_items"][2]["detail"] == "items[3].item_info.path contains a null byte"
    assert org.call("POST", RUN, content=body, headers=JSON)["created_at"] == task["created_at"]
    org.call("POST", RUN, 409, content=body.replace(b"xxx", b"xyx", 1), headers=JSON)
    org.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": "poison"})
    assert org.ended("poison")["progress"]["failed"] == 3
    assert len(org.call("GET", "/embeddings/upsertion-tasks/list")) == 1


def test_a_byte_order_mark_is_ignored(org: Organization) -> None:
    org.index()
    people = {"indexName": "people"}

    one = org.call("POST", "/v1/entity", params=people, content=MARK + b'{"id": 1, "name": "x"}', headers=JSON)
    assert one["id"] == 1
    assert org.call("GET", "/v1/entity", params={**people, "entityId": 1}) == {"id": 1, "name": "x"}
    for body, headers in (
        (b'[{"id": 2, "name": "x"}]', JSON),
        (b'{"entities": [{"id": 3, "name": "x"}]}', JSON),
        (b'{"id": 4, "name": "x"}\n{"id": 5, "name": "y"}\n', NDJSON),
    ):
        answer = org.call("POST", "/v1/entities/batch", params=people, content=MARK + body, headers=headers)
        assert answer["summary"]["failed"] == 0
    task = {"items": [{"object_id": "a", "payload": {"text": "a text"}}]}
    org.ended(org.call("POST", RUN, content=MARK + json.dumps(task).encode(), headers=JSON)["id"])
    search = json.dumps({"search_query": "a text", "limit": 1}).encode()
    assert org.call("POST", "/embeddings/similarity-search", content=MARK + search, headers=JSON)["search_results"]
    schema = json.dumps({"name": "Lamp", "schema_content": LAMPS}).encode()
    org.call("POST", "/api/schema/saved", content=MARK + schema, headers=JSON)
    index = json.dumps({"indexName": "marked", "fields": [{"name": "n", "type": "text"}]}).encode()
    org.call("POST", "/v1/indexes", 201, content=MARK + index, headers=JSON)


@pytest.mark.parametrize("name", [".", ".."])
def test_an_index_has_no_name_that_a_path_cannot_hold(org: Organization, name: str) -> None:
    body = {"indexName": name, "fields": [{"name": "n", "type": "text"}]}

    assert "indexName" in org.call("POST", "/v1/indexes", 400, json=body)["detail"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://127.0.0.1:65536/", "http://127.0.0.1:0/"])
def test_a_port_that_is_none_is_refused_at_acceptance(org: Organization, url: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    batch: dict[str, Any] = {"entities": [{"id": 1, "name": "a"}], "webhookUrl": url}

    for error in (
        org.call("POST", "/v1/entities/batch", 400, json=batch),
        org.call("POST", "/v1/entities/batch", 400, json=[{"id": 1}], headers={"Towpath-Webhook-Url": url}),
        org.call("POST", "/webhooks", 400, json={"url": url}),
        org.call("POST", "/extract", 400, json={"documentUrl": url, "schema": schema}),
        org.call("POST", "/api/enrichment/batch/fetch", 400, json={"url": url}),
    ):
        assert "its port must be from 1 to 65535" in error["detail"]
    assert org.call("GET", "/v1/jobs")["jobs"] == []


@pytest.mark.parametrize(
    "query", ["?port=abc", "?port=5432,5433", "?port=99999", "?port=0", "?port=", "?host=a,b", "?host=/tmp"]
)
def test_a_database_url_that_cannot_be_used_is_refused_at_acceptance(org: Organization, query: str) -> None:
    body = {"name": "shop", "kind": "postgres", "url": f"postgresql://u:p@example.com/x{query}"}

    error = org.call("POST", "/v1/connections", 400, json=body)

    assert error["detail"].startswith("url: ")
    assert org.call("GET", "/v1/connections") == []


def test_a_number_that_no_part_can_hold_in_a_schema_is_refused(org: Organization) -> None:
    body = b'{"name": "t", "schema": {"type": "object", "properties": {"a": {"enum": [1%s]}}}}' % (b"0" * 400)

    error = org.call("POST", "/templates", 400, content=body, headers=JSON)

    assert "schema.properties.a.enum[0]" in error["detail"]


@pytest.mark.parametrize("cut", [b"--X--", b"true\r\n--X--", b'"requireReview"\r\n\r\ntrue\r\n--X--'])
def test_a_form_that_breaks_off_is_refused(org: Organization, cut: bytes) -> None:
    whole = (
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="note.txt"\r\n\r\nPallets: 4\r\n'
        b'--X\r\nContent-Disposition: form-data; name="requireReview"\r\n\r\ntrue\r\n--X--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=X"}

    refused = org.call("POST", "/extract", 400, content=whole[: whole.rindex(cut)], headers=headers)

    assert refused["code"] == "TRUNCATED_BODY"
    org.call("POST", "/extract", content=whole, headers=headers)
    attached = whole.replace(b'name="file"', b'name="files"').split(b'--X\r\nContent-Disposition: form-data; name="r')[
        0
    ]
    refused = org.call("POST", "/api/attachments", 400, content=attached, headers=headers)
    assert refused["code"] == "TRUNCATED_BODY"
