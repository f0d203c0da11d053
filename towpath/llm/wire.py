"""What is added to the SDKs' own calls: forms that the provider enforces, and refusals told as such."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from towpath.llm.strict_forms import make_strict_form
from towpath.llm.types import WireFormat

STRICT = "towpath_strict"
"""An argument of ours beside the SDK's: the provider is to hold the model to the form."""

Create = Callable[..., Awaitable[Any]]


class RefusedError(Exception):
    """The model does not want to answer; its words are the message. A repair would be refused as well."""


def complete(create: Create, api: WireFormat) -> Create:
    """Return an SDK's call with what is added here.

    Args:
        create: The SDK's call.
        api: Which one.
    """

    @wraps(create)
    async def completed(*args: Any, **options: Any) -> Any:
        if options.pop(STRICT, False):
            options = _with_strict_form(options, api)
        answer = await create(*args, **options)
        refusal = _anthropic_refusal(answer) if api is WireFormat.ANTHROPIC else _openai_refusal(answer)
        if refusal is not None:
            raise RefusedError(refusal or "it gave no reason")
        return answer

    return completed


def _with_strict_form(options: dict[str, Any], api: WireFormat) -> dict[str, Any]:
    """Return the options of a call with a strict form in the place where the SDK's helper has put the form."""
    if tools := options.get("tools"):
        tool = tools[0]
        if api is WireFormat.ANTHROPIC:
            form = make_strict_form(tool["input_schema"], api)
            strict_tool = tool if form is None else {**tool, "input_schema": form, "strict": True}
        else:
            function = tool["function"]
            form = make_strict_form(function["parameters"], api)
            strict_tool = (
                tool if form is None else {**tool, "function": {**function, "parameters": form, "strict": True}}
            )
        return {**options, "tools": [strict_tool]}
    response_format = options.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        form = make_strict_form(response_format["json_schema"]["schema"], api)
        if form is not None:
            schema = {**response_format["json_schema"], "schema": form, "strict": True}
            return {**options, "response_format": {**response_format, "json_schema": schema}}
    return options


def _openai_refusal(answer: Any) -> str | None:
    for choice in getattr(answer, "choices", None) or []:
        words = getattr(choice.message, "refusal", None)
        if words is not None:
            return str(words)
        if choice.finish_reason == "content_filter":
            return "the provider's filter has stopped the answer"
    return None


def _anthropic_refusal(answer: Any) -> str | None:
    if getattr(answer, "stop_reason", None) != "refusal":
        return None
    return " ".join(block.text for block in answer.content if block.type == "text").strip()
