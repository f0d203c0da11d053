"""The JSON Schema that a model's answer must have, made from a schema's content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from towpath.core.errors import BadInputError
from towpath.enrichment.domain.content import Content, resolve

MAX_DEPTH = 8
MAX_NODES = 5000
SMALL_ITEMS = 4
SMALL_TEXT = 160
SCALAR_WORDS = ("enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength", "const")
ARRAY_WORDS = ("minItems", "maxItems", "uniqueItems")

Form = dict[str, Any]


def answer_form(
    content: Content,
    *,
    keys: Sequence[str] | None = None,
    languages: Sequence[str] = ("en",),
    small: bool = False,
) -> Form:
    """The JSON Schema of an answer: self-contained, every property required, nothing besides.

    Args:
        content: The schema.
        keys: The properties of the root to ask for; None: all.
        languages: The keys of multilingual values.
        small: Bound arrays and texts, so that a small model comes to an end.
    """
    chosen = content["root"]["properties"]
    if keys is not None:
        chosen = {name: chosen[name] for name in keys}
    made = _Maker(content, tuple(languages), small, iter(range(MAX_NODES))).an_object(chosen, 0)
    if content["root"].get("description"):
        made["description"] = str(content["root"]["description"])
    return made


@dataclass(frozen=True, slots=True)
class _Maker:
    content: Content
    languages: tuple[str, ...]
    small: bool
    left: Iterator[int]

    def an_object(self, chosen: Mapping[str, Any], depth: int) -> Form:
        return closed({name: self.a_property(spec, depth + 1) for name, spec in chosen.items()})

    def a_property(self, spec: Mapping[str, Any], depth: int) -> Form:
        if depth > MAX_DEPTH:
            raise BadInputError(f"schema_content is nested deeper than {MAX_DEPTH}", field="schema_content")
        # A few definitions that each refer to the next several times are more than any memory once written out.
        if next(self.left, None) is None:
            raise BadInputError(
                f"schema_content: more than {MAX_NODES} properties with its references", field="schema_content"
            )
        found = resolve(spec, self.content)
        kind, nullable = _kind(found)
        if kind == "object" and isinstance(found.get("properties"), dict):
            made = self.an_object(found["properties"], depth)
        elif kind == "array":
            made = self.an_array(found, depth)
        elif found.get("multilingual"):
            made = closed({language: self.a_scalar("string", {}) for language in self.languages})
        else:
            made = self.a_scalar(kind, found)
        if found.get("description"):
            made["description"] = str(found["description"])
        return _nullable(made) if nullable else made

    def an_array(self, found: Mapping[str, Any], depth: int) -> Form:
        made: Form = {"type": "array", "items": self.a_property(found.get("items", {"type": "string"}), depth + 1)}
        made.update({word: found[word] for word in ARRAY_WORDS if word in found})
        if self.small:
            made["maxItems"] = min(SMALL_ITEMS, found.get("maxItems", SMALL_ITEMS))
        return made

    def a_scalar(self, kind: str, found: Mapping[str, Any]) -> Form:
        made: Form = {"type": kind, **{word: found[word] for word in SCALAR_WORDS if word in found}}
        if self.small and kind == "string" and "enum" not in found:
            made["maxLength"] = min(SMALL_TEXT, found.get("maxLength", SMALL_TEXT))
        return made


def closed(properties: Mapping[str, Form]) -> Form:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _kind(found: Mapping[str, Any]) -> tuple[str, bool]:
    kind, nullable = found.get("type", "string"), bool(found.get("nullable"))
    if isinstance(kind, list):
        return next((each for each in kind if each != "null"), "string"), nullable or "null" in kind
    return str(kind), nullable


def _nullable(form: Form) -> Form:
    if "enum" in form:
        form = {**form, "enum": [*form["enum"], None]}
    return {**form, "type": [form["type"], "null"]}
