"""Language models through the real SDKs, against a loopback provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.support.llm_server import KEY, TOKENS_IN, TOKENS_OUT, Fault, LlmServer, llm_server
from towpath.core.errors import (
    BadInputError,
    ContextTooLongError,
    ErrorCode,
    ModelError,
    ModelRetiredError,
    ModelTimeoutError,
    OutputInvalidError,
    ProviderDownError,
    RateLimitedError,
)
from towpath.core.usage import Usage
from towpath.llm import Catalog, LanguageModels
from towpath.llm.meter import read_usage_object
from towpath.llm.types import ImagePart, LlmConfig, OutputMode, Prompt, ProviderConfig, WireFormat

FORM = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "class": {"type": ["integer", "null"]}},
    "required": ["name", "class"],
    "additionalProperties": False,
}
PROMPT = Prompt(system="be exact", user="Orion", form=FORM)
BOTH = ["openai::gpt-4o", "anthropic::claude-haiku-4-5"]


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with llm_server() as served:
        yield served


def config_of(url: str, **changes: Any) -> LlmConfig:
    return LlmConfig(
        providers={
            "openai": ProviderConfig(url=f"{url}/v1", key=KEY, prices="openai"),
            "anthropic": ProviderConfig(api=WireFormat.ANTHROPIC, url=url, key=KEY, prices="anthropic"),
            "house": ProviderConfig(url=f"{url}/v1", key=KEY, mode=OutputMode.JSON_SCHEMA, models=["small"]),
        },
        **changes,
    )


async def nowhere() -> str:
    raise AssertionError("nobody asked for the local model")


def bill_of(server: LlmServer, models: LanguageModels, model: str) -> Usage:
    """Return what the provider says that it was paid, added up here."""
    return sum((models.catalog.priced(model, read_usage_object(usage) or Usage()) for _, usage in server.bill), Usage())


@pytest.fixture
async def models(server: LlmServer) -> AsyncIterator[LanguageModels]:
    made = LanguageModels(config_of(server.url, seconds=3.0), nowhere)
    yield made
    await made.close()


@pytest.mark.parametrize("model", [*BOTH, "house::small"])
async def test_an_answer_has_the_asked_form_and_its_price(
    server: LlmServer, models: LanguageModels, model: str
) -> None:
    server.answer = lambda _model, _prompt, _form: {"name": "Orion Lighting", "class": None}
    found = await models.ask("org", model, PROMPT)
    assert found.data == {"name": "Orion Lighting", "class": None}
    assert (found.input_tokens, found.output_tokens) == (TOKENS_IN, TOKENS_OUT)
    assert found.usd == models.catalog.price(model, TOKENS_IN, TOKENS_OUT)
    assert (found.usd > 0) == (model != "house::small")
    assert dict(server.paid) == {(model.partition("::")[2], "Orion"): 1}


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize("wrong", [{"name": 7, "class": None}, {"name": "x"}])
async def test_a_wrong_form_is_sent_back_and_every_try_is_counted(
    server: LlmServer, models: LanguageModels, model: str, wrong: Any
) -> None:
    server.faults = [Fault(content=wrong)]
    found = await models.ask("org", model, PROMPT)
    assert set(found.data) == {"name", "class"}
    assert (found.input_tokens, found.output_tokens) == (2 * TOKENS_IN, 2 * TOKENS_OUT)
    assert len(server.calls) == 2


async def test_malformed_json_is_sent_back_too(server: LlmServer, models: LanguageModels) -> None:
    server.faults = [Fault(content='{"name": "cut o')]
    found = await models.ask("org", "openai::gpt-4o", PROMPT)
    assert set(found.data) == {"name", "class"}


@pytest.mark.parametrize("model", BOTH)
async def test_after_the_repairs_the_answer_is_invalid_and_its_tokens_are_told(
    server: LlmServer, models: LanguageModels, model: str
) -> None:
    server.faults = [Fault(content={"name": 7}) for _ in range(5)]
    with pytest.raises(OutputInvalidError, match="no valid answer") as caught:
        await models.ask("org", model, PROMPT)
    assert len(server.calls) == 3
    assert caught.value.usage == bill_of(server, models, model)
    assert (caught.value.usage.input_tokens, caught.value.usage.output_tokens) == (3 * TOKENS_IN, 3 * TOKENS_OUT)
    assert not caught.value.retryable


@pytest.mark.parametrize("model", [*BOTH, "house::small"])
@pytest.mark.parametrize(
    ("faults", "paid"),
    [
        ([Fault(refusal="I cannot help with that.")] * 3, None),
        ([Fault(cut=True)] * 2, 2),
        ([Fault(content={"name": 7}), Fault(status=429, headers={"Retry-After": "100"})], 1),
        ([Fault(content={"name": 7}), Fault(hang=4.0, close=True)], 1),
        ([Fault(content={"name": 7}), Fault(close=True)], 1),
        ([Fault(content={"name": 7}), Fault(content={"name": 8}), Fault(status=400, message="refused by policy")], 2),
        ([Fault(content="no json at all")] * 3, 3),
        ([Fault(status=500)], 0),
    ],
)
async def test_every_failure_tells_what_was_paid_before_it(
    server: LlmServer, models: LanguageModels, model: str, faults: list[Fault], paid: int | None
) -> None:
    server.faults = list(faults)
    with pytest.raises(ModelError) as caught:
        await models.ask("org", model, PROMPT)
    assert caught.value.usage == bill_of(server, models, model)
    assert len(server.bill) == paid if paid is not None else server.bill


@pytest.mark.parametrize("model", BOTH)
async def test_cached_tokens_are_counted_at_their_price(server: LlmServer, models: LanguageModels, model: str) -> None:
    plain = (await models.ask("org", model, PROMPT)).usage
    server.cached = 60
    read = (await models.ask("org", model, PROMPT)).usage
    assert (read.input_tokens, read.cache_read_tokens, plain.cache_read_tokens) == (TOKENS_IN, 60, 0)
    info = next(listed for listed in models.catalog.models() if listed.key == model)
    # Both price lists have a lower price for what is read from a cache, and Anthropic a higher one for what is written.
    shares = {"openai::gpt-4o": 0.5, "anthropic::claude-haiku-4-5": 0.1}
    saved = 60 * (1 - shares[model]) * (info.input_price or 0) / 1_000_000
    assert read.usd == pytest.approx(plain.usd - saved, abs=1e-12)
    if model.startswith("anthropic"):
        server.cached, server.written = 0, 60
        written = (await models.ask("org", model, PROMPT)).usage
        assert written.cache_write_tokens == 60
        more = 60 * 0.25 * (info.input_price or 0) / 1_000_000
        assert written.usd == pytest.approx(plain.usd + more, abs=1e-12)


@pytest.mark.parametrize("model", BOTH)
@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        (Fault(status=429, headers={"Retry-After": "700"}), RateLimitedError, True),
        (Fault(status=500), ProviderDownError, True),
        (Fault(status=529), ProviderDownError, True),
        (Fault(close=True), ProviderDownError, True),
        (Fault(hang=4.0), ModelTimeoutError, True),
        (Fault(status=400, message="This model's maximum context length is 8192 tokens"), ContextTooLongError, False),
        (Fault(status=400, message="prompt is too long: 210000 tokens > 200000 maximum"), ContextTooLongError, False),
        (
            Fault(status=400, message="50114 tokens exceed the available context size (8192)"),
            ContextTooLongError,
            False,
        ),
        (Fault(status=404, message="the model is gone"), ModelRetiredError, False),
        (Fault(status=400, message="refused by policy"), ModelError, False),
        (Fault(status=403), ModelError, False),
    ],
)
async def test_each_failure_is_one_typed_error_after_one_call(
    server: LlmServer, models: LanguageModels, model: str, fault: Fault, kind: type[ModelError], retryable: bool
) -> None:
    server.faults = [fault]
    with pytest.raises(ModelError) as caught:
        await models.ask("org", model, PROMPT)
    assert type(caught.value) is kind
    assert caught.value.retryable is retryable
    assert caught.value.retry_after == (700 if kind is RateLimitedError else None)
    assert len(server.calls) == 1


@pytest.mark.parametrize("model", [*BOTH, "house::small"])
async def test_a_refusal_is_told_in_the_models_words_after_one_call(
    server: LlmServer, models: LanguageModels, model: str
) -> None:
    server.faults = [Fault(refusal="I would rather not talk about Orion.")]
    with pytest.raises(ModelError, match="I would rather not talk about Orion") as caught:
        await models.ask("org", model, PROMPT)
    assert type(caught.value) is ModelError
    assert caught.value.code is ErrorCode.MODEL_REFUSED
    assert not caught.value.retryable
    assert (caught.value.usage.input_tokens, caught.value.usage.output_tokens) == (TOKENS_IN, TOKENS_OUT)
    assert len(server.calls) == 1


BOUNDED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 80},
        "site": {"type": ["string", "null"], "format": "uri", "description": "Its address."},
        "staff": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "maxItems": 3},
    },
    "required": ["name", "site", "staff", "tags"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("model", [*BOTH, "house::small"])
async def test_strict_is_strict_on_the_wire_and_the_form_holds_only_what_a_provider_enforces(
    server: LlmServer, models: LanguageModels, model: str
) -> None:
    server.answer = lambda _model, _prompt, _form: {"name": "x", "site": None, "staff": 1, "tags": []}
    server.faults = [Fault(content={"name": "x", "site": None, "staff": 0, "tags": []})]
    prompt = Prompt(system="be exact", user="Orion", form=BOUNDED, strict=True)
    assert (await models.ask("org", model, prompt)).data["staff"] == 1
    assert len(server.calls) == 2, "what the provider cannot enforce is checked here all the same"
    for call in server.calls:
        strict, form = _strict_of(call)
        assert strict is True
        words = {word for spec in form["properties"].values() for word in spec}
        assert words.isdisjoint({"maxLength", "uniqueItems"})
        assert ("minimum" in words) == (not model.startswith("anthropic"))
        assert form["required"] == list(BOUNDED["properties"])
        assert "format" not in form["properties"]["site"]

    server.calls.clear()
    await models.ask("org", model, prompt.model_copy(update={"strict": False}))
    assert _strict_of(server.calls[0])[0] is None


@pytest.mark.parametrize(
    ("model", "form"),
    [("openai::gpt-3.5-turbo", BOUNDED), ("openai::gpt-4o", {**BOUNDED, "properties": {"any": {"type": "object"}}})],
)
async def test_strict_is_left_out_where_a_model_or_a_form_cannot_be_held_to_it(
    server: LlmServer, models: LanguageModels, model: str, form: dict[str, Any]
) -> None:
    server.answer = lambda _model, _prompt, form: dict.fromkeys(form["properties"])
    prompt = Prompt(system="be exact", user="Orion", form=form, strict=True)
    with pytest.raises(OutputInvalidError):
        await models.ask("org", model, prompt, repairs=0)
    assert _strict_of(server.calls[0])[0] is None


def _strict_of(call: dict[str, Any]) -> tuple[bool | None, dict[str, Any]]:
    """What a request says of strictness, and the form that it carries."""
    if "response_format" in call:
        asked = call["response_format"]["json_schema"]
        return asked.get("strict"), asked["schema"]
    tool = call["tools"][0]
    if "function" in tool:
        return tool["function"].get("strict"), tool["function"]["parameters"]
    return tool.get("strict"), tool["input_schema"]


async def test_nobody_listening_is_a_provider_that_is_down() -> None:
    made = LanguageModels(config_of("http://127.0.0.1:9"), nowhere)
    with pytest.raises(ProviderDownError, match="cannot be reached"):
        await made.ask("org", "openai::gpt-4o", PROMPT)
    await made.close()


async def test_slots_are_counted_by_provider_and_shared_by_organizations(server: LlmServer) -> None:
    server.seconds = 0.2
    models = LanguageModels(config_of(server.url, concurrency=2), nowhere)
    await asyncio.gather(*(models.ask("one", "openai::gpt-4o", PROMPT) for _ in range(6)))
    assert server.most_at_once == 2
    both = ("openai::gpt-4o", "anthropic::claude-haiku-4-5")
    await asyncio.gather(*(models.ask(name, "openai::gpt-4o", PROMPT) for name in ("one", "two") for _ in range(4)))
    assert server.most_at_once == 2
    await asyncio.gather(*(models.ask("one", model, PROMPT) for model in both for _ in range(4)))
    assert server.most_at_once == 4
    await models.close()


async def test_images_travel_in_the_form_of_each_provider(server: LlmServer, models: LanguageModels) -> None:
    prompt = PROMPT.model_copy(update={"images": [ImagePart(media_type="image/png", base64="aGk=")]})
    for model in BOTH:
        await models.ask("org", model, prompt)
    first, second = (call["messages"][-1]["content"][1] for call in server.calls)
    assert first == {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert second["source"] == {"type": "base64", "media_type": "image/png", "data": "aGk="}


async def test_plain_json_is_asked_for_in_words(server: LlmServer, models: LanguageModels) -> None:
    server.answer = lambda _model, _prompt, _form: {"name": "x", "class": 1}
    for model in BOTH:
        assert (await models.ask("org", model, PROMPT, plain_json=True)).data == {"name": "x", "class": 1}
    assert not any("tools" in call for call in server.calls)


def test_a_catalog_knows_models_prices_and_what_is_not_available() -> None:
    catalog = Catalog(
        LlmConfig(
            providers={
                "openai": ProviderConfig(prices="openai"),
                "anthropic": ProviderConfig(api=WireFormat.ANTHROPIC, key="k", prices="anthropic"),
                "mine": ProviderConfig(url="http://mine/v1"),
            }
        )
    )
    catalog.check("anthropic::claude-sonnet-4-5-20250514", "models[0]")
    catalog.check("mine::whatever:7b", "models[0]")
    for model, told in (
        ("gpt-4o", "provider::model"),
        ("nobody::x", "not known here"),
        ("openai::gpt-4o", "no key for openai"),
        ("anthropic::claude-99", "has no model"),
    ):
        with pytest.raises(BadInputError, match=told) as caught:
            catalog.check(model, "models[0]")
        assert caught.value.field == "models[0]"
        assert caught.value.code is ErrorCode.INVALID_VALUE
    listed = {info.key: info for info in catalog.models()}
    assert listed["openai::gpt-4o"].input_price == 2.5
    assert not listed["openai::gpt-4o"].is_available
    assert listed["anthropic::claude-sonnet-4-5"].is_available
    assert catalog.automatic() == "anthropic::claude-haiku-4-5"
    assert catalog.price("mine::x", 1000, 1000) == 0


def test_a_catalog_tells_what_models_can_do_and_lists_only_what_can_be_asked() -> None:
    providers = {
        name: ProviderConfig(prices=name, key="k") for name in ("openai", "anthropic", "google", "deepseek")
    } | {"mine": ProviderConfig(url="http://mine/v1", models=["x"], mode=OutputMode.JSON_SCHEMA)}
    catalog = Catalog(LlmConfig(providers=providers))
    listed = {info.key: info for info in catalog.models()}
    gpt, haiku = listed["openai::gpt-4o"], listed["anthropic::claude-haiku-4-5"]
    assert (gpt.provider, gpt.model) == ("openai", "gpt-4o")
    assert gpt.supports_vision
    assert gpt.supports_tool_calls
    assert gpt.supports_response_schema
    assert gpt.supports_strict_structured_output
    assert gpt.supports_prompt_caching
    assert gpt.supports_reasoning is None, "a flag is true or absent"
    assert haiku.supports_strict_structured_output
    assert listed["anthropic::claude-sonnet-4-0"].supports_strict_structured_output is None
    assert listed["openai::o3"].supports_reasoning
    assert listed["openai::gpt-4"].supports_vision is None
    assert listed["google::gemini-2.5-pro"].supports_vision
    assert listed["mine::x"].supports_response_schema
    assert listed["mine::x"].supports_tool_calls is None
    # Every model that people choose among has a row: one that none fits would be offered without what it can do.
    unknown = [info.key for info in listed.values() if info.supports_response_schema is None]
    assert not [key for key in unknown if "claude-" in key or "gemini-2" in key or "gemini-3" in key], unknown
    for key in (
        "google::claude-sonnet-4-5",
        "anthropic::claude-2",
        "openai::davinci",
        "openai::gpt-3.5-turbo-instruct",
    ):
        assert key not in listed
    with pytest.raises(BadInputError, match="has no model"):
        catalog.check("google::claude-sonnet-4-5", "models[0]")
