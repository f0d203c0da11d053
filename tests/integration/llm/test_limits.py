"""How much room an answer gets, through the real SDKs, against a loopback provider that refuses what real ones do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.llm_server import KEY, TOKENS_IN, TOKENS_OUT, LlmServer, llm_server
from towpath.core.errors import OutputInvalidError
from towpath.llm import LanguageModels
from towpath.llm.bounds import max_price
from towpath.llm.limits import THINKING_ROOM
from towpath.llm.types import LlmConfig, Prompt, ProviderConfig, WireFormat

FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
PROMPT = Prompt(system="be exact", user="Orion", form=FORM, most_tokens=4096)


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


@pytest.fixture
async def models(server: LlmServer) -> AsyncIterator[LanguageModels]:
    url = server.url
    providers = {
        "openai": ProviderConfig(url=f"{url}/v1", key=KEY, prices="openai"),
        "google": ProviderConfig(url=f"{url}/v1", key=KEY, prices="google"),
        "house": ProviderConfig(url=f"{url}/v1", key=KEY),
        "anthropic": ProviderConfig(api=WireFormat.ANTHROPIC, url=url, key=KEY, prices="anthropic"),
    }

    async def nowhere() -> str:
        raise AssertionError("nobody asked for the local model")

    made = LanguageModels(LlmConfig(providers=providers, seconds=5.0), nowhere)
    yield made
    await made.close()


def limits(server: LlmServer) -> list[dict[str, Any]]:
    names = ("max_tokens", "max_completion_tokens")
    return [{name: body[name] for name in names if name in body} for body in server.calls]


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("openai::gpt-4o", {"max_completion_tokens": 4096}),
        ("openai::o3", {"max_completion_tokens": 4096 + THINKING_ROOM}),
        ("openai::gpt-5", {"max_completion_tokens": 4096 + THINKING_ROOM}),
        ("openai::gpt-5-mini", {"max_completion_tokens": 4096 + THINKING_ROOM}),
        ("google::gemini-2.5-pro", {"max_tokens": 4096 + THINKING_ROOM}),
        ("house::llama", {"max_tokens": 4096}),
        ("anthropic::claude-haiku-4-5", {"max_tokens": 4096}),
    ],
)
async def test_each_model_is_told_its_limit_by_the_parameter_that_it_takes(
    server: LlmServer, models: LanguageModels, model: str, limit: dict[str, int]
) -> None:
    """A model that thinks has room for its thoughts besides: they count as its answer."""
    answer = await models.ask("org", model, PROMPT)
    assert set(answer.data) == {"name"}
    assert limits(server) == [limit]


async def test_a_parameter_that_is_refused_is_replaced_and_this_is_remembered(
    server: LlmServer, models: LanguageModels
) -> None:
    """A server of one's own may serve anything; and what OpenAI takes may be new to a copy of it."""
    server.refuses = {"llama": "max_tokens", "gpt-4o": "max_completion_tokens"}
    for model, refused, taken in (
        ("house::llama", "max_tokens", "max_completion_tokens"),
        ("openai::gpt-4o", "max_completion_tokens", "max_tokens"),
    ):
        server.calls.clear()
        await models.ask("org", model, PROMPT)
        await models.ask("org", model, PROMPT.model_copy(update={"user": "Vega"}))
        assert [list(limit) for limit in limits(server)] == [[refused], [taken], [taken]]
    assert len(server.bill) == 4, "a request that is refused is not paid"


async def test_a_limit_that_is_too_large_is_lowered_to_the_one_that_is_named(
    server: LlmServer, models: LanguageModels
) -> None:
    server.largest = {"gpt-4o": 1000}
    await models.ask("org", "openai::gpt-4o", PROMPT)
    await models.ask("org", "openai::gpt-4o", PROMPT.model_copy(update={"user": "Vega"}))
    assert [limit["max_completion_tokens"] for limit in limits(server)] == [4096, 1000, 1000]


@pytest.mark.parametrize(("model", "name"), [("openai::gpt-4o", "max_completion_tokens"),
                                             ("anthropic::claude-haiku-4-5", "max_tokens")])  # fmt: skip
async def test_an_answer_that_was_cut_off_is_asked_once_more_with_more_room_and_both_are_paid(
    server: LlmServer, models: LanguageModels, model: str, name: str
) -> None:
    server.takes = 10_000
    answer = await models.ask("org", model, PROMPT)
    assert [limit[name] for limit in limits(server)] == [4096, 4 * 4096]
    assert (answer.input_tokens, answer.output_tokens) == (2 * TOKENS_IN, 2 * TOKENS_OUT)
    assert answer.usd == pytest.approx(2 * models.catalog.price(model, TOKENS_IN, TOKENS_OUT))


async def test_after_that_it_has_failed_and_tells_what_was_paid(server: LlmServer, models: LanguageModels) -> None:
    server.takes = 1_000_000
    with pytest.raises(OutputInvalidError, match="did not come to an end") as caught:
        await models.ask("org", "openai::gpt-4o", PROMPT)
    assert len(server.calls) == 2
    assert caught.value.usage.output_tokens == 2 * TOKENS_OUT


async def test_who_wants_no_repairs_pays_for_one_request_only(server: LlmServer, models: LanguageModels) -> None:
    server.takes = 10_000
    with pytest.raises(OutputInvalidError):
        await models.ask("org", "openai::gpt-4o", PROMPT, repairs=0)
    assert len(server.calls) == 1


def test_the_highest_price_of_a_request_counts_the_thoughts(models: LanguageModels) -> None:
    catalog = models.catalog
    thoughts = catalog.price("openai::o3", 0, THINKING_ROOM)
    assert max_price(catalog, "openai::o3", PROMPT) > thoughts > 0
