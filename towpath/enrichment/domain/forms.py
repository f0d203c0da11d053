"""The JSON Schema that a model's answer must have, made from a schema's content."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from towpath.core.errors import BadInputError
from towpath.core.json_values import write_json
from towpath.core.texts import shorten
from towpath.enrichment.domain.content import Content, Path, resolve

MAX_DEPTH = 8
MAX_NODES = 5000
SMALL_ITEMS = 4
SMALL_TEXT = 160
MAX_EXAMPLES = 3
EXAMPLE_CHARACTERS = 100
SCALAR_WORDS = ("enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength", "const")
ARRAY_WORDS = ("minItems", "maxItems", "uniqueItems")

Form = dict[str, Any]
NOTHING_TO_ASK: Form = {}
"""Of an object of which every property is given."""


def answer_form(
    content: Content,
    *,
    keys: Sequence[str] | None = None,
    languages: Sequence[str] = ("en",),
    small: bool = False,
    without: Collection[Path] = (),
) -> Form:
    """Return the JSON Schema of an answer: self-contained, every property required, nothing besides.

    Args:
        content: The schema.
        keys: The properties of the root to ask for; None: all.
        languages: The keys of multilingual values.
        small: Bound arrays and texts, so that a small model comes to an end.
        without: Paths of properties that are given, and so are not asked for.
    """
    chosen = content["root"]["properties"]
    if keys is not None:
        chosen = {name: chosen[name] for name in keys}
    maker = _Maker(content, tuple(languages), small, iter(range(MAX_NODES)), frozenset(without))
    form = maker.make_object(chosen, 0, ())
    if content["root"].get("description"):
        form["description"] = str(content["root"]["description"])
    return form


@dataclass(frozen=True, slots=True)
class _Maker:
    content: Content
    languages: tuple[str, ...]
    small: bool
    left: Iterator[int]
    without: frozenset[Path]

    def make_object(self, chosen: Mapping[str, Any], depth: int, above: Path | None) -> Form:
        """Make the form of an object; `above` is its path, or None within a list."""
        properties: dict[str, Form] = {}
        for name, spec in chosen.items():
            path = None if above is None else (*above, name)
            if path not in self.without:
                properties[name] = self.make_property(spec, depth + 1, path)
        return make_closed_object({name: form for name, form in properties.items() if form != NOTHING_TO_ASK})

    def make_property(self, spec: Mapping[str, Any], depth: int, path: Path | None) -> Form:
        if depth > MAX_DEPTH:
            raise BadInputError(f"schema_content is nested deeper than {MAX_DEPTH}", field="schema_content")
        # A few definitions that each refer to the next several times are more than any memory once written out.
        if next(self.left, None) is None:
            raise BadInputError(
                f"schema_content: more than {MAX_NODES} properties with its references", field="schema_content"
            )
        resolved = resolve(spec, self.content)
        kind, nullable = _kind(resolved)
        if kind == "object" and isinstance(resolved.get("properties"), dict):
            form = self.make_object(resolved["properties"], depth, path)
            if len(form["properties"]) < len(resolved["properties"]):
                # A part of it is given: it is there.
                nullable = False
                if not form["properties"]:
                    return NOTHING_TO_ASK
        elif kind == "array":
            form = self.make_array(resolved, depth)
        elif resolved.get("multilingual"):
            form = make_closed_object({language: self.make_scalar("string", {}) for language in self.languages})
        else:
            form = self.make_scalar(kind, resolved)
        if text := _describe(resolved):
            form["description"] = text
        return _nullable(form) if nullable else form

    def make_array(self, resolved: Mapping[str, Any], depth: int) -> Form:
        form: Form = {
            "type": "array",
            "items": self.make_property(resolved.get("items", {"type": "string"}), depth + 1, None),
        }
        form.update({word: resolved[word] for word in ARRAY_WORDS if word in resolved})
        if self.small:
            form["maxItems"] = min(SMALL_ITEMS, resolved.get("maxItems", SMALL_ITEMS))
        return form

    def make_scalar(self, kind: str, resolved: Mapping[str, Any]) -> Form:
        form: Form = {"type": kind, **{word: resolved[word] for word in SCALAR_WORDS if word in resolved}}
        if self.small and kind == "string" and "enum" not in resolved:
            form["maxLength"] = min(SMALL_TEXT, resolved.get("maxLength", SMALL_TEXT))
        return form


def count_leaves(form: Mapping[str, Any]) -> int:
    """Return how many values an answer of a form has; an array counts three times its item."""
    if isinstance(form.get("properties"), dict):
        return sum(count_leaves(each) for each in form["properties"].values())
    if isinstance(form.get("items"), dict):
        return 3 * count_leaves(form["items"])
    return 1


def make_closed_object(properties: Mapping[str, Form]) -> Form:
    """Return an object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _describe(resolved: Mapping[str, Any]) -> str:
    """Return what a model is told of a property: its description, and examples of its values."""
    parts = [str(resolved["description"])] if resolved.get("description") else []
    examples = resolved.get("examples")
    if isinstance(examples, list) and examples:
        shown = ", ".join(shorten(write_json(value).decode(), EXAMPLE_CHARACTERS) for value in examples[:MAX_EXAMPLES])
        parts.append(f"For example: {shown}")
    return ". ".join(parts)


def _kind(resolved: Mapping[str, Any]) -> tuple[str, bool]:
    kind, nullable = resolved.get("type", "string"), bool(resolved.get("nullable"))
    if isinstance(kind, list):
        return next((each for each in kind if each != "null"), "string"), nullable or "null" in kind
    return str(kind), nullable


def _nullable(form: Form) -> Form:
    if "enum" in form:
        form = {**form, "enum": [*form["enum"], None]}
    return {**form, "type": [form["type"], "null"]}
