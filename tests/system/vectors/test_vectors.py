"""The embeddings API as its users call it; every defect that the original is known for has its test here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.support.builders import Organization, organization, papers
from towpath.runtime.embedded import EmbeddedStack

RUN = "/embeddings/upsertion-tasks/run"
SEED = {"task_id": "task-123", "items": [{"object_id": "obj-1", "payload": {"text": "deep learning paper"}}]}


def test_the_example_of_the_seed(org: Organization) -> None:
    task = org.call("POST", RUN, json=SEED)

    assert (task["id"], task["task_id"], task["status"], task["failed_items"]) == (
        "task-123",
        "task-123",
        "pending",
        [],
    )
    assert task["created_at"].endswith("Z")
    assert task["updated_at"].endswith("Z")
    done = org.ended("task-123")
    assert done["status"] == "done"
    assert done["progress"] == {"total": 1, "processed": 1, "succeeded": 1, "failed": 0}
    assert [one["object_id"] for one in org.search("machine learning")["search_results"]] == ["obj-1"]


def test_every_path_is_served_bare_and_under_api_v1(org: Organization) -> None:
    org.call("POST", "/api/v1" + RUN, json=SEED)
    org.ended("task-123")

    for prefix in ("", "/api/v1"):
        base = f"{prefix}/embeddings"
        one = {"task_id": "task-123"}
        assert org.call("GET", f"{base}/upsertion-tasks/info", params=one)["status"] == "done"
        assert len(org.call("GET", f"{base}/upsertion-tasks/list")) == 1
        assert org.call("GET", f"{base}/deletion-tasks/list") == []
        assert org.call("POST", f"{base}/payload-count", json={"filter": {"text": "deep learning paper"}}) == {
            "total_count": 1
        }


def test_a_repeat_answers_the_same_task_and_another_body_is_a_conflict(org: Organization) -> None:
    first = org.task(SEED)
    turned = {"items": [{"payload": {"text": "deep learning paper"}, "object_id": "obj-1"}], "id": "task-123"}

    assert org.task(turned)["created_at"] == first["created_at"]
    assert org.task({**SEED, "items": []}, expect=409)["code"] == "CONFLICT"
    assert org.call("POST", "/embeddings/upsertion-tasks/categories/run", 409, json=SEED)["status"] == 409
    assert len(org.call("GET", "/embeddings/upsertion-tasks/list")) == 1
    # Ids of deletions are apart.
    assert org.task({"task_id": "task-123", "object_ids": []}, "deletion")["id"] == "task-123"


def test_twenty_repeats_at_once_make_one_task(org: Organization) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: org.task(SEED), range(20)))

    assert len({answer["created_at"] for answer in answers}) == 1
    assert len(org.call("GET", "/v1/jobs")["jobs"]) == 1


def test_an_idempotency_key_makes_a_repeat_safe_without_a_task_id(org: Organization) -> None:
    body = {"items": SEED["items"]}
    headers = {"Idempotency-Key": "once"}

    first = org.call("POST", RUN, json=body, headers=headers)

    assert org.call("POST", RUN, json=body, headers=headers) == first
    assert org.call("POST", RUN, 422, json={"items": []}, headers=headers)["code"] == "IDEMPOTENCY_MISMATCH"


def test_an_empty_task_is_done(org: Organization) -> None:
    task = org.ended(org.task({"items": []})["id"])

    assert (task["status"], task["progress"]["total"]) == ("done", 0)


BAD_BODIES: list[tuple[Any, list[Any]]] = [
    ({}, ["body", "items"]),
    ({"items": {}}, ["body", "items"]),
    ({"items": [{"payload": {}}]}, ["body", "items", 0, "object_id"]),
    ({"items": [{"object_id": "a"}, {"object_id": 5}]}, ["body", "items", 1, "object_id"]),
    ({"items": [{"object_id": "a", "payload": "text"}]}, ["body", "items", 0, "payload"]),
    ({"items": [{"object_id": ""}]}, ["body", "items", 0, "object_id"]),
    ({"items": ["a"]}, ["body", "items", 0]),
    ({"items": [], "task_id": "no spaces"}, ["body", "task_id"]),
    ({"items": [], "task_id": 5}, ["body", "task_id"]),
    ({"items": [], "task_id": "a", "id": "b"}, ["body", "id"]),
]


@pytest.mark.parametrize(("body", "where"), BAD_BODIES, ids=[str(where) for _, where in BAD_BODIES])
def test_a_malformed_body_is_a_list_that_names_the_place(org: Organization, body: Any, where: list[Any]) -> None:
    answer = org.call("POST", RUN, 422, json=body)

    assert answer["detail"][0]["loc"] == where
    assert set(answer["detail"][0]) == {"loc", "msg", "type"}
    assert org.call("GET", "/v1/jobs")["jobs"] == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"items": [{"object_id": "a",}]}', b'{"items": [', b'{"items": []} x'])
def test_a_body_that_is_no_json_object_is_refused_whole(org: Organization, body: bytes) -> None:
    answer = org.call("POST", RUN, 422, content=body, headers={"Content-Type": "application/json"})

    assert answer["detail"][0]["loc"][0] == "body"
    assert org.call("GET", "/v1/jobs")["jobs"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "upsertion-tasks/info"),
        ("GET", "upsertion-tasks/list?status=finished"),
        ("GET", "upsertion-tasks/list?limit=0"),
        ("GET", "upsertion-tasks/list?offset=-1"),
        ("PUT", "upsertion-tasks/restart"),
        ("PUT", "deletion-tasks/cancel"),
    ],
)
def test_bad_queries_are_422(org: Organization, method: str, path: str) -> None:
    assert org.call(method, f"/embeddings/{path}", 422)["detail"][0]["loc"][0] == "query"


def test_a_task_has_its_own_limits_of_size(system: EmbeddedStack, org: Organization) -> None:
    big = {"items": [{"object_id": str(i)} for i in range(401)]}

    assert org.task(big, expect=413)["code"] == "TOO_LARGE"
    assert org.call("GET", "/v1/jobs")["jobs"] == []


EVERY_CALL = [
    ("POST", "upsertion-tasks/run", {"items": []}),
    ("POST", "upsertion-tasks/categories/run", {"items": []}),
    ("POST", "deletion-tasks/run", {"object_ids": []}),
    ("GET", "upsertion-tasks/info?task_id=t", None),
    ("GET", "deletion-tasks/info?task_id=t", None),
    ("GET", "upsertion-tasks/list", None),
    ("GET", "deletion-tasks/list", None),
    ("PUT", "upsertion-tasks/restart?task_id=t", None),
    ("PUT", "deletion-tasks/restart?task_id=t", None),
    ("PUT", "upsertion-tasks/cancel?task_id=t", None),
    ("PUT", "deletion-tasks/cancel?task_id=t", None),
    ("POST", "similarity-search", {"search_query": "a", "limit": 1}),
    ("POST", "payload-search", {"search_query": None, "limit": 1}),
    ("POST", "payload-count", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), EVERY_CALL, ids=[f"{m} {p}" for m, p, _ in EVERY_CALL])
def test_every_call_needs_a_valid_key(system: EmbeddedStack, method: str, path: str, body: Any) -> None:
    for headers in ({}, {"X-API-Key": "ent_" + "a" * 40}):
        answer = httpx.request(method, f"{system.api_url}/embeddings/{path}", json=body, headers=headers)

        assert answer.status_code == 401
        assert isinstance(answer.json()["detail"], str)


def test_another_tenants_tasks_and_objects_are_not_there(system: EmbeddedStack, org: Organization) -> None:
    org.stored([{"object_id": "obj-1", "payload": {"text": "deep learning paper"}}])
    org.task({"task_id": "mine", "items": []})
    other = organization(system.api_url)

    for method, path in (("GET", "info"), ("PUT", "restart"), ("PUT", "cancel")):
        other.call(method, f"/embeddings/upsertion-tasks/{path}", 404, params={"task_id": "mine"})
    assert other.call("GET", "/embeddings/upsertion-tasks/list") == []
    assert other.search("learning", expect=404)["code"] == "NOT_FOUND"
    # The same ids are free for another tenant.
    other.stored([{"object_id": "obj-1", "payload": {"text": "bread"}}])
    assert other.search("learning")["search_results"][0]["payload"] == {"text": "bread"}
    assert org.search("learning")["search_results"][0]["payload"] == {"text": "deep learning paper"}


def test_the_two_collections_are_apart(org: Organization) -> None:
    org.stored([{"object_id": "a", "payload": {"text": "a document"}}])
    task = org.call("POST", "/embeddings/upsertion-tasks/categories/run", json={"items": papers(2)})
    org.ended(task["id"])

    found = org.call(
        "POST", "/embeddings/similarity-search?collection=categories", json={"search_query": "a", "limit": 9}
    )
    assert len(found["search_results"]) == 2
    assert [one["object_id"] for one in org.search("a")["search_results"]] == ["a"]
    tasks = org.call("GET", "/embeddings/upsertion-tasks/list", params={"collection": "categories"})
    assert [one["id"] for one in tasks] == [task["id"]]


def test_one_bad_item_fails_alone_and_says_where_and_why(org: Organization) -> None:
    items = papers(20)
    items[7] = {"object_id": "empty", "payload": {"text": ""}, "item_info": {"feed": "x"}}
    items[8] = {"object_id": "number", "payload": {"year": 5}}
    items[9] = {"object_id": "nul", "payload": {"text": "a\0b"}}

    task = org.ended(org.task({"items": items})["id"])

    assert task["status"] == "done"
    assert task["progress"] == {"total": 20, "processed": 20, "succeeded": 17, "failed": 3}
    assert task["failed_items"] == [
        {
            "object_id": "empty", "payload": {"text": ""}, "item_info": {"feed": "x"},
            "detail": "nothing to embed", "failure_stage": "on_downloading",
        },
        {
            "object_id": "number", "payload": {"year": 5},
            "detail": "nothing to embed", "failure_stage": "on_downloading",
        },
        {
            "object_id": "nul", "payload": {"text": "a\0b"},
            "detail": "items[9].payload.text contains a null byte", "failure_stage": "on_upsert",
        },
    ]  # fmt: skip


def test_a_task_of_which_every_item_failed_is_failed(org: Organization) -> None:
    task = org.ended(org.task({"items": [{"object_id": str(i)} for i in range(20)]})["id"])

    assert task["status"] == "failed"
    assert len(task["failed_items"]) == 20
    assert task["detail"] == "all 20 items failed: nothing to embed (NOTHING_TO_EMBED)"


def test_the_last_of_two_items_with_one_id_wins(org: Organization) -> None:
    items = [{"object_id": "a", "payload": {"text": text}} for text in ("first", "second")]

    assert org.stored(items)["progress"]["total"] == 1
    assert org.search("x")["search_results"][0]["payload"] == {"text": "second"}


def test_a_vector_depends_on_its_own_object_alone(org: Organization) -> None:
    text = {"text": "the migration of arctic terns"}
    org.stored([{"object_id": "alone", "payload": text}])
    company = papers(30)
    company[11] = {"object_id": "in company", "payload": text}
    org.stored(company)

    found = org.search("arctic birds that migrate", limit=2)["search_results"]

    assert {one["object_id"] for one in found} == {"alone", "in company"}
    assert found[0]["distance"] == pytest.approx(found[1]["distance"], abs=2e-6)


def test_a_long_text_is_found_by_any_of_its_parts_and_comes_once(org: Organization) -> None:
    chapters = ["The lighthouse keeper repairs a lamp at night. " * 60, "Quarterly tax returns and audits. " * 60]
    org.stored([{"object_id": "book", "payload": {"text": "\n\n".join(chapters)}}, *papers(5)])

    for query in ("a lamp in a lighthouse", "auditing a tax return"):
        found = org.search(query, limit=10)["search_results"]
        assert found[0]["object_id"] == "book"
        assert found[0]["distance"] < 0.65
        assert len(found) == 6


def test_replacing_an_object_replaces_text_and_payload(org: Organization) -> None:
    org.stored([{"object_id": "a", "payload": {"text": "steam engines"}, "item_info": {"v": 1}}])
    org.stored([{"object_id": "a", "payload": {"text": "baking bread"}}])
    found = org.search("oven")["search_results"]
    assert [(one["object_id"], one["payload"], one.get("meta")) for one in found] == [
        ("a", {"text": "baking bread"}, None)
    ]
    near = found[0]["distance"]

    org.stored([{"object_id": "a", "payload": {"text": "baking bread", "year": 2025}}])

    found = org.search("oven", filter={"year": 2025})["search_results"]
    assert found[0]["distance"] == pytest.approx(near, abs=2e-6)


def test_cancel_answers_canceled_at_once_and_stops_within_two_seconds(org: Organization) -> None:
    task_id = org.task({"items": papers(400, words=120)})["id"]
    while org.info(task_id)["status"] == "pending":
        time.sleep(0.02)

    began = time.monotonic()
    answer = org.call("PUT", "/embeddings/upsertion-tasks/cancel", params={"task_id": task_id})

    assert answer["status"] == "canceled"
    kept = answer["progress"]["succeeded"]
    job = org.call("GET", "/v1/jobs", params={"externalId": task_id})["jobs"][0]
    assert org.until(job["id"], seconds=10)["state"] == "CANCELLED"
    assert time.monotonic() - began < 2
    after = org.settled(lambda: org.info(task_id))
    assert (after["status"], after["progress"]["succeeded"]) == ("canceled", kept)
    assert kept < 400
    again = org.call("PUT", "/embeddings/upsertion-tasks/cancel", params={"task_id": task_id})
    assert again["status"] == "canceled"


def test_a_restart_takes_the_rest_and_repeats_nothing(org: Organization) -> None:
    task_id = org.task({"items": papers(200, words=40)})["id"]
    while org.info(task_id)["progress"]["succeeded"] == 0:
        time.sleep(0.02)
    org.call("PUT", "/embeddings/upsertion-tasks/cancel", params={"task_id": task_id})
    kept = org.ended(task_id)["progress"]["succeeded"]
    assert 0 < kept < 200
    stamps = updated(org)

    answer = org.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": task_id})

    assert (answer["status"], answer["attempt"]) == ("pending", 2)
    assert answer["created_at"] == org.info(task_id)["created_at"]
    done = org.ended(task_id)
    assert done["status"] == "done"
    assert done["progress"]["succeeded"] == 200
    assert stamps.items() <= updated(org).items()


def updated(org: Organization) -> dict[str, bool]:
    """Objects that were stored before this moment, by when they last changed."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    query = {"query": {"field": "updated_at", "range": {"lt": now}, "force_not_payload": True}}
    body = {"search_query": None, "limit": 1000, "filter": query}
    found = org.call("POST", "/embeddings/payload-search", json=body)["search_results"]
    return {one["object_id"]: True for one in found}


def test_restarting_a_waiting_task_queues_it_once(org: Organization) -> None:
    task_id = org.task({"items": papers(100)})["id"]

    states = [
        org.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": task_id})["attempt"] for _ in range(5)
    ]

    assert states == [1] * 5
    assert org.ended(task_id)["attempt"] == 1


def test_a_finished_task_restarts_over_everything_and_touches_nothing_unchanged(org: Organization) -> None:
    task_id = org.stored(papers(100))["id"]

    org.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": task_id})
    task = org.ended(task_id)

    assert (task["status"], task["attempt"], task["progress"]["succeeded"]) == ("done", 2, 100)
    job = org.call("GET", "/v1/jobs", params={"externalId": task_id})["jobs"][0]
    assert job["progress"]["skipped"] == 100


def test_the_failed_items_alone_are_retried(org: Organization, pages: Pages) -> None:
    pages.answers["/later"] = [(404, b"")]
    items = [*papers(10), {"object_id": "web", "item_info": {"url": f"{pages.url}/later"}}]
    task_id = org.ended(org.task({"items": items})["id"])["id"]
    failed = org.info(task_id)["failed_items"]
    assert [(one["object_id"], one["failure_stage"]) for one in failed] == [("web", "on_downloading")]
    pages.answers["/later"] = [(200, b"an essay on glaciers")]

    restarted = org.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": task_id})

    assert restarted["failed_items"] == []
    task = org.ended(task_id)
    assert task["progress"] == {"total": 11, "processed": 11, "succeeded": 11, "failed": 0}
    assert org.search("ice sheets", limit=1)["search_results"][0]["object_id"] == "web"


def test_the_list_is_newest_first_with_a_total(org: Organization) -> None:
    ids = [org.task({"items": []})["id"] for _ in range(5)]
    for task_id in ids:
        org.ended(task_id)

    answer = org.http.get("/embeddings/upsertion-tasks/list", params={"limit": 2, "offset": 1, "status": "done"})

    assert [task["id"] for task in answer.json()] == [ids[3], ids[2]]
    assert answer.headers["X-Total-Count"] == "5"
    assert org.call("GET", "/embeddings/upsertion-tasks/list", params={"status": "refused"}) == []


def test_deleting_objects(org: Organization) -> None:
    org.stored(papers(10))
    ids = [item["object_id"] for item in papers(10)]

    task = org.task({"id": "purge-7", "object_ids": [*ids[:4], "unknown"]}, "deletion")
    assert (task["status"], task["failed_item_ids"]) == ("pending", [])
    done = org.ended("purge-7", "deletion")

    assert done["progress"] == {"total": 5, "processed": 5, "succeeded": 5, "failed": 0, "missing": 1}
    found = org.search("anything", limit=100)
    assert {one["object_id"] for one in found["search_results"]} == set(ids[4:])
    assert found["total_count"] == 6


def test_deletions_and_upsertions_take_effect_in_the_order_of_acceptance(org: Organization) -> None:
    item = {"object_id": "a", "payload": {"text": "first"}}
    slow = org.task({"items": [*papers(150, words=60), item]})
    gone = org.task({"object_ids": ["a"]}, "deletion")
    org.ended(gone["id"], "deletion")
    org.ended(slow["id"])
    assert org.call("POST", "/embeddings/payload-count", json={"filter": {"text": "first"}}) == {"total_count": 0}

    slow = org.task({"items": [*papers(150, seed=2, words=60), item]})
    newer = org.task({"items": [{"object_id": "a", "payload": {"text": "second"}}]})
    org.ended(newer["id"])
    org.ended(slow["id"])
    found = org.call(
        "POST", "/embeddings/payload-search", json={"limit": 5, "filter": {"text": {"$in": ["first", "second"]}}}
    )
    assert [one["payload"] for one in found["search_results"]] == [{"text": "second"}]

    # A restart over everything is accepted anew: what was deleted since comes back.
    org.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": slow["id"], "scope": "all"})
    org.ended(slow["id"])
    assert org.call("POST", "/embeddings/payload-count", json={"filter": {"text": "first"}}) == {"total_count": 1}


def test_search_without_a_query_is_by_payload(org: Organization) -> None:
    org.stored(papers(50))
    body = {"search_query": None, "limit": 3, "filter": {"query": {"term": {"field": "year", "value": 2005}}}}

    found = org.call("POST", "/embeddings/similarity-search", json={**body, "limit": 1})

    assert found["total_count"] == 2
    assert found["next_page_offset"] == 1
    assert found["search_results"][0]["distance"] == 1.0
    assert org.call("POST", "/embeddings/payload-search", json={**body, "search_query": "ignored"})["total_count"] == 2
    assert org.call("POST", "/embeddings/payload-count", json={"filter": body["filter"]}) == {"total_count": 2}
    assert org.search(None)["search_results"] == []
    ordered = {**body, "filter": {}, "sort_by": {"field": "year", "order": "desc"}}
    years = [
        one["payload"]["year"] for one in org.call("POST", "/embeddings/payload-search", json=ordered)["search_results"]
    ]
    assert years == [2024, 2024, 2023]


def test_search_hands_sessions_and_meta_info_through(org: Organization) -> None:
    org.stored(papers(1))

    made = org.search("a", create_session=True, meta_info={"page": 3})
    assert made["meta_info"] == {"page": 3}
    assert org.search("a", session_id=made["session_id"])["session_id"] == made["session_id"]
    assert "session_id" not in org.search("a")


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"limit": 0}, ["body", "limit"]),
        ({"limit": 1001}, ["body", "limit"]),
        ({"offset": -1}, ["body", "offset"]),
        ({"max_distance": "far"}, ["body", "max_distance"]),
        ({"sort_by": {"order": "asc"}}, ["body", "sort_by", "field"]),
        ({"filter": {"query": {"term": {"value": 1}}}}, ["body", "filter", "query", "term", "field"]),
    ],
)
def test_a_bad_search_names_the_place(org: Organization, more: dict[str, Any], where: list[Any]) -> None:
    org.stored(papers(1))

    body = {"search_query": "a", "limit": 5, **more}
    assert org.call("POST", "/embeddings/similarity-search", 422, json=body)["detail"][0]["loc"] == where


def test_a_task_tells_its_progress_as_events_and_obeys_the_common_face(org: Organization) -> None:
    task_id = org.task({"items": papers(200, words=40)})["id"]
    job_id = org.call("GET", "/v1/jobs", params={"externalId": task_id})["jobs"][0]["id"]
    org.call("POST", f"/v1/jobs/{job_id}/pause")
    assert org.info(task_id)["status"] == "processing"
    org.call("POST", f"/v1/jobs/{job_id}/continue")
    org.ended(task_id)

    events = org.http.get(f"/v1/jobs/{job_id}/events").text
    assert events.count("event: job.progress") == 4
    assert "event: job.completed" in events
    assert org.call("POST", f"/v1/jobs/{job_id}/restart")["attempt"] == 2
    assert org.ended(task_id)["status"] == "done"


class Pages:
    """Web pages on loopback; each path answers what it was told, the last answer for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.asked: list[str] = []
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages.asked.append(self.path)
                script = pages.answers.get(self.path, [(404, b"")])
                status, body = script.pop(0) if len(script) > 1 else script[0]
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if body.startswith(b"<") else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    served = Pages()
    yield served
    served.server.shutdown()


def test_texts_from_the_web_and_from_files(org: Organization, pages: Pages, system: EmbeddedStack, files: Path) -> None:
    pages.answers["/page"] = [(200, b"<html><body><script>x()</script><p>Volcanoes of Iceland</p></body></html>")]
    (files / org.slug).mkdir()
    (files / org.slug / "notes.md").write_text("# Orchids\n\nHow to water *orchids*.")
    items = [
        {"object_id": "page", "item_info": {"url": f"{pages.url}/page"}},
        {"object_id": "file", "item_info": {"path": "notes.md"}},
        {"object_id": "both", "payload": {"title": "kept"}, "item_info": {"url": f"{pages.url}/never"}},
    ]

    org.stored(items)

    assert org.search("lava and craters", limit=1)["search_results"][0]["object_id"] == "page"
    assert org.search("house plants", limit=1)["search_results"][0]["object_id"] == "file"
    assert "/never" not in pages.asked


def test_a_stage_that_fails_for_a_moment_is_tried_again(org: Organization, pages: Pages) -> None:
    pages.answers["/flaky"] = [(503, b""), (503, b""), (200, b"an essay on tides")]

    task = org.stored([{"object_id": "a", "item_info": {"url": f"{pages.url}/flaky"}}])

    assert task["failed_items"] == []
    assert pages.asked.count("/flaky") == 3


def test_sources_outside_what_is_allowed_fail_their_item_alone(org: Organization, files: Path) -> None:
    (files / "secret.txt").write_text("secret")
    (files / "another").mkdir(exist_ok=True)
    (files / "another" / "theirs.txt").write_text("theirs")
    items = [
        {"object_id": "up", "item_info": {"path": "../secret.txt"}},
        {"object_id": "another's", "item_info": {"path": "../another/theirs.txt"}},
        {"object_id": "their whole path", "item_info": {"path": "another/theirs.txt"}},
        {"object_id": "absolute", "item_info": {"path": "/etc/hostname"}},
        {"object_id": "missing", "item_info": {"path": "no.txt"}},
        {"object_id": "metadata", "item_info": {"url": "http://169.254.169.254/latest"}},
        {"object_id": "fine", "payload": {"text": "fine"}},
    ]

    task = org.ended(org.task({"items": items})["id"])

    assert task["status"] == "done"
    assert {one["object_id"]: one["failure_stage"] for one in task["failed_items"]} == dict.fromkeys(
        ["up", "another's", "their whole path", "absolute", "missing", "metadata"], "on_downloading"
    )
    assert "secret" not in str([one["detail"] for one in task["failed_items"] if one["object_id"] != "up"])


def test_ten_tasks_over_the_same_objects_at_once_leave_those_of_one(org: Organization) -> None:
    async def run() -> None:
        async with httpx.AsyncClient(base_url=str(org.http.base_url), headers=org.http.headers, timeout=60) as client:
            bodies = [
                {
                    "items": [
                        {"object_id": f"o{i}", "payload": {"text": f"round {turn}", "turn": turn}} for i in range(20)
                    ]
                }
                for turn in range(10)
            ]
            answers = await asyncio.gather(*(client.post(RUN, json=body) for body in bodies))
            ids = [answer.json()["id"] for answer in answers]
        for task_id in ids:
            await asyncio.to_thread(org.ended, task_id)

    asyncio.run(run())

    found = org.call("POST", "/embeddings/payload-search", json={"limit": 100, "filter": {}})["search_results"]
    assert len(found) == 20
    assert len({one["payload"]["turn"] for one in found}) == 1
