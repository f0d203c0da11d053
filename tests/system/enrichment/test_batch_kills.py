"""Batches while every part is killed at every point: nothing is submitted twice, no answer lost, and it costs half."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.batch_server import BatchLlmServer, batch_server
from tests.support.builders import Organization, organization, providers
from tests.support.llm_server import TOKENS_IN, TOKENS_OUT
from tests.support.supervised import supervised
from tests.support.waiting import until
from towpath.llm import Catalog
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

BATCH = "/api/enrichment/batch/start"
GPT, CLAUDE = "openai::gpt-4o", "anthropic::claude-haiku-4-5"
ENTITIES = 120
PARTS = ["worker-0", "api", "postgres", "temporal"]
SECONDS = 150
KEPT = "SELECT count(*) FROM llm_answers WHERE job_id = %s"
COLLECTED = "SELECT count(*) FROM llm_awaited_calls WHERE job_id = %s"
SERVED_POINTS = {
    # The step of the server that is held while the part is killed, by the point.
    "named": ("upload:before", GPT),
    "uploaded": ("upload:after", GPT),
    "sending": ("create:before", CLAUDE),
    "created": ("create:after", GPT),
    "created without a name": ("create:after", CLAUDE),
    "looking": ("look", GPT),
    "fetching": ("results:half", CLAUDE),
}


@pytest.fixture(scope="module")
def model() -> Iterator[BatchLlmServer]:
    with batch_server() as served:
        yield served


@pytest.fixture(scope="module")
def settings(session_home: Path, model: BatchLlmServer) -> Settings:
    return Settings(
        home=session_home / "batch-kills", port=0, ui_port=0, workers=1, enrichment_chunk=10, window=4,
        llm_providers=providers(model.url), llm_batch_first_wait=0.2, llm_batch_longest_wait=0.5,
        llm_batch_grace_seconds=5.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stack(settings: Settings) -> Iterator[EmbeddedStack]:
    """A system of its own, because its processes are killed."""
    with supervised(settings, with_chroma=False) as running:
        yield running


@pytest.fixture
def org(stack: EmbeddedStack, model: BatchLlmServer) -> Organization:
    model.reset()
    return organization(stack.api_url)


def start(org: Organization, word: str, key: str) -> str:
    entities = [{"name": f"{word} {number}"} for number in range(ENTITIES)]
    return org.enrich(BATCH, entities=entities, schema_id=org.schema(), models=[key], execution="batch")


def finished(org: Organization, job: str) -> dict[str, Any]:
    """The job at its end, whatever does not answer meanwhile."""

    def look() -> dict[str, Any] | None:
        try:
            answer = org.http.get(f"/v1/jobs/{job}")
        except httpx.TransportError:
            return None
        view: dict[str, Any] = answer.json()
        return view if answer.status_code == 200 and view["completedAt"] is not None else None

    return until(look, "end of the job", seconds=SECONDS) or {}


def check(org: Organization, model: BatchLlmServer, settings: Settings, job: str, key: str) -> None:
    """The job is through, each call was submitted once, none was made live, and it has cost half."""
    done = finished(org, job)
    assert (done["state"], done["progress"]["succeeded"]) == ("COMPLETED", ENTITIES)
    assert len(model.submitted) == ENTITIES
    assert set(model.submitted.values()) == {1}
    assert len(model.batches) == 1
    assert not model.calls
    assert org.job(job)["cost"]["usd"] == pytest.approx(
        ENTITIES * Catalog(settings.llm).price(key, TOKENS_IN, TOKENS_OUT) / 2
    )


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("point", SERVED_POINTS)
def test_a_part_killed_at_a_point_of_a_batch_submits_nothing_twice(
    org: Organization, stack: EmbeddedStack, model: BatchLlmServer, settings: Settings, point: str, part: str
) -> None:
    step, key = SERVED_POINTS[point]
    hold = model.hold(step)
    job = start(org, f"{point} {part}", key)
    assert hold.reached.wait(SECONDS)

    stack.kill(part)

    # The request of a dead worker has its effect all the same, and its answer reaches nobody.
    hold.release.set()
    check(org, model, settings, job, key)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_killed_before_a_batch_is_named(
    org: Organization, stack: EmbeddedStack, model: BatchLlmServer, settings: Settings, part: str
) -> None:
    with psycopg.connect(stack.database_url) as lock:
        # Naming waits for this lock, so that the kill comes after the collecting and before it.
        lock.execute("LOCK TABLE llm_batches IN EXCLUSIVE MODE")
        job = start(org, f"collected {part}", GPT)
        with psycopg.connect(stack.database_url, autocommit=True) as database:
            until(lambda: database.execute(COLLECTED, (job,)).fetchone() == (ENTITIES,), "all calls")
        stack.kill(part)
        if part != "postgres":
            lock.rollback()
    check(org, model, settings, job, GPT)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_killed_while_answers_are_kept(
    org: Organization, stack: EmbeddedStack, model: BatchLlmServer, settings: Settings, part: str
) -> None:
    hold = model.hold("results:half")
    job = start(org, f"kept {part}", GPT)
    assert hold.reached.wait(SECONDS)
    with psycopg.connect(stack.database_url, autocommit=True) as database:
        # Half of the file has come, and its first fifty results are kept.
        until(lambda: database.execute(KEPT, (job,)).fetchone() == (50,), "the first answers")
    stack.kill(part)
    hold.release.set()
    check(org, model, settings, job, GPT)
