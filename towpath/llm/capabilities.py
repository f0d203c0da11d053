"""What models can do, as far as it can be used here; a flag is set or absent.

Prices name what is cached. The rest is no part of the price library, and stands in the table below: it follows the
providers' own lists of models (platform.openai.com/docs/models, docs.anthropic.com/en/docs/about-claude/models,
ai.google.dev/gemini-api/docs/models, api-docs.deepseek.com), compared with the table of LiteLLM 1.110. A model that no
row fits has no flag. Searching the web, sound and video have none either: nothing here sends them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from towpath.llm.types import OutputMode, ProviderConfig

Flags = dict[str, bool]


_LETTERS = {
    "v": "supports_vision",
    "t": "supports_tool_calls",
    "c": "supports_tool_choice",
    "f": "supports_response_schema",
    "s": "supports_strict_structured_output",
    "r": "supports_reasoning",
}
_TABLE: Mapping[str, tuple[tuple[str, str], ...]] = {
    "openai": (
        (r"o1-(mini|preview)", "r"),
        (r"o3-mini", "tcfsr"),
        (r"(o1|o3|o4-mini)(-pro)?(-\d{4}-.*)?", "vtcfsr"),
        (r"gpt-[56](\.\d)?-?(mini|nano|sol|luna|terra|astra|codex.*|\d{4}-.*)?", "vtcfsr"),
        (r"gpt-[56](\.\d)?-pro", "vtcr"),
        (r"gpt-4\.1.*|gpt-4o-mini.*|gpt-4o(-2024-(08|11)-.*)?|chatgpt-4o-latest|gpt-4\.5-preview", "vtcfs"),
        (r"gpt-4-turbo.*|gpt-4o-2024-05-13", "vtcf"),
        (r"gpt-4(-\d{4})?|gpt-4-32k|gpt-3\.5-turbo(-16k|-0613|-1106|-0125)?", "tcf"),
        (r"gpt-oss-.*", "tcfr"),
    ),
    "anthropic": (
        (r"claude-3-7-sonnet.*|claude-(opus|sonnet)-4(-0|-2025.*)?", "vtcfr"),
        (r"claude-(opus-4-[1-9]|sonnet-4-[5-9]|haiku-4-[5-9]|[a-z]+-[5-9]).*", "vtcfsr"),
        (r"claude-3.*", "vtcf"),
    ),
    "google": (
        (r"gemini-(2\.5|[3-9](\.\d)?)-(pro|flash|flash-lite|argon)(-preview)?.*|gemini-pro", "vtcfr"),
        (r"gemini-(1\.5|2\.0)-.*|gemini-(pro|flash)-1\.5.*", "vtcf"),
        (r"gemma-4-.*", "vtcfr"),
    ),
    "deepseek": (
        (r"deepseek-(flash|v4-flash)", "vtcfr"),
        (r"deepseek-(v3\.[12].*|v4-pro)", "tcfr"),
        (r"deepseek-chat", "tcf"),
        (r"deepseek-reasoner", "fr"),
    ),
}
_SERVED: Mapping[str, str] = {"google": r"gemini-|gemma-", "anthropic": r"claude-(?!v1|2|instant)"}
"""Of a provider whose prices name models of others, too, or such as it serves no more: those that it can be asked."""


def can_be_asked(prices: str | None, name: str) -> bool:
    """Return whether a provider's own API serves a model that its prices name."""
    pattern = _SERVED.get(prices or "")
    return pattern is None or re.match(pattern, name) is not None


def find_capabilities(known: ProviderConfig, name: str, priced: Any | None) -> Flags:
    """Return what a model can do: the flags of `ModelInfo` that hold.

    Args:
        known: Its provider.
        name: Its name there.
        priced: Its entry in the price library; None: it has none.
    """
    rows = _TABLE.get(known.prices or "")
    if rows is None:
        return _of_mode(known.mode)
    letters = next((letters for pattern, letters in rows if re.fullmatch(pattern, name)), "")
    flags = {_LETTERS[letter]: True for letter in letters}
    return {**flags, "supports_prompt_caching": True} if _has_cached_price(priced) else flags


def takes_strict_forms(known: ProviderConfig, name: str) -> bool:
    """Return whether a provider may be told to hold a model to the form; of one that nobody knows it is tried."""
    if known.prices not in _TABLE:
        return True
    return find_capabilities(known, name, None).get("supports_strict_structured_output", False)


def _of_mode(mode: OutputMode) -> Flags:
    """Return what is known of the models of a provider that somebody has configured: how they are asked for a form."""
    letters = {OutputMode.TOOLS: "tcf", OutputMode.JSON_SCHEMA: "f", OutputMode.JSON: ""}[mode]
    return {_LETTERS[letter]: True for letter in letters}


def _has_cached_price(priced: Any | None) -> bool:
    prices = getattr(priced, "prices", None)
    rows = [getattr(row, "prices", row) for row in prices] if isinstance(prices, list) else [prices]
    return any(getattr(row, "cache_read_mtok", None) is not None for row in rows)
