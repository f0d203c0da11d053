"""One job, many doors: whichever API or page asks, the same callers may do the same, and the same happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.support.ai import person_of
from tests.support.builders import Organization
from tests.support.console.site import Site, make_model
from tests.support.extraction import SCHEMA, note_pdf, send
from towpath.db.engine import Database
from towpath.jobs.types import JobState

SEE = (
    "GET /v1/jobs/{id}", "GET /v1/jobs/{id}/failures", "GET /jobs/{id}", "GET /jobs/{id}/review",
    "GET /annotations?jobId={id}", "GET /api/enrichment/jobs/{id}/status", "POST /v1/jobs/{id}/stream-token",
    "GET /v1/ai/jobs/{id}", "GET /console/jobs/{id}", "GET /v1/jobs/{id}/events", "GET /api/llm/stream/{id}",
    "GET /console/jobs/{id}/events",
)  # fmt: skip
MOVE = {
    "cancel": (
        "POST /v1/jobs/{id}/cancel", "POST /jobs/{id}/cancel", "POST /api/llm/cancel/{id}",
        "POST /api/enrichment/cancel/{id}", "POST /v1/ai/jobs/{id}/cancel", "POST /console/jobs/{id}/act/cancel",
    ),
    "pause": ("POST /v1/jobs/{id}/pause", "POST /jobs/{id}/pause", "POST /console/jobs/{id}/act/pause"),
    "continue": (
        "POST /v1/jobs/{id}/continue", "POST /jobs/{id}/resume", "POST /api/llm/continue/{id}",
        "POST /console/jobs/{id}/act/continue",
    ),
    "restart": ("POST /v1/jobs/{id}/restart", "POST /jobs/{id}/retry", "POST /console/jobs/{id}/act/restart"),
}  # fmt: skip
DOORS = [door for doors in MOVE.values() for door in doors]
CANCELS_OF_DOCUMENTS = [door for door in MOVE["cancel"] if "/v1/ai/" not in door]


@dataclass
class Tenant:
    """An organization with a question that Anna asked, and all who may try to do something to it.

    Attributes:
        clients: By who they are.
        ask: Asks once more; the job.
    """

    org: Organization
    clients: dict[str, httpx.Client]
    ask: Callable[[], str]
    users: dict[str, str]


@pytest.fixture
async def tenant(running_site: Site, database: Database) -> Tenant:
    org = running_site.organization()
    model = await make_model(database, org.slug)
    anna, anna_id = person_of(org, running_site.url)
    boris, boris_id = person_of(org, running_site.url)

    def key(**more: Any) -> httpx.Client:
        made = org.call("POST", "/api/auth/api-keys", 201, json={"name": "one", "role": "operator", **more})
        return httpx.Client(base_url=running_site.url, timeout=30, headers={"X-API-Key": made["key"]})

    body = {"modelId": str(model), "prompt": "Where are shipments late?"}

    def ask() -> str:
        return str(anna.call("POST", "/v1/ai/jobs", 201, json=body)["jobId"])

    clients = {
        "anna": anna.http, "boris": boris.http, "operator": key(), "editor": key(role="editor"),
        "owner": key(role="owner"),
        "reader": key(role="owner", scopes=["read"]),
    }  # fmt: skip
    return Tenant(org, clients, ask, {"anna": anna_id, "boris": boris_id})


def through(client: httpx.Client, door: str, job: str) -> int:
    """The status of an answer; of a stream its head alone."""
    method, _, path = door.format(id=job).partition(" ")
    with client.stream(method, path, json=None) as answer:
        return answer.status_code


@pytest.mark.parametrize("door", SEE)
def test_a_question_is_seen_through_every_door_by_the_same(tenant: Tenant, door: str) -> None:
    job = tenant.ask()

    seen = {name: through(client, door, job) for name, client in tenant.clients.items()}

    assert seen.pop("boris") == 404
    assert set(seen.values()) == {200}, seen


@pytest.mark.parametrize("door", DOORS)
def test_a_question_is_moved_through_every_door_by_the_same(tenant: Tenant, door: str) -> None:
    job = tenant.ask()

    answers = {name: through(tenant.clients[name], door, job) for name in ("boris", "operator", "editor", "reader")}
    untouched = tenant.org.job(job)
    allowed = {name: through(tenant.clients[name], door, tenant.ask()) for name in ("anna", "owner")}

    assert answers == {"boris": 404, "operator": 403, "editor": 403, "reader": 403}
    assert untouched["state"] == JobState.PENDING
    # A job that runs is not restarted, and one that is not paused does not go on: that is told, and not refused.
    assert set(allowed.values()) <= {200, 303, 409}, allowed


@pytest.mark.parametrize("door", MOVE["cancel"])
def test_who_cancelled_a_question_is_noted_through_every_door(tenant: Tenant, door: str) -> None:
    job = tenant.ask()

    assert through(tenant.clients["anna"], door, job) in {200, 303}

    found = tenant.org.call("GET", f"/v1/ai/jobs/{job}")
    assert (found["state"], found["cancelledBy"]) == ("CANCELLED", tenant.users["anna"])


@pytest.mark.parametrize("door", CANCELS_OF_DOCUMENTS)
@pytest.mark.parametrize("ended", [False, True])
def test_a_pending_review_is_withdrawn_through_every_door(
    running_site: Site, database_url: str, door: str, ended: bool
) -> None:
    org = running_site.organization()
    job = str(send(org, note_pdf(), schema=SCHEMA, requireReview=True)["jobId"])
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE jobs SET review_status = 'PENDING' WHERE id = %s", (job,))
        connection.execute("INSERT INTO reviews (job_id, number, status) VALUES (%s, 1, 'PENDING')", (job,))
        if ended:
            connection.execute("UPDATE jobs SET state = 'COMPLETED', completed_at = now() WHERE id = %s", (job,))

    through(org.http, door, job)

    found = org.call("GET", f"/jobs/{job}/review")
    assert found["reviewStatus"] == "CANCELLED"
    assert [one["status"] for one in found["decisions"]] == ["PENDING", "CANCELLED"]
    assert not ended or org.call("GET", f"/jobs/{job}")["status"] == "COMPLETE"


def test_a_door_of_another_system_does_not_know_the_job(tenant: Tenant) -> None:
    job = tenant.ask()

    tenant.org.call("GET", "/v1/entities/batch/status", 404, params={"jobId": job})
    tenant.org.call("POST", "/v1/entities/batch/cancel", 404, params={"jobId": job})
    assert tenant.org.job(job)["state"] == JobState.PENDING


def test_a_question_of_nobody_is_left_out_of_what_persons_see(tenant: Tenant) -> None:
    mine = tenant.ask()
    model = tenant.org.call("GET", "/v1/models")["records"][0]["id"]
    nobodys = str(tenant.org.call("POST", "/v1/ai/jobs", 201, json={"modelId": model, "prompt": "And why?"})["jobId"])

    def listed(name: str) -> dict[str, set[str]]:
        client = tenant.clients[name]
        return {
            "/v1/jobs": {one["id"] for one in client.get("/v1/jobs").json()["jobs"]},
            "/jobs": {one["jobId"] for one in client.get("/jobs").json()["jobs"]},
            "/v1/ai/jobs": {one["id"] for one in client.get("/v1/ai/jobs").json()["data"]},
        }

    counted = {name: tenant.clients[name].get("/jobs").json()["pagination"]["totalCount"] for name in tenant.clients}

    for name, expected in (("anna", {mine}), ("boris", set()), ("owner", {mine, nobodys})):
        assert listed(name) == dict.fromkeys(("/v1/jobs", "/jobs", "/v1/ai/jobs"), expected), name
    assert (counted["anna"], counted["boris"], counted["owner"]) == (1, 0, 2)
    assert tenant.clients["anna"].get(f"/v1/jobs/{nobodys}").status_code == 404


def test_a_notice_is_shown_to_who_sees_its_job(tenant: Tenant, database_url: str) -> None:
    job, delivery = tenant.ask(), str(uuid4())
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO deliveries (id, organization, job_id, attempt, url, event, event_id, body, state)"
            " VALUES (%s, %s, %s, 1, 'http://192.0.2.1/', 'job.complete', 'e', '{\"summary\": \"hers\"}', 'FAILED')",
            (delivery, tenant.org.slug, job),
        )
    log = "/v1/webhooks/deliveries"

    def shown(name: str) -> int:
        return len(tenant.clients[name].get(log).json()["deliveries"])

    assert {name: shown(name) for name in ("anna", "boris", "operator")} == {"anna": 1, "boris": 0, "operator": 1}
    for method, path in (("GET", f"{log}/{delivery}"), ("POST", f"{log}/{delivery}/resend")):
        assert tenant.clients["boris"].request(method, path).status_code == 404
    assert tenant.clients["anna"].get(f"{log}/{delivery}").status_code == 200
    assert "hers" not in tenant.clients["boris"].get("/console/deliveries").text
