"""How calls are cut into batches and named, who is asked by batch, and what stands in for a provider."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.core.errors import BadInputError
from towpath.core.usage import Usage
from towpath.llm import Catalog
from towpath.llm.batches.choice import choose_execution
from towpath.llm.batches.cutting import FRAME_BYTES, batch_name, custom_id, cut, number_of
from towpath.llm.batches.exchange import Capture, CapturedError, Replay
from towpath.llm.batches.types import BatchLimits, Execution
from towpath.llm.types import LlmConfig, ProviderConfig

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CATALOG = Catalog(
    LlmConfig(
        providers={
            "openai": ProviderConfig(key="k", prices="openai", batches=True),
            "google": ProviderConfig(key="k", prices="google"),
        }
    )
)
GPT, GEMINI = "openai::gpt-4o", "google::gemini-2.5-flash"


@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 7), st.integers(FRAME_BYTES, 9000))
def test_every_call_is_in_one_batch_in_its_order_and_none_is_beyond_its_limits(
    sizes: list[int], calls: int, most: int
) -> None:
    batches = list(cut(enumerate(sizes), BatchLimits(calls=calls, bytes=most)))
    assert [key for batch in batches for key in batch] == list(range(len(sizes)))
    for batch in batches:
        assert 1 <= len(batch) <= calls
        assert len(batch) == 1 or sum(sizes[key] + FRAME_BYTES for key in batch) <= most


def test_the_id_of_a_call_tells_its_batch_and_is_what_both_providers_take() -> None:
    name, other = batch_name(uuid4()), batch_name(uuid4())
    identifier = custom_id(name, 99_999)
    assert len(identifier) <= 64
    assert identifier.replace("-", "").isalnum()
    assert number_of(name, identifier) == 99_999
    assert number_of(other, identifier) is None
    assert number_of(name, name) is None


@pytest.mark.parametrize(
    ("requested", "model", "hours", "chosen"),
    [
        (Execution.LIVE, GPT, None, Execution.LIVE),
        (Execution.BATCH, GPT, None, Execution.BATCH),
        (Execution.AUTO, GPT, None, Execution.LIVE),
        (Execution.AUTO, GPT, 24.9, Execution.LIVE),
        (Execution.AUTO, GPT, 25, Execution.BATCH),
        (Execution.AUTO, GEMINI, 25, Execution.LIVE),
    ],
)
def test_auto_is_batch_where_the_deadline_leaves_a_day_and_an_hour(
    requested: Execution, model: str, hours: float | None, chosen: Execution
) -> None:
    deadline = None if hours is None else NOW + timedelta(hours=hours)
    assert choose_execution(CATALOG, requested, [GPT, model], deadline, NOW).execution is chosen


def test_a_batch_of_a_provider_that_has_none_is_refused() -> None:
    with pytest.raises(BadInputError, match="google::gemini") as raised:
        choose_execution(CATALOG, Execution.BATCH, [GPT, GEMINI], None, NOW)
    assert raised.value.field == "execution"


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "gpt-5", "o3"])
def test_a_batch_costs_half(model: str) -> None:
    usage = Usage(input_tokens=1000, output_tokens=100)
    live = CATALOG.priced(f"openai::{model}", usage).usd
    assert live > 0
    assert CATALOG.priced(f"openai::{model}", usage, batch=True).usd == pytest.approx(live / 2)


def test_a_provider_without_batch_prices_is_not_called_cheaper() -> None:
    catalog = Catalog(LlmConfig(providers={"deepseek": ProviderConfig(key="k", prices="deepseek")}))
    live = catalog.price("deepseek::deepseek-chat", 1000, 100)
    assert catalog.price("deepseek::deepseek-chat", 1000, 100, batch=True) == live > 0


def request(body: bytes = b"{}") -> httpx2.Request:
    return httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions", content=body)


def test_a_capture_takes_the_body_and_sends_nothing() -> None:
    capture = Capture()
    with pytest.raises(CapturedError):
        capture.answer(request(b'{"model": "m"}'))
    assert capture.body == b'{"model": "m"}'


def test_a_replay_answers_once_and_tells_of_no_tokens_that_are_booked() -> None:
    usage = {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2}, "service_tier": "batch"}
    reply = orjson.dumps({"id": "c", "usage": usage})
    replay, paid = Replay(reply), Replay(reply, paid=True)
    answers = [one.answer(request()) for one in (replay, paid)]
    assert [answer and answer.json()["usage"] for answer in answers] == [
        usage,
        {"prompt_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}, "service_tier": "batch"},
    ]
    assert replay.answer(request()) is None
