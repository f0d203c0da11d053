"""Reads from a provider's response what it is paid for.

The SDKs and instructor tell the usage of an answer that they could read, and of some that they could not; the response
itself tells it of every answer. Both wire formats are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from towpath.core.usage import Usage


def read_usage(body: bytes) -> Usage | None:
    """Return the tokens that a response tells of, without their price; None: it tells of none.

    Args:
        body: A response of OpenAI's chat completions or Anthropic's messages, or something else.
    """
    try:
        response = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    usage = response.get("usage") if isinstance(response, dict) else None
    return read_usage_object(usage) if isinstance(usage, dict) else None


def read_usage_object(usage: Mapping[str, Any]) -> Usage | None:
    """Return the tokens of a response's `usage` member, as it is in a result of a batch too; None: it tells of none."""
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        details = usage.get("prompt_tokens_details")
        of_prompt = details if isinstance(details, dict) else {}
        inputs = _number(usage, "prompt_tokens")
        return Usage(
            input_tokens=inputs,
            # No more than there are: the price list refuses it.
            cache_read_tokens=min(_number(of_prompt, "cached_tokens"), inputs),
            output_tokens=_number(usage, "completion_tokens"),
        )
    if "input_tokens" in usage or "output_tokens" in usage:
        # Anthropic counts what it reads from its cache, and writes to it, beside the rest of the prompt.
        read, written = _number(usage, "cache_read_input_tokens"), _number(usage, "cache_creation_input_tokens")
        return Usage(
            input_tokens=_number(usage, "input_tokens") + read + written,
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_tokens=_number(usage, "output_tokens"),
        )
    return None


def _number(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0
