"""Webhooks as their users see them, over a real receiver."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from standardwebhooks import Webhook

from tests.support.builders import Organization, organization, papers, persons
from tests.support.llm_server import LlmServer
from tests.support.receiver import Got, Receiver, Script
from tests.support.waiting import until
from towpath.net.http import PostAnswer
from towpath.runtime.embedded import EmbeddedStack
from towpath.webhooks.domain.signing import new_secret, standard_form
from towpath.webhooks.service.sending import NOT_KEPT, refusal_text

BATCH = "/api/enrichment/batch/start"


def settled(org: Organization, seconds: float = 40, **query: Any) -> dict[str, Any]:
    """The newest delivery, once it is not on its way any more."""
    ends = time.monotonic() + seconds
    while True:
        found = org.deliveries(**query)
        if found and found[0]["state"] != "PENDING":
            return found[0]
        assert time.monotonic() < ends, found
        time.sleep(0.05)


def told(org: Organization, hook: Receiver, path: str, count: int = 1) -> list[Got]:
    """Wait for so many requests; if they do not come, the log says why."""
    try:
        return hook.wait(path, count)
    except AssertionError as error:
        raise AssertionError(f"{error}; the log: {org.deliveries()}") from error


def verified(got: Got, secret: str) -> dict[str, Any]:
    """The body, after both signatures were checked."""
    found: dict[str, Any] = Webhook(standard_form(secret)).verify(got.body, got.headers)
    signed = got.headers["X-Omni-Signature-Timestamp"].encode() + b"." + got.body
    mine = "sha256=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert mine in got.headers["X-Omni-Signature"].split(", ")
    return found


def test_a_registered_receiver_is_told_of_every_kind_of_job(
    org: Organization, hook: Receiver, path: str, provider: LlmServer
) -> None:
    made = org.call("POST", "/webhooks", 201, json={"url": hook.url + path})
    org.index()
    jobs = [org.done(persons(5))]
    jobs.append(org.enrich(entity_data={"name": "Orion"}, schema_id=org.schema()))
    task = org.stored(papers(3))
    jobs.append(org.call("GET", "/v1/jobs", params={"externalId": task["id"]})["jobs"][0]["id"])
    got = told(org, hook, path, 3)

    bodies = [verified(one, made["secret"]) for one in got]
    assert {one["jobId"] for one in bodies} == set(jobs)
    assert {one["kind"] for one in bodies} == {"entity_batch", "single_enrichment", "vector_upsertion"}
    for one, request in zip(bodies, got, strict=True):
        assert (one["event"], one["status"], one["metadata"]) == ("job.complete", "COMPLETED", None)
        assert one["completed_at"].endswith("Z")
        assert request.headers["webhook-id"] == one["event_id"]
        assert request.headers["Content-Type"] == "application/json"
    log = settled(org, jobId=jobs[0])
    assert (log["state"], log["webhookId"], log["event"]) == ("DELIVERED", made["webhookId"], "job.complete")
    assert [one["status"] for one in log["attempts"]] == [200]
    detail = org.call("GET", f"/v1/webhooks/deliveries/{log['id']}")
    assert detail["body"] == next(one for one in bodies if one["jobId"] == jobs[0])


def test_a_start_names_its_own_receiver(org: Organization, hook: Receiver, path: str, provider: LlmServer) -> None:
    other = f"/{uuid4().hex}"
    org.call("POST", "/webhooks", 201, json={"url": hook.url + other})
    org.index()
    secret, metadata = "local-test-secret", {"ticket": "OPS-311", "b": [1, {"a": None}]}
    fields = {"webhookUrl": hook.url + path, "webhookSigningSecret": secret, "webhookMetadata": metadata}
    headers = {"Prefer": "respond-async"}
    body = {"entities": persons(3), **fields}
    org.call("POST", "/v1/entities/batch", 202, params={"indexName": "people"}, json=body, headers=headers)
    org.task({"items": papers(3), **fields})
    org.enrich(entity_data={"name": "Orion"}, schema_id=org.schema(), **fields)
    org.submit(
        persons(3, seed=2, first_id=50),
        headers={
            "Towpath-Webhook-Url": hook.url + path,
            "Towpath-Webhook-Secret": secret,
            "Towpath-Webhook-Metadata": json.dumps(metadata),
        },
    )

    for got in told(org, hook, path, 4):
        assert verified(got, secret)["metadata"] == metadata
    for got in told(org, hook, other, 4):
        assert json.loads(got.body)["metadata"] is None


def test_a_failure_and_a_cancel_are_told(org: Organization, hook: Receiver, path: str) -> None:
    org.call("POST", "/webhooks", 201, json={"url": hook.url + path, "events": ["job.error", "job.cancelled"]})
    org.index()
    org.done(persons(3))
    job = org.submit(persons(900))
    org.call("POST", f"/v1/jobs/{job}/cancel")
    org.until(job, "CANCELLED")
    late = org.submit(persons(900, seed=7), headers={"Towpath-Deadline": "1"})
    org.call("POST", f"/v1/jobs/{late}/pause")
    org.until(late, "FAILED")

    bodies = {one["jobId"]: one for one in (json.loads(got.body) for got in told(org, hook, path, 2))}
    assert bodies[job]["event"] == "job.cancelled"
    assert (bodies[late]["event"], bodies[late]["error"]["code"]) == ("job.failed", "DEADLINE_EXCEEDED")
    assert len(hook.of(path)) == 2


def test_a_receiver_that_fails_gets_the_same_event_again(org: Organization, hook: Receiver, path: str) -> None:
    org.call("POST", "/webhooks", 201, json={"url": hook.url + path})
    org.index()
    hook.scripts = [Script(status=500)]
    org.done(persons(3))
    first, second = told(org, hook, path, 2)

    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert 4 < second.at - first.at < 20
    assert [one.get("status") for one in settled(org)["attempts"]] == [500, 200]


def test_a_receiver_that_is_gone_is_told_nothing_more(org: Organization, hook: Receiver, path: str) -> None:
    made = org.call("POST", "/webhooks", 201, json={"url": hook.url + path})
    org.index()
    hook.scripts = [Script(status=410)]
    org.done(persons(3))
    assert settled(org)["state"] == "DISABLED"

    org.done(persons(3, seed=3, first_id=9))
    assert len(org.deliveries()) == 1
    assert org.call("GET", f"/webhooks/{made['webhookId']}")["disabledAt"]


def test_a_receiver_whose_secret_cannot_be_opened_keeps_no_other_from_its_notice(
    org: Organization, system: EmbeddedStack, hook: Receiver, path: str
) -> None:
    lost = org.call("POST", "/webhooks", 201, json={"url": f"{hook.url}{path}-lost"})["webhookId"]
    org.call("POST", "/webhooks", 201, json={"url": hook.url + path})
    with psycopg.connect(system.database_url) as database:
        database.execute("UPDATE webhooks SET secret = 'sealed by another key' WHERE id = %s", (lost,))
    org.index()

    org.done(persons(3))

    told(org, hook, path)
    by_url = {one["url"]: one for one in eventually_tried(org)}
    assert by_url[hook.url + path]["state"] == "DELIVERED"
    assert by_url[f"{hook.url}{path}-lost"]["state"] == "PENDING"
    assert "TOWPATH_ENCRYPTION_KEYS" in by_url[f"{hook.url}{path}-lost"]["attempts"][0]["error"]


def eventually_tried(org: Organization) -> list[dict[str, Any]]:
    """All deliveries, once each was tried."""
    return until(lambda: all(one["attempts"] for one in org.deliveries()) and org.deliveries(), "attempt of each")


def test_the_log_keeps_no_word_of_an_answer_from_a_private_address(
    org: Organization, hook: Receiver, path: str
) -> None:
    org.call("POST", "/webhooks", 201, json={"url": hook.url + path})
    org.index()
    hook.scripts = [Script(status=410, body=b"INTERNAL-STATE")]
    org.done(persons(3))

    assert settled(org)["state"] == "DISABLED"
    assert settled(org)["attempts"][0]["error"] == NOT_KEPT
    assert "INTERNAL-STATE" not in str(org.call("GET", f"/v1/webhooks/deliveries/{settled(org)['id']}"))


def test_an_answer_that_is_no_text_stands_in_the_log_as_far_as_it_is() -> None:
    assert refusal_text(PostAnswer(410, {}, b"gone\0 \xff", 0.1)) == "gone\ufffd \ufffd"
    assert refusal_text(PostAnswer(500, {}, b"", 0.1)) is None
    assert refusal_text(PostAnswer(500, {}, b"x" * 5000, 0.1)) == "x" * 300


def test_no_webhook_goes_to_a_part_of_the_stack(system: EmbeddedStack, org: Organization) -> None:
    for url in (system.api_url, system.temporal_ui_url, f"http://{system.database_url.split('@')[1]}"):
        refused = org.call("POST", "/webhooks", 400, json={"url": url})
        assert refused["code"] == "ADDRESS_REFUSED"
        assert "part of Towpath itself" in refused["detail"]


def test_redirects_and_broken_connections_are_failures(org: Organization, hook: Receiver, path: str) -> None:
    org.call("POST", "/webhooks", 201, json={"url": hook.url + path})
    org.index()
    inside = f"/{uuid4().hex}"
    hook.scripts = [Script(status=307, headers={"Location": hook.url + inside})]
    org.done(persons(3))
    assert [one.get("status") for one in settled(org)["attempts"]] == [307, 200]
    hook.scripts = [Script(close=True)]
    org.done(persons(3, seed=3, first_id=9))
    tries = settled(org)["attempts"]

    assert [one.get("status") for one in tries] == [None, 200]
    assert tries[0]["error"]
    assert hook.of(inside) == []


def test_a_notice_can_be_sent_again_by_hand(org: Organization, hook: Receiver, path: str) -> None:
    org.call("POST", "/webhooks", 201, json={"url": hook.url + path})
    org.index()
    org.done(persons(3))
    sent = settled(org)
    org.call("POST", f"/v1/webhooks/deliveries/{sent['id']}/resend")
    first, second = told(org, hook, path, 2)

    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    again = settled(org)
    assert (again["state"], [one["status"] for one in again["attempts"]]) == ("DELIVERED", [200, 200])


def test_a_rotated_secret_and_the_one_before_both_sign(org: Organization, hook: Receiver, path: str) -> None:
    old = new_secret()
    made = org.call("POST", "/webhooks", 201, json={"url": hook.url + path, "secret": old})
    assert made["secret"] == old
    new = org.call("POST", f"/webhooks/{made['webhookId']}/rotate")
    assert new["secret"] != old
    assert new["previousSecretUntil"]
    org.index()
    org.done(persons(3))
    got = told(org, hook, path)[0]

    assert verified(got, old) == verified(got, new["secret"])
    listed = org.call("GET", "/webhooks")
    assert [one["webhookId"] for one in listed] == [made["webhookId"]]
    assert "secret" not in listed[0]
    org.call("DELETE", f"/webhooks/{made['webhookId']}", 204)
    assert org.call("GET", "/webhooks") == []


def test_a_plain_secret_is_given_back_in_its_standard_form(org: Organization, hook: Receiver, path: str) -> None:
    made = org.call("POST", "/webhooks", 201, json={"url": hook.url + path, "secret": "plain words"})

    assert made["secret"] == standard_form("plain words")


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"webhookUrl": "http://10.0.0.1/x"}, 400, "webhookUrl: 10.0.0.1 does not lead to a public address"),
        ({"webhookUrl": "http://[::1]:9/x"}, 400, "webhookUrl"),
        ({"webhookUrl": "http://169.254.169.254/latest"}, 400, "webhookUrl"),
        ({"webhookUrl": "ftp://example.com"}, 400, "webhookUrl"),
        ({"webhookUrl": ""}, 400, "webhookUrl"),
        ({"webhookUrl": 5}, 400, "webhookUrl"),
        ({"webhookUrl": "http://localhost/x", "webhookSigningSecret": "whsec_x"}, 400, "webhookSigningSecret"),
        ({"webhookSigningSecret": "s"}, 400, "webhookUrl is required"),
        ({"webhookMetadata": {"a": 1}}, 400, "webhookUrl is required"),
        ({"webhookUrl": "http://localhost/x", "webhookMetadata": "no object"}, 400, "webhookMetadata"),
        ({"webhookUrl": "http://localhost/x", "webhookMetadata": {"a": "x" * 17_000}}, 413, "webhookMetadata"),
    ],
)
def test_wrong_webhook_fields_are_named_and_nothing_is_kept(
    org: Organization, fields: dict[str, Any], status: int, said: str
) -> None:
    org.index()
    before = len(org.call("GET", "/v1/jobs")["jobs"])
    body = {"entities": persons(2), **fields}
    answer = org.call("POST", "/v1/entities/batch", status, params={"indexName": "people"}, json=body)
    assert said in answer["detail"]
    # That API tells a wrong body as its users know it: by 422 and a list.
    task = org.task({"items": papers(1), **fields}, expect=422 if status == 400 else status)
    assert said.removeprefix("webhookUrl: ") in str(task["detail"])
    single = {"entity_data": {"name": "x"}, "schema_id": org.schema(), "models": ["openai::gpt-4o"], **fields}
    assert said in org.call("POST", "/api/single/enrich/stream", status, json=single)["detail"]

    assert len(org.call("GET", "/v1/jobs")["jobs"]) == before


def test_who_may_do_what(system: EmbeddedStack, org: Organization, hook: Receiver, path: str) -> None:
    made = org.call("POST", "/webhooks", 201, json={"url": hook.url + path})
    org.index()
    org.done(persons(3))
    sent = settled(org)
    calls = [
        ("GET", "/webhooks"), ("POST", "/webhooks"), ("GET", f"/webhooks/{made['webhookId']}"),
        ("DELETE", f"/webhooks/{made['webhookId']}"), ("POST", f"/webhooks/{made['webhookId']}/rotate"),
        ("GET", "/v1/webhooks/deliveries"), ("GET", f"/v1/webhooks/deliveries/{sent['id']}"),
        ("POST", f"/v1/webhooks/deliveries/{sent['id']}/resend"),
    ]  # fmt: skip
    for method, route in calls:
        assert httpx.request(method, system.api_url + route).status_code == 401, route
    other = organization(system.api_url)
    for method, route in calls:
        if made["webhookId"] in route or sent["id"] in route:
            other.call(method, route, 404)
    assert other.deliveries() == []
    assert other.call("GET", "/webhooks") == []
    low = org.call("POST", "/api/auth/api-keys", 201, json={"name": "low", "role": "operator"})["key"]
    weak = {"Authorization": f"Bearer {low}"}
    body = {"url": hook.url + path}
    assert httpx.post(f"{system.api_url}/webhooks", json=body, headers=weak).status_code == 403
    assert httpx.delete(f"{system.api_url}/webhooks/{made['webhookId']}", headers=weak).status_code == 403
    assert httpx.get(f"{system.api_url}/webhooks", headers=weak).status_code == 200


def test_a_repeated_registration_makes_one_receiver(org: Organization, hook: Receiver, path: str) -> None:
    body, headers = {"url": hook.url + path}, {"Idempotency-Key": "one"}
    first = org.call("POST", "/webhooks", 201, json=body, headers=headers)
    second = org.call("POST", "/webhooks", 201, json=body, headers=headers)

    assert second["webhookId"] == first["webhookId"]
    assert "secret" not in second
    assert len(org.call("GET", "/webhooks")) == 1
    org.call("POST", "/webhooks", 422, json={"url": hook.url + "/else"}, headers=headers)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "url"),
        ({"url": "http://10.1.1.1"}, "url"),
        ({"url": "http://localhost", "events": ["job.party"]}, "events"),
        ({"url": "http://localhost", "events": []}, "events"),
        ({"url": "http://localhost", "secret": "whsec_a"}, "secret"),
    ],
)
def test_a_wrong_receiver_is_refused(org: Organization, body: dict[str, Any], said: str) -> None:
    assert said in org.call("POST", "/webhooks", 400, json=body)["detail"]


def test_the_log_is_read_page_by_page(org: Organization, hook: Receiver, path: str) -> None:
    org.call("POST", "/webhooks", 201, json={"url": hook.url + path})
    org.index()
    for number in range(3):
        org.done(persons(2, seed=number, first_id=number * 10))
    told(org, hook, path, 3)
    first = org.call("GET", "/v1/webhooks/deliveries", params={"limit": 2})
    second = org.call("GET", "/v1/webhooks/deliveries", params={"limit": 2, "cursor": first["nextCursor"]})

    assert [len(page["deliveries"]) for page in (first, second)] == [2, 1]
    assert "nextCursor" not in second
    assert len({one["id"] for page in (first, second) for one in page["deliveries"]}) == 3
    org.call("GET", "/v1/webhooks/deliveries", 400, params={"cursor": "x"})
    org.call("GET", "/v1/webhooks/deliveries", 400, params={"state": "LOST"})
    org.call("GET", f"/v1/webhooks/deliveries/{uuid4()}", 404)


def test_a_receiver_that_hangs_is_left_after_fifteen_seconds_and_tried_again(
    org: Organization, hook: Receiver, path: str
) -> None:
    hook.by_path[path] = Script(hang=40)
    org.index()
    job = org.submit(persons(3), headers={"Towpath-Webhook-Url": hook.url + path})
    ends = time.monotonic() + 40

    while not (log := org.deliveries(jobId=job)) or not log[0]["attempts"]:
        assert time.monotonic() < ends
        time.sleep(0.2)

    first = log[0]["attempts"][0]
    assert (log[0]["state"], first.get("status")) == ("PENDING", None)
    assert 15_000 <= first["durationMs"] < 20_000
    assert log[0]["nextAttemptAt"]
