"""AI jobs whose worker is killed in every state: nothing is paid twice, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.ai import LATE, TELL, TOTALS, ask, lamps_model, script, shop_model, until
from tests.support.builders import Organization, organization, providers
from tests.support.llm_server import Fault, LlmServer, llm_server
from tests.support.receiver import Script, receiver
from tests.support.supervised import supervised
from tests.support.waiting import until as wait_for
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.settings import Settings


@pytest.fixture(scope="module")
def model() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


@pytest.fixture(scope="module")
def stack(session_home: Path, databases: Path, model: LlmServer) -> Iterator[EmbeddedStack]:
    """A system of its own, because its processes are killed."""
    settings = Settings(
        home=session_home / "ai-kills", port=0, ui_port=0, workers=1, llm_providers=providers(model.url),
        databases_root=databases, llm_seconds=20.0, ai_rate=1_000_000, allowed_hosts="127.0.0.1",
        webhook_allowed_hosts="127.0.0.1",
    )  # fmt: skip
    with supervised(settings, with_chroma=False) as running:
        yield running


@pytest.fixture
def org(stack: EmbeddedStack, model: LlmServer) -> Organization:
    model.reset()
    return organization(stack.api_url)


def assert_answered_once(org: Organization, model: LlmServer, job: str) -> None:
    found = until(org, job, seconds=90)
    assert found["state"] == "COMPLETE", found
    assert model.paid and max(model.paid.values()) == 1
    actions = org.call("GET", f"/v1/ai/jobs/{job}/result")["actions"]
    assert [one["type"] for one in actions] == ["generate_query", "summarize"]
    assert found["cost"]["inputTokens"] == 200


def test_killed_while_queued(org: Organization, stack: EmbeddedStack, model: LlmServer) -> None:
    lamps = lamps_model(org)
    script(model, LATE, TELL)
    stack.kill("worker-0")

    job = ask(org, lamps)["jobId"]

    assert_answered_once(org, model, job)


def test_killed_between_iterations(org: Organization, stack: EmbeddedStack, model: LlmServer) -> None:
    lamps = lamps_model(org)
    script(model, LATE, TELL)
    # The second call is held up and never answered, so nothing is on its way when the kill comes.
    model.faults = [Fault(), Fault(hang=6.0, close=True)]
    job = ask(org, lamps)["jobId"]
    wait_for(lambda: len(model.calls) == 2, "the second call is not made")

    stack.kill("worker-0")

    assert_answered_once(org, model, job)


def test_killed_while_a_query_runs(org: Organization, stack: EmbeddedStack, model: LlmServer) -> None:
    """The user's table is locked, so that the query is certain to run when the kill comes."""
    shop, url = shop_model(org, stack.database_url)
    script(model, TOTALS, TELL, topic="orders")
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as onlooker:
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        job = ask(org, shop, topicName="orders")["jobId"]
        wait_for(lambda: onlooker.execute(waiting).fetchone(), "the query does not run")

        stack.kill("worker-0")

    assert_answered_once(org, model, job)


def test_killed_while_delivering(org: Organization, stack: EmbeddedStack, model: LlmServer) -> None:
    lamps = lamps_model(org)
    script(model, LATE, TELL)
    with receiver() as hook:
        hook.by_path["/"] = Script(hang=3.0)
        job = ask(org, lamps, webhookUrl=hook.url + "/")["jobId"]
        wait_for(lambda: hook.got, "the notice is not sent")

        stack.kill("worker-0")

        assert_answered_once(org, model, job)
        hook.by_path["/"] = Script()
        wait_for(
            lambda: org.deliveries(jobId=job)[0]["state"] == "DELIVERED",
            "the notice is not delivered",
        )
        assert len({one.headers["webhook-id"] for one in hook.got}) == 1


def test_killed_while_it_is_being_cancelled(org: Organization, stack: EmbeddedStack, model: LlmServer) -> None:
    lamps = lamps_model(org)
    script(model, LATE, TELL)
    model.faults = [Fault(hang=3.0)]
    job = ask(org, lamps)
    until(org, job["jobId"], "EXECUTING")

    assert org.call("POST", f"/v1/ai/jobs/{job['jobId']}/cancel")["state"] == "CANCELLED"
    stack.kill("worker-0")

    model.faults = []
    again = ask(org, lamps, conversationId=job["conversationId"])
    assert until(org, again["jobId"], seconds=90)["state"] == "COMPLETE"
    assert until(org, job["jobId"])["state"] == "CANCELLED"
    with psycopg.connect(stack.database_url) as database:
        kept = database.execute("SELECT count(*) FROM ai_actions WHERE job_id = %s", (job["jobId"],)).fetchone()
    assert kept == (0,)


def test_a_facade_killed_during_the_stream_is_taken_up_by_the_reader(
    org: Organization, stack: EmbeddedStack, model: LlmServer
) -> None:
    lamps = lamps_model(org)
    script(model, LATE, TELL)
    model.faults = [Fault(), Fault(hang=4.0)]
    job = ask(org, lamps)["jobId"]
    seen: list[int] = []
    ended = killed = False
    ends = time.monotonic() + 90

    while not ended:
        assert time.monotonic() < ends, seen
        headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
        try:
            with org.http.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as answer:
                for line in answer.iter_lines():
                    if line.startswith("id: "):
                        seen.append(int(line[4:]))
                        if not killed and len(seen) >= 3:
                            killed = True
                            stack.kill("api")
                    ended = ended or line == "event: job.completed"
        except httpx.TransportError:
            time.sleep(0.1)

    assert killed
    assert seen == list(range(1, len(seen) + 1))
