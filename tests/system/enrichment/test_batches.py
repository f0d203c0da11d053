"""Enrichments through the batch endpoints of providers: the same results, at half the price."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.support.batch_server import ERRORED, EXPIRED, MALFORMED, BatchLlmServer, batch_server
from tests.support.builders import Organization, organization, providers
from tests.support.llm_server import TOKENS_IN, TOKENS_OUT
from tests.support.reconciling import until_reconciled
from tests.support.supervised import supervised
from tests.support.waiting import until
from towpath.llm import Catalog
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

BATCH = "/api/enrichment/batch/start"
GPT, CLAUDE = "openai::gpt-4o", "anthropic::claude-haiku-4-5"
BOTH = [GPT, CLAUDE]
HOUR = 3600


@pytest.fixture(scope="module")
def model() -> Iterator[BatchLlmServer]:
    with batch_server() as served:
        yield served


@pytest.fixture(scope="module")
def settings(session_home: Path, model: BatchLlmServer) -> Settings:
    return Settings(
        home=session_home / "enrichment-batches", port=0, ui_port=0, workers=1, enrichment_chunk=5, window=3,
        llm_providers=providers(model.url), llm_batch_calls=15, llm_batch_first_wait=0.2, llm_batch_longest_wait=0.5,
        llm_batch_grace_seconds=2.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stack(settings: Settings) -> Iterator[EmbeddedStack]:
    with supervised(settings, with_chroma=False) as running:
        yield running


@pytest.fixture
def org(stack: EmbeddedStack, model: BatchLlmServer) -> Organization:
    model.reset()
    return organization(stack.api_url)


def entities(word: str, count: int) -> list[dict[str, Any]]:
    return [{"name": f"{word} {number}"} for number in range(count)]


def test_batches_bring_the_results_of_live_calls_at_half_the_price(
    org: Organization, model: BatchLlmServer, settings: Settings
) -> None:
    job = org.enrich(BATCH, entities=entities("half", 20), schema_id=org.schema(), models=BOTH, execution="batch")
    assert org.until(job)["state"] == "COMPLETED"
    live = org.enrich(BATCH, entities=entities("half", 20), schema_id=org.schema(), models=BOTH, bypass_cache=True)
    assert org.until(live)["state"] == "COMPLETED"

    # 20 calls a model at 15 a batch.
    assert sorted(len(batch.calls) for batch in model.batches) == [5, 5, 15, 15]
    assert set(model.submitted.values()) == {1}
    catalog = Catalog(settings.llm)
    one = sum(catalog.price(key, TOKENS_IN, TOKENS_OUT) for key in BOTH)
    assert org.job(live)["cost"]["usd"] == pytest.approx(20 * one)
    assert org.job(job)["cost"]["usd"] == pytest.approx(10 * one)

    def results(job_id: str) -> dict[Any, Any]:
        rows = org.records(job_id=job_id, page_size=100)
        return {(row["entity_name"], row["model_composite_key"]): row["cost_usd"] for row in rows}

    assert results(job).keys() == results(live).keys()
    assert sum(cost or 0 for cost in results(job).values()) == pytest.approx(10 * one)
    awaited = org.job(job)["awaited"]
    assert awaited == {"submitted": 40, "answered": 40, "failed": 0, "open": 0}
    [chosen] = [message for message in org.messages(job) if message["type"] == "execution_selected"]
    assert chosen["execution"] == "batch"


def test_the_body_of_a_call_in_a_batch_is_that_of_a_live_call(org: Organization, model: BatchLlmServer) -> None:
    schema = org.schema()
    for options in ({"execution": "batch"}, {"bypass_cache": True}):
        job = org.enrich(BATCH, entities=entities("same", 1), schema_id=schema, models=BOTH, **options)
        assert org.until(job)["state"] == "COMPLETED"
    batched = [body for batch in model.batches for body in batch.calls.values()]
    assert len(batched) == len(model.calls) == 2
    assert all(body in model.calls for body in batched)


def test_what_failed_or_expired_in_a_batch_is_asked_live(
    org: Organization, model: BatchLlmServer, settings: Settings
) -> None:
    kinds = {"odd 1": ERRORED, "odd 2": EXPIRED, "odd 3": MALFORMED}
    model.outcome = lambda _model, prompt: next((kind for word, kind in kinds.items() if word in prompt), "answered")
    job = org.enrich(BATCH, entities=entities("odd", 6), schema_id=org.schema(), models=BOTH, execution="batch")
    done = org.until(job)
    assert (done["state"], done["progress"]["succeeded"]) == ("COMPLETED", 6)
    assert len(model.batches) == 2
    # Each of the three once for each model; the malformed one in the words of a repair.
    assert len(model.calls) == 6
    repairs = [body for body in model.calls if "odd 3" in str(body)]
    assert len(repairs) == 2
    assert all("no JSON at all" in str(body) for body in repairs)
    catalog = Catalog(settings.llm)
    one = sum(catalog.price(key, TOKENS_IN, TOKENS_OUT) for key in BOTH)
    # Four were answered by a batch, the malformed one too; three were answered live.
    assert org.job(job)["cost"]["usd"] == pytest.approx(one * (4 * 0.5 + 3))


def test_a_batch_that_the_provider_refuses_is_asked_live_with_a_warning(
    org: Organization, model: BatchLlmServer
) -> None:
    model.fail = "invalid_json_line"
    job = org.enrich(BATCH, entities=entities("refused", 3), schema_id=org.schema(), models=[GPT], execution="batch")
    done = org.until(job)
    assert (done["state"], done["progress"]["succeeded"]) == ("COMPLETED", 3)
    assert [warning["code"] for warning in done["warnings"]] == ["BATCH_FAILED"]
    assert len(model.calls) == 3


def test_a_cancel_cancels_the_batch_and_books_what_was_answered(
    org: Organization, model: BatchLlmServer, settings: Settings
) -> None:
    model.ends = False
    job = org.enrich(BATCH, entities=entities("gone", 8), schema_id=org.schema(), models=[GPT], execution="batch")
    until(lambda: model.batches, "a batch")
    until(lambda: org.job(job).get("awaited"), "progress")
    model.answer_some(3)
    assert org.call("POST", f"/api/llm/cancel/{job}")["status"] == "cancelled"
    org.until(job, "CANCELLED")
    until(lambda: model.batches[0].cancelling, "the cancel of the batch")
    one = Catalog(settings.llm).price(GPT, TOKENS_IN, TOKENS_OUT) / 2
    until(lambda: org.job(job)["cost"]["usd"] > 2.9 * one, "the cost of what was answered")
    assert org.job(job)["cost"]["usd"] == pytest.approx(3 * one)
    assert not model.calls
    # A restart takes the paid answers, and has the others answered by a batch again.
    model.ends = True
    org.call("POST", f"/v1/jobs/{job}/restart")
    assert org.until(job)["progress"]["succeeded"] == 8
    assert [len(batch.calls) for batch in model.batches] == [8, 5]
    assert not model.calls
    assert org.job(job)["cost"]["usd"] == pytest.approx(8 * one)


def test_a_deadline_that_comes_near_has_what_is_missing_asked_live(org: Organization, model: BatchLlmServer) -> None:
    model.ends = False
    body = {"entities": entities("late", 4), "schema_id": org.schema(), "models": [CLAUDE], "execution": "batch"}
    headers = {"Towpath-Deadline": str(HOUR + 5)}
    job = org.call("POST", BATCH, json=body, headers=headers)["job_id"]
    until(lambda: model.batches, "a batch")
    assert org.until(job)["progress"]["succeeded"] == 4
    assert model.batches[0].cancelling
    assert len(model.calls) == 4


@pytest.mark.parametrize(
    ("deadline", "models", "execution", "reason"),
    [
        (None, [GPT], "live", "no deadline"),
        (HOUR, [GPT], "live", "less than 25 hours"),
        (26 * HOUR, [GPT], "batch", "more than 25 hours"),
        (26 * HOUR, [GPT, "google::gemini-2.5-flash"], "live", "google::gemini-2.5-flash has no batch"),
    ],
)
def test_auto_chooses_by_the_deadline_and_says_why(
    org: Organization, deadline: int | None, models: list[str], execution: str, reason: str
) -> None:
    headers = {} if deadline is None else {"Towpath-Deadline": str(deadline)}
    body = {"entities": entities("auto", 1), "schema_id": org.schema(), "models": models, "execution": "auto"}
    job = org.call("POST", BATCH, json=body, headers=headers)["job_id"]
    assert org.until(job)["state"] == "COMPLETED"
    [chosen] = [message for message in org.messages(job) if message["type"] == "execution_selected"]
    assert (chosen["requested"], chosen["execution"]) == ("auto", execution)
    assert reason in chosen["reason"]


@pytest.mark.parametrize(
    ("path", "models", "words"),
    [
        (BATCH, ["google::gemini-2.5-flash"], "no batch endpoint"),
        ("/api/single/enrich/stream", [GPT], "many entities"),
    ],
)
def test_batches_that_cannot_be_are_refused_with_the_field(
    org: Organization, path: str, models: list[str], words: str
) -> None:
    one: dict[str, Any] = {"entities": entities("no", 1)} if path == BATCH else {"entity_data": {"name": "no"}}
    answer = org.http.post(path, json={**one, "schema_id": org.schema(), "models": models, "execution": "batch"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].startswith("execution: batch")
    assert words in answer.json()["detail"]


def test_an_estimate_tells_both_prices(org: Organization) -> None:
    body = {"entities": entities("guess", 3), "schema_id": org.schema(), "models": BOTH}
    told = org.call("POST", "/api/enrichment/estimate", json=body)
    assert told["cost_usd"]["expected"] > 0
    assert told["batch_cost_usd"]["expected"] == pytest.approx(told["cost_usd"]["expected"] / 2, rel=1e-3)
    assert [row["batch_cost_usd"]["low"] > 0 for row in told["by_model"]] == [True, True]
    body["models"] = [GPT, "google::gemini-2.5-flash"]
    assert org.call("POST", "/api/enrichment/estimate", json=body)["batch_cost_usd"] is None


def test_the_batches_of_a_job_whose_workflow_was_terminated_are_closed(
    org: Organization, model: BatchLlmServer, stack: EmbeddedStack, settings: Settings
) -> None:
    model.ends = False
    job = org.enrich(BATCH, entities=entities("lost", 4), schema_id=org.schema(), models=[CLAUDE], execution="batch")
    until(lambda: org.job(job)["awaited"], "progress")
    model.answer_some(1)

    async def terminate() -> None:
        client = await Client.connect(stack.temporal_address)
        await client.get_workflow_handle(f"{org.slug}/batch_enrichment/{job}.1").terminate()

    asyncio.run(terminate())

    until_reconciled(stack, lambda: model.batches[0].cancelling, "cancel of the batch")
    one = Catalog(settings.llm).price(CLAUDE, TOKENS_IN, TOKENS_OUT) / 2
    until(lambda: org.job(job)["cost"]["usd"] > 0, "the cost of what was answered")
    assert org.job(job)["cost"]["usd"] == pytest.approx(one)
