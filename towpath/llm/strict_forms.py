"""Forms as providers take them that hold a model to one while it writes; what is left out is checked afterwards."""

from __future__ import annotations

from typing import Any

from towpath.llm.types import WireFormat

_COMMON = frozenset({"type", "properties", "required", "additionalProperties", "items", "enum", "const"})
_WORDING = frozenset({"title", "description"})
_WORDS = {
    WireFormat.OPENAI: _COMMON | _WORDING | {"pattern", "minimum", "maximum", "multipleOf", "minItems", "maxItems"},
    WireFormat.ANTHROPIC: _COMMON | _WORDING,
}
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})


def make_strict_form(form: dict[str, Any], api: WireFormat) -> dict[str, Any] | None:
    """Return a form in the words that a provider can enforce; None: an object in it names no properties.

    Args:
        form: A JSON Schema of an object in which every object names its properties and requires them.
        api: Whose words.
    """
    strict: dict[str, Any] = {}
    for word, value in form.items():
        if word == "properties":
            properties = {name: make_strict_form(each, api) for name, each in value.items()}
            if None in properties.values():
                return None
            strict[word] = properties
        elif word == "items":
            strict[word] = make_strict_form(value, api)
            if strict[word] is None:
                return None
        elif word in _WORDS[api] or (word == "format" and value in _FORMATS):
            strict[word] = value
    kinds = form.get("type", [])
    if "object" in ([kinds] if isinstance(kinds, str) else kinds):
        if "properties" not in strict:
            return None
        strict.update(required=list(strict["properties"]), additionalProperties=False)
    return strict
