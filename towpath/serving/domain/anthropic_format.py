"""Chat completions for providers that speak Anthropic's format: the request there, the answer back.

What cannot be carried over is refused, never dropped: a client would take the answer for one to its whole request.
"""

from __future__ import annotations

import re
from typing import Any

from towpath.core.errors import BadInputError
from towpath.core.json_values import read_json, write_json

DEFAULT_MAX_TOKENS = 4_096
"""Where a request names no limit: Anthropic's API takes none without."""
MAX_TEMPERATURE = 1.0
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
SAME = ("temperature", "top_p")
LIMITS = ("max_completion_tokens", "max_tokens")
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "stream": (False,),
    "store": (False,),
    "logprobs": (False,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
"""Values that ask for what is done anyway."""
TRANSLATED = frozenset(
    {"model", "messages", "stop", "tools", "tool_choice", "parallel_tool_calls", "user", *SAME, *LIMITS}
)
_DATA_URL = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,(.+)", re.DOTALL)
Json = dict[str, Any]


def translate_request(body: Json) -> Json:
    """Return the request of Anthropic's Messages API that a chat completion is, but for its model.

    Raises:
        BadInputError: It has something that cannot be carried over; `field` names it.
    """
    for name, value in body.items():
        if name not in TRANSLATED and value is not None and value not in NEUTRAL.get(name, ()):
            raise _refusal(name, "cannot be carried over to this provider")
    request: Json = {"max_tokens": _max_tokens(body)}
    request["system"], request["messages"] = _translate_messages(body.get("messages"))
    if not request["system"]:
        del request["system"]
    for name in SAME:
        if body.get(name) is not None:
            request[name] = body[name]
    temperature = request.get("temperature")
    if isinstance(temperature, int | float) and temperature > MAX_TEMPERATURE:
        raise _refusal("temperature", f"must not be above {MAX_TEMPERATURE:g} for this provider")
    if body.get("stop") is not None:
        request["stop_sequences"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
    if body.get("user") is not None:
        request["metadata"] = {"user_id": body["user"]}
    request |= _translate_tools(body)
    return request


def _max_tokens(body: Json) -> Any:
    limits = [body[name] for name in LIMITS if body.get(name) is not None]
    if len(limits) > 1:
        raise _refusal("max_tokens", "and max_completion_tokens: only one")
    return limits[0] if limits else DEFAULT_MAX_TOKENS


def _translate_messages(messages: Any) -> tuple[list[Json], list[Json]]:
    """Return the system's blocks, and the turns of user and assistant; what one side says in a row is one turn."""
    if not isinstance(messages, list) or not messages:
        raise _refusal("messages", "must be a list of messages")
    system: list[Json] = []
    turns: list[Json] = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if not isinstance(message, dict):
            raise _refusal(where, "must be an object")
        role = message.get("role")
        if role in {"system", "developer"}:
            if turns:
                raise _refusal(where, f"has the role {role} behind other messages, which this provider does not take")
            _refuse_beside(message, {"role", "content"}, where)
            system += _texts(message.get("content"), where)
            continue
        speaker, blocks = _translate_turn(message, role, where)
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": speaker, "content": blocks})
    if not turns:
        raise _refusal("messages", "has no message of a user")
    return system, turns


def _translate_turn(message: Json, role: Any, where: str) -> tuple[str, list[Json]]:
    if role == "user":
        _refuse_beside(message, {"role", "content"}, where)
        return "user", _parts(message.get("content"), where)
    if role == "tool":
        _refuse_beside(message, {"role", "content", "tool_call_id"}, where)
        content = _texts(message.get("content"), where)
        return "user", [{"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": content}]
    if role == "assistant":
        _refuse_beside(message, {"role", "content", "tool_calls", "refusal"}, where)
        blocks = [] if message.get("content") is None else _texts(message["content"], where)
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise _refusal(f"{where}.tool_calls", "must be a list")
        blocks += [_translate_call(call, f"{where}.tool_calls[{place}]") for place, call in enumerate(calls)]
        if message.get("refusal") is not None:
            blocks.append({"type": "text", "text": message["refusal"]})
        if not blocks:
            raise _refusal(where, "has neither content nor tool calls")
        return "assistant", blocks
    raise _refusal(f"{where}.role", "is not one of system, developer, user, assistant, tool")


def _translate_call(call: Any, where: str) -> Json:
    function = call.get("function") if isinstance(call, dict) and call.get("type") == "function" else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        raise _refusal(where, "is no call of a function")
    try:
        arguments = read_json(function["arguments"].encode() or b"{}", f"{where}.function.arguments")
    except BadInputError as error:
        raise _refusal(f"{where}.function.arguments", "is not valid JSON") from error
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": arguments}


def _texts(content: Any, where: str) -> list[Json]:
    blocks = _parts(content, where)
    if any(block["type"] != "text" for block in blocks):
        raise _refusal(f"{where}.content", "must be text alone")
    return blocks


def _parts(content: Any, where: str) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content:
        raise _refusal(f"{where}.content", "must be a text or a list of parts")
    return [_part(part, f"{where}.content[{place}]") for place, part in enumerate(content)]


def _part(part: Any, where: str) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in {"text", "refusal"} and isinstance(part.get(kind), str):
        _refuse_beside(part, {"type", kind}, where)
        return {"type": "text", "text": part[kind]}
    image = part.get("image_url") if kind == "image_url" else None
    if isinstance(image, dict) and isinstance(image.get("url"), str):
        _refuse_beside(part, {"type", "image_url"}, where)
        if image.get("detail") not in {None, "auto"}:
            raise _refusal(f"{where}.image_url.detail", "cannot be carried over to this provider")
        _refuse_beside(image, {"url", "detail"}, f"{where}.image_url")
        if match := _DATA_URL.fullmatch(image["url"]):
            return {"type": "image", "source": {"type": "base64", "media_type": match[1], "data": match[2]}}
        if image["url"].startswith("https://"):
            return {"type": "image", "source": {"type": "url", "url": image["url"]}}
        raise _refusal(f"{where}.image_url.url", "must be https:// or a data URL of a PNG, JPEG, GIF or WebP image")
    raise _refusal(where, "is of a kind that cannot be carried over to this provider")


def _translate_tools(body: Json) -> Json:
    tools, choice, parallel = body.get("tools"), body.get("tool_choice"), body.get("parallel_tool_calls")
    if not tools:
        if choice is not None and choice not in ("none", "auto"):
            raise _refusal("tool_choice", "needs tools")
        return {}
    if not isinstance(tools, list):
        raise _refusal("tools", "must be a list")
    request: Json = {"tools": [_translate_tool(tool, f"tools[{place}]") for place, tool in enumerate(tools)]}
    chosen = _translate_choice(choice)
    if parallel is False:
        chosen = {**(chosen or {"type": "auto"}), "disable_parallel_tool_use": True}
    if chosen is not None:
        request["tool_choice"] = chosen
    return request


def _translate_tool(tool: Any, where: str) -> Json:
    function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
    if not isinstance(function, dict):
        raise _refusal(where, "is no function")
    _refuse_beside(function, {"name", "description", "parameters", "strict"}, f"{where}.function")
    if function.get("strict"):
        raise _refusal(f"{where}.function.strict", "cannot be carried over to this provider")
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    translated: Json = {"name": function.get("name"), "input_schema": schema}
    if function.get("description") is not None:
        translated["description"] = function["description"]
    return translated


def _translate_choice(choice: Any) -> Json | None:
    simple = {"auto": "auto", "none": "none", "required": "any"}
    if choice is None:
        return None
    if isinstance(choice, str) and choice in simple:
        return {"type": simple[choice]}
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    if not isinstance(function, dict):
        raise _refusal("tool_choice", "cannot be carried over to this provider")
    return {"type": "tool", "name": function.get("name")}


def _refuse_beside(value: Json, known: set[str], where: str) -> None:
    for name, inner in value.items():
        if name not in known and inner is not None:
            raise _refusal(f"{where}.{name}", "cannot be carried over to this provider")


def _refusal(field: str, why: str) -> BadInputError:
    return BadInputError(f"{field} {why}", field=field)


def translate_answer(message: Json, *, created: int) -> Json:
    """Return the chat completion that an answer of Anthropic's Messages API is.

    Args:
        message: The answer.
        created: When it came, in seconds since 1970.
    """
    texts = [block["text"] for block in message["content"] if block["type"] == "text"]
    calls = [_show_call(block) for block in message["content"] if block["type"] == "tool_use"]
    reply: Json = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    if calls:
        reply["tool_calls"] = calls
    usage = message.get("usage") or {}
    cached = usage.get("cache_read_input_tokens") or 0
    # What is read from a cache or written to one is not among Anthropic's input tokens; OpenAI's are all of them.
    inputs = (usage.get("input_tokens") or 0) + cached + (usage.get("cache_creation_input_tokens") or 0)
    outputs = usage.get("output_tokens") or 0
    finish = FINISH_REASONS.get(message.get("stop_reason") or "", "stop")
    return {
        "id": message["id"],
        "object": "chat.completion",
        "created": created,
        "model": message["model"],
        "choices": [{"index": 0, "message": reply, "logprobs": None, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": inputs,
            "completion_tokens": outputs,
            "total_tokens": inputs + outputs,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


def _show_call(block: Json) -> Json:
    arguments = write_json(block["input"]).decode()
    return {"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}}
