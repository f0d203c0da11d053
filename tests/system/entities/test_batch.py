"""`POST /v1/entities/batch`, its status, cancel, restart, pause: every form of body, every way to fail."""

from __future__ import annotations

import gzip
import json
import random
import select
import socket
from urllib.parse import urlparse
from uuid import uuid4

import pytest

from tests.support.builders import Organization, organization, persons
from tests.support.waiting import until
from towpath.runtime.embedded import EmbeddedStack

BOLTS = [{"id": 1, "name": "Hex bolt M8 x 40"}, {"id": 2, "name": "Bolt, hex, M8x40 mm"}]
# Without a time, so that every process collects the same tests.
TORN = gzip.compress(b"[" + b" " * 5000 + b"]", mtime=0)[:-12]


def test_a_small_batch_is_answered_at_once(org: Organization) -> None:
    answer = org.call("POST", "/v1/entities/batch", json={"entities": BOLTS})

    assert answer["status"] == "COMPLETED"
    assert answer["summary"] == {"total": 2, "processed": 2, "succeeded": 2, "failed": 0, "unchanged": 0}
    assert [item["id"] for item in answer["results"]] == [1, 2]
    assert answer["results"][0]["duplicates"][0]["id"] == 2
    assert org.call("GET", "/v1/entities/batch/status", params={"jobId": answer["jobId"]})["progress"] == 1.0


FORMS: list[tuple[str, bytes, dict[str, str]]] = [
    ("object", json.dumps({"entities": BOLTS}).encode(), {}),
    ("array", json.dumps(BOLTS, indent=2).encode(), {}),
    ("ndjson", b"\n".join(json.dumps(b).encode() for b in BOLTS), {"Content-Type": "application/x-ndjson"}),
    ("gzip", gzip.compress(json.dumps(BOLTS).encode()), {"Content-Encoding": "gzip"}),
    ("two gzip members", gzip.compress(b"[" + json.dumps(BOLTS[0]).encode()) + gzip.compress(
        b"," + json.dumps(BOLTS[1]).encode() + b"]"), {"Content-Encoding": "gzip"}),
]  # fmt: skip


@pytest.mark.parametrize(("form", "body", "headers"), FORMS, ids=[form for form, _, _ in FORMS])
def test_every_form_of_body(org: Organization, form: str, body: bytes, headers: dict[str, str]) -> None:
    for path in ("/v1/entities/batch", "/v1/entity/batch"):
        answer = org.call("POST", path, content=body, headers={"Content-Type": "application/json", **headers})

        assert [item["id"] for item in answer["results"]] == [1, 2], form


def test_a_large_batch_is_a_job_with_pages_of_results_in_input_order(org: Organization) -> None:
    org.index()
    people = persons(260)

    accepted = org.call("POST", "/v1/entities/batch", 202, params={"indexName": "people"}, json=people)
    assert accepted["status"] == "PENDING"
    org.until(accepted["jobId"])

    query = {"jobId": accepted["jobId"], "resultsLimit": 100, "resultsOffset": 140}
    status = org.call("GET", "/v1/entities/batch/status", params=query)
    assert [item["id"] for item in status["results"]] == list(range(140, 240))
    assert status["summary"]["succeeded"] == 260
    found = sum(any(d["duplicate"] for d in item["duplicates"]) for item in status["results"])
    assert found > 50


def test_the_result_depends_on_no_order_and_on_no_cut(org: Organization, system: EmbeddedStack) -> None:
    people = persons(400)
    org.index()
    org.done(people)
    shuffled = people[:]
    random.Random(7).shuffle(shuffled)
    other = organization(system.api_url)
    other.index()

    other.done(shuffled)

    assert len(org.pairs()) > 100
    assert other.pairs() == org.pairs()
    assert other.groups() == org.groups()


def test_of_a_repeated_id_the_last_one_counts_once(org: Organization) -> None:
    entities = [{"id": 1, "name": "first"}, {"id": 2, "name": "second"}, {"id": "1", "name": "third time"}]

    answer = org.call("POST", "/v1/entities/batch", json=entities)

    assert answer["summary"]["total"] == 2
    assert [(item["id"], item["name"]) for item in answer["results"]] == [(2, "second"), ("1", "third time")]


def test_an_unchanged_repeat_costs_nothing(org: Organization) -> None:
    org.index()
    people = persons(120)
    org.done(people)
    before = org.pairs()

    job = org.job(org.done([*people[:119], {**people[119], "city": "somewhere else"}]))

    assert job["progress"] == {"total": 120, "processed": 120, "succeeded": 120, "failed": 0, "skipped": 119}
    assert [pair[:2] for pair in before if "119" not in pair[:2]] == [p[:2] for p in org.pairs() if "119" not in p[:2]]


def test_bad_items_are_reported_and_never_fail_their_neighbours(org: Organization) -> None:
    org.index()
    lines = [
        b'{"id": 1, "name": "good one"}',
        b'{"id": 2, "name": broken}',
        b'{"name": "no id"}',
        b'{"id": 4, "color": "no indexed value"}',
        b'{"id": 5, "name": "x", "duplicates": []}',
        b'["not an object"]',
        b'{"id": 7, "name": "good two"}',
    ]
    headers = {"Content-Type": "application/x-ndjson"}

    query = {"indexName": "people"}
    answer = org.call("POST", "/v1/entities/batch", params=query, content=b"\n".join(lines), headers=headers)

    assert answer["status"] == "COMPLETED"
    assert answer["summary"] == {"total": 7, "processed": 7, "succeeded": 2, "failed": 5, "unchanged": 0}
    assert [(e["index"], e["code"]) for e in answer["errors"]] == [
        (1, "INVALID_JSON"), (2, "MISSING_FIELD"), (3, "NO_INDEXED_VALUE"), (4, "RESERVED_FIELD"), (5, "INVALID_VALUE"),
    ]  # fmt: skip
    assert answer["errorsTruncated"] is False
    failures = org.call("GET", f"/v1/jobs/{answer['jobId']}/failures", params={"limit": 2, "offset": 1})
    assert (failures["total"], [f["index"] for f in failures["failures"]]) == (5, [2, 3])


def test_a_batch_in_which_everything_failed_is_failed(org: Organization) -> None:
    org.index()

    one = org.call("POST", "/v1/entities/batch", params={"indexName": "people"}, json=[{"id": 1, "x": 1}])
    both = org.call("POST", "/v1/entities/batch", params={"indexName": "people"}, json=[{"id": 1, "x": 1}, {"id": 2}])

    assert (one["status"], one["error"]["code"]) == ("FAILED", "NO_INDEXED_VALUE")
    assert (both["status"], both["error"]["code"]) == ("FAILED", "ALL_ITEMS_FAILED")
    assert "all 2 items failed" in both["error"]["message"]


WRONG: list[tuple[bytes, dict[str, str], str, str]] = [
    (b'{"entities": [{"id": 1}, {"id": 2,, }]}', {}, "INVALID_JSON", "offset 34"),
    (b'[{"id": 1, "x": NaN}]', {}, "INVALID_JSON", "offset"),
    (b'[{"id": 1}', {}, "TRUNCATED_BODY", "too early"),
    (b"[]", {}, "EMPTY_LIST", "empty"),
    (b'{"entities": []}', {}, "EMPTY_LIST", "empty"),
    (b"", {}, "INVALID_JSON", "empty"),
    (b'{"entities": {"id": 1}}', {}, "INVALID_VALUE", "array"),
    (b'{"id": 1, "name": "x"}', {}, "MISSING_FIELD", "entities is required"),
    (b'{"entities": [{"id": 1}], "colour": 1}', {}, "INVALID_VALUE", "colour"),
    (b"not gzip", {"Content-Encoding": "gzip"}, "INVALID_ENCODING", "gzip"),
    (TORN, {"Content-Encoding": "gzip"}, "TRUNCATED_BODY", "too early"),
    (b"[]", {"Content-Encoding": "br"}, "INVALID_ENCODING", "br"),
    (b'{"id": 1, "name": "x"}\n{"id": 2, "na', {"Content-Type": "application/x-ndjson"}, "TRUNCATED_BODY", "cut off"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "code", "says"), WRONG)
def test_a_body_that_is_wrong_as_a_whole_leaves_nothing(
    org: Organization, body: bytes, headers: dict[str, str], code: str, says: str
) -> None:
    error = org.call(
        "POST", "/v1/entities/batch", 400, content=body, headers={"Content-Type": "application/json", **headers}
    )

    assert error["code"] == code
    assert says in error["detail"]
    assert org.call("GET", "/v1/jobs")["jobs"] == []


def test_a_body_of_another_type_leaves_nothing(org: Organization) -> None:
    error = org.call("POST", "/v1/entities/batch", 415, content=b"a,b", headers={"Content-Type": "text/csv"})

    assert error["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert error["detail"] == ("Content-Type text/csv is not understood; send application/json or application/x-ndjson")
    assert org.call("GET", "/v1/jobs")["jobs"] == []


def test_beyond_the_limit_is_a_413_while_the_body_still_comes(org: Organization) -> None:
    url = urlparse(str(org.http.base_url))
    head = (
        f"POST /v1/entities/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {org.key}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece = b'{"id": 1, "name": "' + b"x" * 65_500 + b'"},'
    chunk = f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    sent = 0
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(head.encode() + b"1\r\n[\r\n")
        while not select.select([connection], [], [], 0.005)[0] and sent < 50_000_000:
            connection.sendall(chunk)
            sent += len(piece)
        # Head and body may come in two pieces.
        answer = connection.recv(65_536)
        while b"}" not in answer and (more := connection.recv(65_536)):
            answer += more

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"TOO_LARGE" in answer
    assert sent < 20_000_000
    bomb = gzip.compress(b"[" + b" " * 40_000_000)
    assert org.call("POST", "/v1/entities/batch", 413, content=bomb, headers={"Content-Encoding": "gzip"})


def test_an_upload_that_breaks_off_leaves_nothing(org: Organization, system: EmbeddedStack) -> None:
    url = urlparse(str(org.http.base_url))
    body, number = json.dumps(persons(300)).encode(), uuid4().hex
    head = (
        f"POST /v1/entities/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {org.key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nX-Request-Id: {number}\r\n\r\n"
    )
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(head.encode() + body[:-100])

    log = system.home.logs / "api.log"
    until(lambda: f"end=left request_id={number}" in log.read_text(), "end of the request")

    assert org.call("GET", "/v1/jobs")["jobs"] == []
    assert org.call("GET", "/v1/indexes")["total"] == 0


def test_a_repeat_with_the_same_idempotency_key_is_the_same_job(org: Organization) -> None:
    headers = {"Idempotency-Key": "batch-1"}
    org.index()
    people = persons(150)

    first = org.submit(people, headers=headers)
    second = org.submit(people, headers=headers)

    assert first == second
    assert len(org.call("GET", "/v1/jobs")["jobs"]) == 1
    query = {"indexName": "people"}
    org.call("POST", "/v1/entities/batch", 422, params=query, json=people[:-1], headers=headers)


def test_without_a_key_and_with_another_organisations_key(org: Organization, system: EmbeddedStack) -> None:
    job_id = org.call("POST", "/v1/entities/batch", json=BOLTS)["jobId"]
    stranger = organization(system.api_url)

    stranger.call("GET", "/v1/entities/batch/status", 404, params={"jobId": job_id})
    stranger.call("POST", "/v1/entities/batch/cancel", 404, params={"jobId": job_id})
    for action in ("cancel", "pause", "continue", "restart"):
        stranger.call("POST", f"/v1/jobs/{job_id}/{action}", 404)
    stranger.call("GET", f"/v1/jobs/{job_id}/events", 404)
    del stranger.http.headers["Authorization"]
    stranger.call("POST", "/v1/entities/batch", 401, json=BOLTS)
    stranger.call("GET", "/v1/entities/batch/status", 401, params={"jobId": job_id})


def test_the_status_of_an_unknown_job(org: Organization) -> None:
    org.call("GET", "/v1/entities/batch/status", 400)
    org.call("GET", "/v1/entities/batch/status", 404, params={"jobId": "nonsense"})
    org.call("GET", "/v1/entities/batch/status", 404, params={"jobId": "3f0c9a52-6d1e-4b7a-9c11-0a6c2f4de801"})


def test_pause_holds_and_continue_finishes(org: Organization) -> None:
    org.index()
    job_id = org.submit(persons(1500))
    assert org.call("POST", f"/v1/jobs/{job_id}/pause")["state"] == "PAUSED"
    status = org.call("GET", "/v1/entities/batch/status", params={"jobId": job_id, "resultsLimit": 0})
    assert status["status"] == "PROCESSING"
    held = org.settled(lambda: org.job(job_id)["progress"])
    assert held["processed"] < 1500

    org.call("POST", f"/v1/jobs/{job_id}/continue")

    assert org.until(job_id)["progress"]["succeeded"] == 1500
    org.call("POST", f"/v1/jobs/{job_id}/pause", 409)


def test_cancel_stops_and_restart_runs_only_what_is_left(org: Organization, system: EmbeddedStack) -> None:
    people = persons(1500)
    org.index()
    job_id = org.submit(people)
    org.call("POST", f"/v1/jobs/{job_id}/pause")
    org.settled(lambda: org.job(job_id)["progress"])

    cancelled = org.call("POST", "/v1/entities/batch/cancel", params={"jobId": job_id})

    assert (cancelled["status"], cancelled["error"]["code"]) == ("FAILED", "CANCELLED")
    assert org.job(job_id)["state"] == "CANCELLED"
    org.call("POST", f"/v1/jobs/{job_id}/restart")
    job = org.until(job_id)
    assert (job["state"], job["attempt"], job["progress"]["succeeded"]) == ("COMPLETED", 2, 1500)
    straight = organization(system.api_url)
    straight.index()
    straight.done(people)
    assert org.pairs() == straight.pairs()
    assert org.call("POST", f"/v1/jobs/{job_id}/cancel")["state"] == "COMPLETED"


def test_a_restart_during_a_cancel_waits_for_its_end_and_then_runs(org: Organization) -> None:
    org.index()
    job_id = org.submit(persons(1500))
    org.call("POST", f"/v1/jobs/{job_id}/cancel")

    org.call("POST", f"/v1/jobs/{job_id}/restart")

    job = org.until(job_id, "COMPLETED")
    assert (job["attempt"], job["progress"]["succeeded"]) == (2, 1500)


def test_a_restart_takes_failed_items_up_again(org: Organization) -> None:
    fields = [{"name": "name", "type": "text"}, {"name": "brand", "type": "string", "required": True}]
    org.call("POST", "/v1/indexes", 201, json={"indexName": "goods", "fields": fields})
    entities = [{"id": 1, "name": "lamp", "brand": "orion"}, {"id": 2, "name": "lamp"}]
    job_id = org.call("POST", "/v1/entities/batch", params={"indexName": "goods"}, json=entities)["jobId"]
    assert org.job(job_id)["progress"]["failed"] == 1
    fields[1]["required"] = False
    changed = org.call("POST", "/v1/indexes", json={"indexName": "goods", "fields": fields})
    org.until(changed["reindexJobId"])

    org.call("POST", f"/v1/jobs/{job_id}/restart")

    progress = org.until(job_id)["progress"]
    assert (progress["succeeded"], progress["failed"]) == (2, 0)
    assert org.call("GET", f"/v1/jobs/{job_id}/failures")["total"] == 0


def test_a_deadline_ends_a_job_and_what_is_finished_stays(org: Organization) -> None:
    org.index()
    job_id = org.submit(persons(1500), headers={"Towpath-Deadline": "1.5"})
    org.call("POST", f"/v1/jobs/{job_id}/pause")

    job = org.until(job_id)

    assert (job["state"], job["error"]["code"]) == ("FAILED", "DEADLINE_EXCEEDED")
    body = {"entities": BOLTS}
    error = org.call("POST", "/v1/entities/batch", 400, json=body, headers={"Towpath-Deadline": "yesterday"})
    assert "Towpath-Deadline" in error["detail"]


def test_the_stream_replays_resumes_and_ends(org: Organization) -> None:
    job_id = org.call("POST", "/v1/entities/batch", json=BOLTS)["jobId"]

    whole = org.http.get(f"/v1/jobs/{job_id}/events").text
    rest = org.http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "3"}).text

    numbers = [int(line[3:]) for line in whole.splitlines() if line.startswith("id:")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "retry: 3000" in whole
    assert [line for line in whole.splitlines() if line.startswith("event:")][-1] == "event: job.completed"
    assert [int(line[3:]) for line in rest.splitlines() if line.startswith("id:")] == numbers[3:]


def test_a_dropped_index_fails_its_batch_clearly(org: Organization) -> None:
    org.index()
    job_id = org.submit(persons(1500))
    org.call("POST", f"/v1/jobs/{job_id}/pause")

    org.call("DELETE", "/v1/indexes/people", 204)
    # A chunk that was under way when the job was paused may have met the drop, and ended the job, before this.
    assert org.http.post(f"/v1/jobs/{job_id}/continue").status_code in {200, 409}

    job = org.until(job_id)
    assert (job["state"], job["error"]["code"]) == ("FAILED", "INDEX_DROPPED")
    org.call("GET", "/v1/indexes/people", 404)
