"""Tasks over a remote embedding model that counts what is paid, while parts of the system are killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.builders import Organization, organization
from tests.support.embedding_server import KEY, EmbeddingServer, embedding_server
from tests.support.supervised import supervised
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

ITEMS = 400
WINDOW = 2
BATCH = 8
# A worker keeps what it has embedded after each group of two batches.
IN_FLIGHT = WINDOW * 2 * BATCH


@pytest.fixture(scope="module")
def model() -> Iterator[EmbeddingServer]:
    with embedding_server() as served:
        yield served


@pytest.fixture(scope="module")
def stack(session_home: Path, model: EmbeddingServer) -> Iterator[EmbeddedStack]:
    """A system of its own, because its processes are killed; its embeddings API is open."""
    settings = Settings(
        home=session_home / "vector-kills", port=0, ui_port=0, workers=1, vector_chunk=50, window=WINDOW,
        embedding_model="openai::test-embed", embedding_url=model.url, embedding_key=KEY, embedding_batch=BATCH,
        embeddings_open=True,
    )  # fmt: skip
    with supervised(settings) as running:
        yield running


@pytest.fixture
def org(stack: EmbeddedStack, model: EmbeddingServer) -> Iterator[Organization]:
    model.paid.clear()
    model.seconds = 0.1
    yield organization(stack.api_url)
    model.seconds = 0.0
    model.script.clear()
    model.release()


def items(word: str) -> list[dict[str, Any]]:
    return [{"object_id": f"o{number}", "payload": {"text": f"{word} {number}"}} for number in range(ITEMS)]


def wait_for_share(org: Organization, task_id: str, low: float) -> None:
    """Wait until a part of the items is done; the model holds the rest back, however fast the task is."""
    ends = time.monotonic() + 60
    while (processed := org.info(task_id)["progress"]["processed"]) < low * ITEMS:
        assert time.monotonic() < ends, "the task does not move"
        time.sleep(0.01)
    assert processed < ITEMS


def assert_whole(org: Organization, task_id: str, word: str) -> None:
    """Every item is done, stored, and found by its own text."""
    task = org.ended(task_id, seconds=120)
    assert (task["status"], task["failed_items"]) == ("done", [])
    assert task["progress"] == {"total": ITEMS, "processed": ITEMS, "succeeded": ITEMS, "failed": 0}
    assert org.call("POST", "/embeddings/payload-count", json={"filter": {}})["total_count"] == ITEMS
    for number in (0, ITEMS // 2, ITEMS - 1):
        first = org.search(f"{word} {number}", limit=1)["search_results"][0]
        assert first["object_id"] == f"o{number}"
        assert first["distance"] < 1e-4


def test_a_worker_killed_in_the_middle_pays_again_for_no_more_than_was_in_flight(
    org: Organization, stack: EmbeddedStack, model: EmbeddingServer
) -> None:
    model.hold(ITEMS // 2)
    task_id = org.task({"items": items("killed")})["id"]
    wait_for_share(org, task_id, 0.25)

    stack.kill("worker-0")
    model.release()

    assert_whole(org, task_id, "killed")
    asked = {text: count for text, count in model.paid.items() if text != "killed 0"}
    twice = [text for text, count in model.paid.items() if count > 1 and text.startswith("killed")]
    assert len(asked) >= ITEMS - 1
    assert len(twice) <= IN_FLIGHT + 3  # three were asked for again by the searches above


def test_chroma_killed_in_the_middle_makes_a_task_wait(
    org: Organization, stack: EmbeddedStack, model: EmbeddingServer
) -> None:
    model.hold(ITEMS // 2)
    task_id = org.task({"items": items("without chroma")})["id"]
    wait_for_share(org, task_id, 0.1)

    stack.kill("chroma")
    model.release()

    assert_whole(org, task_id, "without chroma")


def test_a_restart_of_what_has_not_changed_pays_nothing(org: Organization, model: EmbeddingServer) -> None:
    model.seconds = 0.0
    task_id = org.task({"items": items("again")})["id"]
    assert_whole(org, task_id, "again")
    paid = model.paid.total()

    org.call("PUT", "/embeddings/upsertion-tasks/restart", params={"task_id": task_id})

    assert_whole(org, task_id, "again")
    assert model.paid.total() == paid + 3  # the three searches


def test_a_model_that_asks_to_slow_down_is_waited_for(org: Organization, model: EmbeddingServer) -> None:
    model.seconds = 0.0
    model.script = [(429, {"Retry-After": "1"}), (500, {}), (429, {"Retry-After": "1"})]

    task_id = org.task({"items": items("slow")})["id"]

    assert_whole(org, task_id, "slow")


def test_a_text_that_the_model_refuses_fails_alone(org: Organization, model: EmbeddingServer) -> None:
    model.seconds, model.refused = 0.0, "poison"
    body = [{"object_id": "bad", "payload": {"text": "poison"}}, *items("near")[:30]]

    task = org.ended(org.task({"items": body})["id"])

    model.refused = "\x00"
    assert task["status"] == "done"
    assert [(one["object_id"], one["failure_stage"]) for one in task["failed_items"]] == [("bad", "on_inference")]
    assert task["progress"]["succeeded"] == 30
    job = org.call("GET", "/v1/jobs")["jobs"][0]
    assert job["cost"]["inputTokens"] >= 90


def test_a_wrong_key_of_the_model_refuses_the_task_with_the_reason(org: Organization, model: EmbeddingServer) -> None:
    model.script = [(401, {})] * 50

    task = org.ended(org.task({"items": items("keyless")[:5]})["id"])
    model.script.clear()

    assert task["status"] == "failed"
    job = org.call("GET", "/v1/jobs")["jobs"][0]
    assert "refuses" in job["error"]["message"]


def test_a_facade_killed_after_the_answer_loses_nothing(org: Organization, stack: EmbeddedStack) -> None:
    task_id = org.task({"items": items("facade")})["id"]

    stack.kill("api")

    ends = time.monotonic() + 60
    while True:
        try:
            org.info(task_id)
            break
        except httpx.TransportError:
            assert time.monotonic() < ends
            time.sleep(0.05)
    assert_whole(org, task_id, "facade")


def test_an_open_embeddings_api_serves_the_default_tenant_and_nothing_else(
    stack: EmbeddedStack, org: Organization
) -> None:
    run = "/embeddings/upsertion-tasks/run"
    with httpx.Client(base_url=stack.api_url) as anyone:
        body = {"task_id": "open", "items": [{"object_id": "a", "payload": {"text": "in the open"}}]}
        assert anyone.post(run, json=body).status_code == 200
        ends = time.monotonic() + 60
        while anyone.get("/embeddings/upsertion-tasks/info", params={"task_id": "open"}).json()["status"] != "done":
            assert time.monotonic() < ends
            time.sleep(0.05)
        found = anyone.post("/embeddings/similarity-search", json={"search_query": "in the open", "limit": 5}).json()
        assert [one["object_id"] for one in found["search_results"]] == ["a"]
        assert anyone.get("/v1/jobs").status_code == 401
        assert anyone.get("/embeddings/upsertion-tasks/list", headers={"Authorization": "no"}).status_code == 401
    assert org.call("POST", "/embeddings/payload-count", 404, json={"filter": {}})["code"] == "NOT_FOUND"
