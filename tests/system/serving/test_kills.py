"""Batches while parts are killed: no request is paid twice, no answer is lost, the files are whole."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import openai
import psycopg
import pytest
from openai import OpenAI
from openai.types import Batch

from tests.support.batches import client_of, ended, question, rows, start
from tests.support.builders import organization, providers
from tests.support.llm_server import Fault, LlmServer, llm_server
from tests.support.supervised import supervised
from tests.support.waiting import until
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings

LINES = 80
SLOTS = 4
ANSWERED = "SELECT count(*) FROM served_lines WHERE job_id = %s AND status IS NOT NULL"


@pytest.fixture(scope="module")
def model() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


@pytest.fixture(scope="module")
def stack(session_home: Path, model: LlmServer) -> Iterator[EmbeddedStack]:
    """A system of its own, because its processes are killed."""
    settings = Settings(
        home=session_home / "serving-kills", port=0, ui_port=0, workers=1, served_chunk=10, window=3,
        llm_providers=providers(model.url), llm_concurrency=SLOTS, llm_seconds=5.0,
    )  # fmt: skip
    with supervised(settings, with_chroma=False) as running:
        yield running


@pytest.fixture
def client(stack: EmbeddedStack, model: LlmServer) -> OpenAI:
    model.reset()
    return client_of(organization(stack.api_url))


def job_of(batch: Batch) -> str:
    return batch.id.removeprefix("batch_")


def at_end(client: OpenAI, batch: Batch) -> Batch:
    """Wait for the end over whatever answers no call meanwhile."""
    ends = time.monotonic() + 120
    while True:
        try:
            return ended(client, batch.id, seconds=max(ends - time.monotonic(), 1))
        except (openai.APIConnectionError, openai.InternalServerError):
            assert time.monotonic() < ends
            time.sleep(0.1)


def assert_whole(client: OpenAI, batch: Batch, model: LlmServer) -> None:
    """All requests are answered, each paid once, in the order of the file."""
    done = at_end(client, batch)
    assert done.status == "completed" and done.error_file_id is None, done
    assert [one["custom_id"] for one in rows(client, done.output_file_id)] == [f"q-{n}" for n in range(LINES)]
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed) == (LINES, LINES)
    assert len(model.paid) == LINES and set(model.paid.values()) == {1}
    assert done.usage is not None and done.usage.input_tokens == 100 * LINES


def hold(model: LlmServer, stack: EmbeddedStack, batch: Batch, after: int) -> None:
    """Hold the provider up once so many requests are answered, and wait until all that was paid for is kept."""
    held = [Fault(hang=3.0, close=True) for _ in range(SLOTS * 20)]
    until(lambda: model.paid.total() >= after, f"{after} answers")
    with model.lock:
        model.faults = held.copy()

    def is_held(database: psycopg.Connection) -> bool:
        waiting = len(held) - len(model.faults) >= SLOTS
        return waiting and database.execute(ANSWERED, (job_of(batch),)).fetchone() == (model.paid.total(),)

    with psycopg.connect(stack.database_url, autocommit=True) as database:
        until(lambda: is_held(database), "every slot waits, and what was paid is kept")


def all_kept(stack: EmbeddedStack, batch: Batch) -> bool:
    with psycopg.connect(stack.database_url) as database:
        return database.execute(ANSWERED, (job_of(batch),)).fetchone() == (LINES,)


def questions() -> list[dict[str, object]]:
    return [question(number) for number in range(LINES)]


def test_a_worker_killed_while_requests_are_asked_pays_each_once(
    client: OpenAI, stack: EmbeddedStack, model: LlmServer
) -> None:
    model.seconds = 0.02
    batch = start(client, *questions())
    hold(model, stack, batch, 20)

    stack.kill("worker-0")
    with model.lock:
        model.faults = []

    assert_whole(client, batch, model)


def test_a_worker_killed_while_the_file_is_read_stages_each_line_once(
    client: OpenAI, stack: EmbeddedStack, model: LlmServer
) -> None:
    batch = start(client, *questions())

    stack.kill("worker-0")

    assert_whole(client, batch, model)


def test_a_worker_killed_while_the_files_are_written_writes_each_once(
    client: OpenAI, stack: EmbeddedStack, model: LlmServer
) -> None:
    with psycopg.connect(stack.database_url) as database:
        batch = start(client, *questions())
        ended(client, batch.id, "in_progress", "finalizing")
        # Whoever would end the batch waits for its row.
        database.execute("SELECT 1 FROM served_batches WHERE job_id = %s FOR UPDATE", (job_of(batch),))
        until(lambda: all_kept(stack, batch), "all answers are kept")
        stack.kill("worker-0")

    assert_whole(client, batch, model)
    files = client.files.list(purpose="batch_output").data
    assert [one.id for one in files] == [client.batches.retrieve(batch.id).output_file_id]


def test_the_facade_killed_meanwhile_changes_nothing(client: OpenAI, stack: EmbeddedStack, model: LlmServer) -> None:
    model.seconds = 0.02
    batch = start(client, *questions())
    until(lambda: model.paid.total() >= 10, "10 answers")

    stack.kill("api")

    assert_whole(client, batch, model)


@pytest.mark.parametrize("part", ["postgres", "temporal"])
def test_a_part_killed_while_requests_wait_loses_nothing(
    client: OpenAI, stack: EmbeddedStack, model: LlmServer, part: str
) -> None:
    model.seconds = 0.02
    batch = start(client, *questions())
    hold(model, stack, batch, 20)

    stack.kill(part)
    with model.lock:
        model.faults = []

    assert_whole(client, batch, model)
