"""Chat completions in Anthropic's format: carried over whole, or refused by the field."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from openai.types.chat import ChatCompletion

from towpath.core.errors import BadInputError
from towpath.serving.domain.anthropic_format import translate_answer, translate_request

ASK = [{"role": "user", "content": "Where?"}]
WHERE = {"role": "user", "content": [{"type": "text", "text": "Where?"}]}
TOOL = {"type": "function", "function": {"name": "tell", "description": "Tells", "parameters": {"type": "object"}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_a_whole_request_is_carried_over() -> None:
    found = translate_request(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": [{"type": "text", "text": "Be right."}]},
                {"role": "user", "content": [{"type": "text", "text": "Look:"}, PICTURE]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "tell", "arguments": '{"a": 1}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "42"},
                {"role": "user", "content": "So?"},
            ],
            "max_completion_tokens": 99,
            "temperature": 0.3,
            "top_p": 0.8,
            "stop": ["END", "STOP"],
            "tools": [TOOL],
            "tool_choice": {"type": "function", "function": {"name": "tell"}},
            "parallel_tool_calls": False,
            "user": "u1",
            "n": 1,
            "stream": False,
            "response_format": {"type": "text"},
            "seed": None,
        }
    )

    assert found == {
        "max_tokens": 99,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be right."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                ],
            },
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "tell", "input": {"a": 1}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "42"}]},
                    {"type": "text", "text": "So?"},
                ],
            },
        ],
        "temperature": 0.3,
        "top_p": 0.8,
        "stop_sequences": ["END", "STOP"],
        "metadata": {"user_id": "u1"},
        "tools": [{"name": "tell", "description": "Tells", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "tell", "disable_parallel_tool_use": True},
    }


def test_a_request_without_a_limit_is_given_one() -> None:
    assert translate_request({"messages": ASK, "stop": "END"}) == {
        "max_tokens": 4096,
        "messages": [WHERE],
        "stop_sequences": ["END"],
    }


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"seed": 5}, "seed"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"invented": 1}, "invented"),
        ({"temperature": 1.5}, "temperature"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [*ASK, {"role": "system", "content": "x"}]}, "messages[1]"),
        ({"messages": [{"role": "user", "content": "x", "name": "Ada"}]}, "messages[0].name"),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0]"),
        ({"messages": [{"role": "system", "content": [PICTURE]}, *ASK]}, "messages[0].content"),
        ({"tools": [{"type": "custom"}]}, "tools[0]"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
            "tools[0].function.strict",
        ),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}}],
                    }
                ]
            },
            "messages[0].content[0].image_url.detail",
        ),
    ],
)
def test_what_cannot_be_carried_over_is_refused_by_its_name(more: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInputError) as error:
        translate_request({"model": "m", "messages": ASK, **more})

    assert error.value.field == field


def test_an_answer_is_a_chat_completion() -> None:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "text", "text": "Well: "},
            {"type": "text", "text": "Rome."},
            {"type": "tool_use", "id": "t1", "name": "tell", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 3},
    }
    assert anthropic.types.Message.model_validate(message)

    found = ChatCompletion.model_validate(translate_answer(message, created=5))

    choice = found.choices[0]
    assert choice.message.content == "Well: Rome." and choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or []
    assert call.type == "function" and call.function.arguments == '{"a":1}'
    assert found.usage is not None and found.usage.prompt_tokens == 14 and found.usage.total_tokens == 17
    assert found.usage.prompt_tokens_details is not None and found.usage.prompt_tokens_details.cached_tokens == 4


@pytest.mark.parametrize(
    ("stop", "finish"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("refusal", "content_filter")],
)
def test_why_an_answer_ends_is_told(stop: str, finish: str) -> None:
    message = {"id": "m", "model": "c", "content": [], "stop_reason": stop, "usage": {}}

    answer = translate_answer(message, created=1)

    assert answer["choices"][0]["finish_reason"] == finish and answer["choices"][0]["message"]["content"] is None
