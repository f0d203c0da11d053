"""The order in which a prompt is sent, and what is marked for a provider's cache."""

from __future__ import annotations

from typing import Any

import pytest

from towpath.llm.limits import is_reasoning, max_answer_tokens, read_largest_answer, read_refused_parameter
from towpath.llm.messages import build_messages, shared_tools
from towpath.llm.store.answers import answer_digest
from towpath.llm.types import MIN_CACHED_CHARACTERS, ImagePart, OutputMode, Prompt, WireFormat

OPENAI, ANTHROPIC = WireFormat.OPENAI, WireFormat.ANTHROPIC
STABLE = "s" * MIN_CACHED_CHARACTERS
FORMS: list[dict[str, Any]] = [{"type": "object", "properties": {name: {"type": "string"}}} for name in "ab"]
IMAGE = ImagePart(media_type="image/png", base64="QQ==")


def prompt(**changes: Any) -> Prompt:
    given = {"user": f"{STABLE}Orion", "stable": len(STABLE), "shared": True, **changes}
    return Prompt(system="rules", form=FORMS[1], **given)


def test_the_shared_part_is_marked_for_anthropic_where_another_call_reads_it() -> None:
    system, user = build_messages(prompt(), ANTHROPIC)
    assert system["content"] == [
        {"type": "text", "text": f"rules\n\n{STABLE}", "cache_control": {"type": "ephemeral"}},
    ]  # fmt: skip
    assert user["content"] == "Orion"


@pytest.mark.parametrize("change", [{"shared": False}, {"user": "short Orion", "stable": 6}])
def test_nothing_is_marked_that_nobody_reads_or_that_is_too_short(change: dict[str, Any]) -> None:
    """Writing to the cache costs a quarter more."""
    asked = prompt(**change)
    assert build_messages(asked, ANTHROPIC) == [
        {"role": "system", "content": "rules"},
        {"role": "user", "content": asked.user},
    ]


def test_images_stand_between_what_is_shared_and_what_is_not() -> None:
    _, user = build_messages(prompt(images=[IMAGE]), OPENAI)
    assert [piece["type"] for piece in user["content"]] == ["text", "image_url", "text"]
    assert (user["content"][0]["text"], user["content"][2]["text"]) == (STABLE, "Orion")
    _, user = build_messages(prompt(images=[IMAGE]), ANTHROPIC)
    assert [piece["type"] for piece in user["content"]] == ["image", "text"]
    assert user["content"][0]["cache_control"] == {"type": "ephemeral"}


def test_calls_with_other_forms_send_the_same_tools_and_choose_their_own() -> None:
    bodies = []
    for form in FORMS:
        asked = prompt(siblings=FORMS).model_copy(update={"form": form})
        bodies.append([shared_tools(asked, api, OutputMode.TOOLS) for api in (OPENAI, ANTHROPIC)])
    for first, second in zip(*bodies, strict=True):
        assert first is not None and second is not None
        assert first["tools"] == second["tools"]
        assert first["tool_choice"] != second["tool_choice"]
    assert shared_tools(prompt(siblings=FORMS), OPENAI, OutputMode.JSON_SCHEMA) is None
    assert shared_tools(prompt(), OPENAI, OutputMode.TOOLS) is None


def test_how_a_prompt_is_sent_does_not_change_the_key_of_its_answer() -> None:
    plain = Prompt(system="rules", user=f"{STABLE}Orion", form=FORMS[1])
    assert answer_digest("p::a", plain) == answer_digest("p::a", prompt(siblings=FORMS))
    assert answer_digest("p::a", plain) != answer_digest("p::a", prompt(user=f"{STABLE}Vega"))


@pytest.mark.parametrize(
    ("model", "most", "thinks"),
    [
        ("gpt-4o-mini", 16_384, False),
        ("gpt-4.1", 32_768, False),
        ("gpt-4", 8_192, False),
        ("o3", 100_000, True),
        ("o4-mini", 100_000, True),
        ("gpt-5", 128_000, True),
        ("gpt-5-chat-latest", 16_384, False),
        ("gpt-6-sol", 128_000, True),
        ("openai/gpt-5-mini", 128_000, True),
        ("gpt-oss-120b", 8_192, False),
        ("claude-3-haiku", 4_096, False),
        ("claude-3-5-sonnet", 8_192, False),
        ("claude-opus-4-1", 32_000, False),
        ("claude-opus-4-1-20250805", 32_000, False),
        ("claude-opus-4-20250514", 32_000, False),
        ("claude-opus-4-5", 64_000, False),
        ("claude-haiku-4-5", 64_000, False),
        ("gemini-2.0-flash", 8_192, False),
        ("gemini-2.5-pro", 65_536, True),
        ("deepseek-reasoner", 65_536, True),
        ("llama-3", 8_192, False),
    ],
)
def test_what_is_known_of_answers(model: str, most: int, thinks: bool) -> None:
    assert (max_answer_tokens(model), is_reasoning(model)) == (most, thinks)


def test_what_providers_say_of_a_limit_is_read() -> None:
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    assert read_refused_parameter(said) == "max_completion_tokens"
    assert read_refused_parameter("Unsupported parameter: 'temperature' is not supported with this model.") is None
    said = "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens"
    assert read_largest_answer(said) == 64_000
    said = "max_tokens is too large: 20000. This model supports at most 16384 completion tokens"
    assert read_largest_answer(said) == 16_384
    assert read_largest_answer("no such model") is None
