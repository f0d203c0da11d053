"""A judge whose worker is killed: what was answered is paid for once, and the end is that of an undisturbed run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.builders import Organization, organization, providers
from tests.support.judge import MODEL, all_asked, judge_by
from tests.support.llm_server import Fault, LlmServer, llm_server
from tests.support.supervised import supervised
from tests.support.waiting import until
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

KEPT = "SELECT count(*) FROM llm_answers WHERE job_id = %s"
FIRMS = [{"id": number, "name": f"Fjell Bygg Entreprise {number}", "city": f"Vik {number}"} for number in range(24)]


@pytest.fixture(scope="module")
def model() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


@pytest.fixture(scope="module")
def stack(session_home: Path, model: LlmServer) -> Iterator[EmbeddedStack]:
    """A system of its own, because its processes are killed."""
    settings = Settings(
        home=session_home / "judge-kills", port=0, ui_port=0, workers=1, llm_providers=providers(model.url),
        llm_seconds=20.0,
    )  # fmt: skip
    with supervised(settings) as running:
        yield running


def firms(stack: EmbeddedStack) -> Organization:
    """An organization with an index of firms whose names are nearly the same."""
    org = organization(stack.api_url)
    fields = [{"name": "name", "type": "text"}, {"name": "city", "type": "string"}]
    org.call("POST", "/v1/indexes", 201, json={"indexName": "people", "fields": fields, "candidateThreshold": 0})
    org.call("POST", "/v1/entities/batch", params={"indexName": "people"}, json=FIRMS)
    return org


def start(org: Organization) -> str:
    body = {"model": MODEL, "maxCostUsd": 100, "zone": {"from": 0, "to": 1}}
    return str(org.call("POST", "/v1/indexes/people/judge", 202, json=body)["jobId"])


def by_number(left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    first, second = (int(side["name"].rsplit(" ", 1)[1]) for side in (left, right))
    return "same" if first // 2 == second // 2 else "different"


def test_a_worker_killed_in_the_middle_pays_no_answer_twice(stack: EmbeddedStack, model: LlmServer) -> None:
    model.reset()
    judge_by(model, by_number)
    calm = firms(stack)
    calm_job = calm.until(start(calm), seconds=120)
    assert calm_job["state"] == "COMPLETED", calm_job
    asked, requests = calm_job["result"]["pairsAsked"], model.paid.total()
    assert requests >= 3
    model.reset()
    judge_by(model, by_number)
    org = firms(stack)
    # The third request waits for an answer that never comes; what was answered before is kept.
    held = Fault(hang=4.0, close=True)
    model.faults = [Fault(), Fault(), held]

    job_id = start(org)
    with psycopg.connect(stack.database_url, autocommit=True) as database:
        until(
            lambda: not model.faults and database.execute(KEPT, (job_id,)).fetchone() == (2,), "two answers and a third"
        )
    stack.kill("worker-0")

    job = org.until(job_id, seconds=120)
    assert job["state"] == "COMPLETED", job
    assert set(model.paid.values()) == {1}
    assert model.paid.total() == requests
    assert len(all_asked(model)) == job["result"]["pairsAsked"] == asked
    assert job["result"] == calm_job["result"]
    assert org.groups() == calm.groups()
    assert org.pairs() == calm.pairs()
    listed = org.call("GET", "/v1/indexes/people/judgements", params={"limit": 1000})
    assert listed["total"] == asked
