"""Extraction while its processes are killed: finished pages stay, and a person's word is waited for over anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.builders import organization, providers
from tests.support.extraction import FIELDS, SCHEMA, note_pdf, poll, scan, send
from tests.support.llm_server import Fault, LlmServer, llm_server
from tests.support.supervised import supervised
from tests.support.waiting import until
from tests.system.extraction.test_extract import ANSWER, LLM, says
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

PAGES = 300


@pytest.fixture(scope="module")
def model() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


@pytest.fixture(scope="module")
def settings(session_home: Path, model: LlmServer) -> Settings:
    return Settings(
        home=session_home / "extraction-kills", port=0, ui_port=0, workers=1, llm_providers=providers(model.url),
        extraction_chunk=50, window=2, llm_seconds=20.0, ai_rate=1_000_000,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stack(settings: Settings) -> Iterator[EmbeddedStack]:
    """A system of its own, because its processes are killed."""
    with supervised(settings, with_chroma=False) as running:
        yield running


def test_a_long_document_keeps_its_finished_pages_when_its_worker_is_killed(
    stack: EmbeddedStack, model: LlmServer
) -> None:
    org = organization(stack.api_url)
    says(model, ANSWER)
    job = send(org, note_pdf(PAGES), schema=SCHEMA, llm=LLM)["jobId"]

    def processed() -> int:
        return int(org.call("GET", "/extract", params={"jobId": job})["pagesProcessed"])

    until(lambda: processed() >= PAGES // 2, "half of the pages are not read")
    stack.kill("worker-0")
    with psycopg.connect(stack.database_url) as database:
        kept = database.execute("SELECT page, xmin::text, at FROM document_pages ORDER BY page").fetchall()

    found = poll(org, job, seconds=120)

    assert found["status"] == "COMPLETE", found
    assert (found["pagesProcessed"], found["pagesTotal"]) == (PAGES, PAGES)
    assert [page["page"] for page in found["result"]["ocr"]["pages"]] == list(range(1, PAGES + 1))
    assert "Page 299 says 2093" in found["result"]["ocr"]["pages"][298]["content"]
    assert found["result"]["extracted"] == FIELDS
    with psycopg.connect(stack.database_url) as database:
        after = database.execute("SELECT page, xmin::text, at FROM document_pages ORDER BY page").fetchall()
    assert len(kept) >= PAGES // 2
    assert set(kept) <= set(after), "a page that was kept was read again"


def test_a_scan_goes_on_after_a_kill_between_its_pages(stack: EmbeddedStack, model: LlmServer) -> None:
    org = organization(stack.api_url)
    says(model, ANSWER)
    model.faults = [Fault(hang=6.0, close=True)]
    job = send(org, scan(), name="scan.png", schema=SCHEMA, llm=LLM)["jobId"]
    until(lambda: model.calls, "the model is not asked")

    stack.kill("worker-0")

    assert poll(org, job, seconds=120)["result"]["extracted"]["noteNumber"] == "88"


def test_a_held_job_waits_over_a_restart_of_everything(settings: Settings, model: LlmServer) -> None:
    says(model, ANSWER)
    settings = settings.model_copy(update={"home": settings.home.with_name("extraction-restarts")})
    with supervised(settings, with_chroma=False) as first:
        org = organization(first.api_url)
        job = send(org, note_pdf(), schema=SCHEMA, llm=LLM, holdForReview=True)["jobId"]
        poll(org, job, "PAUSED")
        until(lambda: org.call("GET", f"/jobs/{job}")["reviewStatus"] == "PENDING", "no review waits")

    with supervised(settings, with_chroma=False) as second:
        org.http.base_url = second.api_url
        assert poll(org, job, "PAUSED")["reviewStatus"] == "PENDING"

        org.call("POST", f"/jobs/{job}/review", json={"decision": "APPROVED"})

        assert poll(org, job)["status"] == "COMPLETE"
