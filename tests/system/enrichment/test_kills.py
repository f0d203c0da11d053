"""Enrichments while workers and the façade are killed: each prompt is paid once, each event is told once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.builders import Organization, organization, providers
from tests.support.llm_server import Fault, LlmServer, llm_server
from tests.support.supervised import supervised
from tests.support.waiting import until
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

ENTITIES = 60
BATCH = "/api/enrichment/batch/start"
BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]
SLOTS = 4
KEPT = "SELECT count(*) FROM llm_answers WHERE job_id = %s"


@pytest.fixture(scope="module")
def model() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


@pytest.fixture(scope="module")
def stack(session_home: Path, model: LlmServer) -> Iterator[EmbeddedStack]:
    """A system of its own, because its processes are killed."""
    settings = Settings(
        home=session_home / "enrichment-kills", port=0, ui_port=0, workers=1, enrichment_chunk=5, window=3,
        llm_providers=providers(model.url), llm_concurrency=SLOTS, llm_seconds=5.0,
    )  # fmt: skip
    with supervised(settings, with_chroma=False) as running:
        yield running


@pytest.fixture
def org(stack: EmbeddedStack, model: LlmServer) -> Organization:
    model.reset()
    return organization(stack.api_url)


def entities(word: str, count: int = ENTITIES) -> list[dict[str, Any]]:
    return [{"name": f"{word} {number}"} for number in range(count)]


def wait_for(model: LlmServer, calls: int) -> None:
    until(lambda: model.paid.total() >= calls, f"{calls} calls")


class Reader(threading.Thread):
    """Follows a stream as a browser does: comes back with the last number after each break."""

    def __init__(self, org: Organization, job: str) -> None:
        super().__init__(daemon=True)
        self.org, self.job = org, job
        self.found: list[dict[str, Any]] = []
        self.numbers: list[int] = []
        self.breaks = 0

    def run(self) -> None:
        while not (self.found and self.found[-1]["type"] == "completed"):
            headers = {"Last-Event-ID": str(self.numbers[-1])} if self.numbers else {}
            try:
                self._read(headers)
            except (httpx.TransportError, httpx.HTTPStatusError):
                self.breaks += 1
                time.sleep(0.1)

    def _read(self, headers: dict[str, str]) -> None:
        with self.org.http.stream("GET", f"/api/llm/stream/{self.job}", headers=headers) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    self.numbers.append(int(line[4:]))
                if line.startswith("data: "):
                    self.found.append(json.loads(line[6:]))


def test_a_worker_killed_between_paid_calls_pays_each_prompt_once(
    org: Organization, stack: EmbeddedStack, model: LlmServer
) -> None:
    """Calls are quick and the kill comes while the provider is held up, so that no answer is on its way."""
    held = [Fault(hang=3.0, close=True, match="killed") for _ in range(SLOTS * 20)]
    job = org.enrich(BATCH, entities=entities("killed"), schema_id=org.schema(), models=BOTH)
    wait_for(model, 30)
    with model.lock:
        model.faults = held.copy()
    # Every slot now waits for an answer that never comes; what was paid for before is kept in a moment.
    ends = time.monotonic() + 30
    with psycopg.connect(stack.database_url, autocommit=True) as database:
        while (
            len(held) - len(model.faults) < SLOTS * 2
            or database.execute(KEPT, (job,)).fetchone() != (model.paid.total(),)
        ):  # fmt: skip
            assert time.monotonic() < ends
            time.sleep(0.005)

    stack.kill("worker-0")
    with model.lock:
        model.faults = []

    assert org.until(job, seconds=120)["state"] == "COMPLETED"
    assert org.job(job)["progress"]["succeeded"] == ENTITIES
    assert len(model.paid) == 2 * ENTITIES
    assert set(model.paid.values()) == {1}
    cost = sum(
        record["cost_usd"]
        for n in (1, 2)
        for record in org.records(job_id=job, type="enrichment", page=n, page_size=100)
    )
    assert org.job(job)["cost"]["usd"] == pytest.approx(cost)


def test_a_waterfall_goes_on_where_it_was_when_its_worker_is_killed(
    org: Organization, stack: EmbeddedStack, model: LlmServer
) -> None:
    """What the dearer model is asked follows from kept answers, so a worker that comes later asks the same."""

    def answer(name: str, _prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        known = {"founded": 1998, "slogan": None} if name == "gpt-4o-mini" else {"slogan": "Light"}
        return {field: known.get(field) for field in form["properties"]}

    model.answer, model.whole, model.seconds = answer, True, 0.05
    job = org.enrich(
        BATCH, entities=entities("falling"), schema_id=org.schema(), models=["openai::gpt-4o", "openai::gpt-4o-mini"],
        model_strategy="waterfall",
    )  # fmt: skip
    wait_for(model, 30)
    stack.kill("worker-0")

    assert org.until(job, seconds=120)["state"] == "COMPLETED"
    asked = {(body["model"], tuple(body["tools"][0]["function"]["parameters"]["properties"])) for body in model.calls}
    assert asked == {("gpt-4o-mini", ("founded", "slogan")), ("gpt-4o", ("slogan",))}
    fused = org.records(job_id=job, type="fusion", page_size=100)
    assert len(fused) == ENTITIES
    assert all(record["structured_output"]["slogan"] == "Light" for record in fused)


def test_a_worker_killed_before_it_has_booked_loses_what_it_had_in_flight_and_nothing_else(
    org: Organization, stack: EmbeddedStack, model: LlmServer
) -> None:
    gate = threading.Event()
    model.faults = [Fault(gate=gate, match=f"unbooked {number}") for number in (3, 4)]
    job = org.enrich(BATCH, entities=entities("unbooked", 10), schema_id=org.schema())
    booked = "SELECT count(*), sum(usd) FROM llm_ledger WHERE job_id = %s"
    with (
        psycopg.connect(stack.database_url, autocommit=True) as database,
        psycopg.connect(stack.database_url) as holder,
    ):

        def lines() -> tuple[int, float]:
            row = database.execute(booked, (job,)).fetchone()
            assert row is not None
            return row

        # All others are through, as far as the two leave slots and pages free; then nobody can book any more.
        until(lambda: not model.faults and lines()[0] >= 1 and lines()[0] == model.paid.total(), "booked calls")
        holder.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job,))
        gate.set()
        until(lambda: model.paid.total() >= lines()[0] + 2, "the two answers")
        model.away = {"gpt-4o": Fault(status=503)}
        until(lambda: model.at_once == 0, "quiet at the provider")
        unknown = model.paid.total() - lines()[0]

        stack.kill("worker-0")
        holder.rollback()
        model.away = {}

        assert org.until(job, seconds=120)["progress"]["succeeded"] == 10
        count, usd = lines()
    # What was in flight was asked once more, and nothing besides.
    assert unknown >= 2
    assert (count, model.paid.total()) == (10, 10 + unknown)
    records = org.records(job_id=job, page_size=100)
    assert org.job(job)["cost"]["usd"] == pytest.approx(usd)
    assert sum(record["cost_usd"] for record in records) == pytest.approx(usd)


def test_the_facade_killed_during_a_stream_loses_and_repeats_no_event(
    org: Organization, stack: EmbeddedStack, model: LlmServer
) -> None:
    model.seconds = 0.05
    job = org.enrich(BATCH, entities=entities("streamed"), schema_id=org.schema())
    reader = Reader(org, job)
    reader.start()
    wait_for(model, 15)

    stack.kill("api")

    reader.join(timeout=90)
    assert not reader.is_alive()
    assert reader.breaks >= 1
    assert reader.numbers == sorted(set(reader.numbers))
    assert reader.found == [
        {key: value for key, value in message.items() if key != "_id"} for message in org.messages(job)
    ]
    done = [message["entity_index"] for message in reader.found if message["type"] == "entity_completed"]
    assert sorted(done) == list(range(ENTITIES))


def test_a_provider_that_asks_for_time_gets_it_and_nothing_is_lost(org: Organization, model: LlmServer) -> None:
    model.faults = [Fault(status=429, headers={"Retry-After": "2"}, match="limited 3") for _ in range(2)]
    model.faults.append(Fault(status=503, match="limited 4"))
    started = time.monotonic()
    job = org.enrich(BATCH, entities=entities("limited", 6), schema_id=org.schema())
    assert org.until(job)["progress"]["succeeded"] == 6
    assert time.monotonic() - started >= 2
    assert set(model.paid.values()) == {1}


def test_a_cancel_stops_calls_and_keeps_what_is_finished(org: Organization, model: LlmServer) -> None:
    model.seconds = 0.2
    job = org.enrich(BATCH, entities=entities("cancelled", 200), schema_id=org.schema())
    wait_for(model, 10)
    assert org.call("POST", f"/api/llm/cancel/{job}")["status"] == "cancelled"
    org.until(job, "CANCELLED")
    assert len(model.calls) < 200
    kept = len(org.records(job_id=job, page_size=100))
    assert kept >= 5
    # What goes on makes all calls in the end, and is quiet then too.
    assert org.settled(lambda: len(model.calls)) < 200
    messages = org.messages(job)
    assert [message["type"] for message in messages[-3:]] == ["batch_completed", "cancelled", "completed"]
    assert messages[-1]["status"] == "cancelled"


def test_what_was_in_flight_at_a_cancel_is_kept_booked_and_told_by_the_totals(
    org: Organization, stack: EmbeddedStack, model: LlmServer
) -> None:
    model.seconds = 0.2
    job = org.enrich(BATCH, entities=entities("late"), schema_id=org.schema(), max_cost_usd=5.0)
    wait_for(model, 10)
    org.call("POST", f"/api/llm/cancel/{job}")
    org.until(job, "CANCELLED")
    assert org.settled(lambda: len(model.calls)) < ENTITIES

    price = 0.00045
    paid = model.paid.total() * price
    until(lambda: org.job(job)["cost"]["usd"] == pytest.approx(paid), "booked answers")
    assert org.call("GET", "/api/records/stats")["total_cost_usd"] == pytest.approx(paid)
    # They are there for the next attempt.
    model.seconds = 0.0
    org.call("POST", f"/v1/jobs/{job}/restart")
    assert org.until(job)["progress"]["succeeded"] == ENTITIES
    assert (model.paid.total(), set(model.paid.values())) == (ENTITIES, {1})
    assert org.job(job)["cost"]["usd"] == pytest.approx(ENTITIES * price)
    records = org.records(job_id=job, page_size=100)
    assert sum(record["cost_usd"] for record in records) == pytest.approx(ENTITIES * price)


def test_a_wait_for_a_person_outlives_every_process(org: Organization, stack: EmbeddedStack, model: LlmServer) -> None:
    def answer(_model: str, _prompt: str, form: dict[str, Any]) -> dict[str, Any]:
        return {"status": "mismatch", "confidence": 0.9} if "confidence" in form["properties"] else {}

    model.answer = answer
    schema = org.schema()
    job = org.enrich(entity_data={"name": "Orion"}, schema_id=schema, classification_model=BOTH[1])
    org.until(job, "PAUSED")
    for name in ("worker-0", "api", "temporal"):
        stack.kill(name)
    ends = time.monotonic() + 60
    while True:
        try:
            answered = org.http.post(f"/api/llm/continue/{job}")
        except httpx.TransportError:
            answered = None
        if answered is not None and answered.status_code == 200:
            break
        assert time.monotonic() < ends, answered
        time.sleep(0.2)
    assert org.until(job)["state"] == "COMPLETED"
