"""A user's JSON Schema: whether it can be used, what a model is asked with it, and what is made of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from towpath.core import json_schema
from towpath.core.errors import BadInputError, TooLargeError
from towpath.core.json_values import write_json
from towpath.extraction.domain.values import get_type, is_nullable, resolve_schema
from towpath.extraction.types import MAX_SCHEMA_BYTES, Change

MAX_PROPERTIES = 500
MAX_DEPTH = 8
MAX_NODES = 2000


def check_schema(schema: Mapping[str, Any], *, field: str = "schema") -> None:
    """Refuse a schema that nothing can be extracted by.

    Raises:
        BadInputError: No JSON Schema of an object with properties, or one that leads out of itself, never ends, or has
            a pattern that cannot be run.
        TooLargeError: Beyond 64 KiB.
    """
    if len(write_json(schema)) > MAX_SCHEMA_BYTES:
        raise TooLargeError(f"{field} is larger than {MAX_SCHEMA_BYTES} bytes")
    _assert_shallow(schema, field, 0)
    json_schema.check_schema(schema, field=field)
    root = resolve_schema(schema, schema)
    properties = root.get("properties")
    if get_type(root) != "object" or not isinstance(properties, Mapping) or not properties:
        raise BadInputError(f"{field}: an object with properties is needed", field=field)
    if len(properties) > MAX_PROPERTIES:
        raise BadInputError(f"{field}: at most {MAX_PROPERTIES} properties", field=field)
    build_answer_schema(schema)


def _assert_shallow(node: Any, field: str, depth: int) -> None:
    if depth > MAX_DEPTH * 3:
        raise BadInputError(f"{field}: nested too deeply", field=field)
    for value in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        _assert_shallow(value, field, depth + 1)


def build_answer_schema(schema: Mapping[str, Any], only: Sequence[str] | None = None) -> dict[str, Any]:
    """Build the schema of a model's answer: the same properties, but none that it would have to make up.

    Args:
        schema: The user's.
        only: Some of its properties; None: all.
    """
    return _Form(schema).of(resolve_schema(schema, schema), only, 0)


class _Form:
    """Walks through a schema; one that refers to itself is followed to a depth, and not for ever."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def of(self, node: Mapping[str, Any], only: Sequence[str] | None, depth: int) -> dict[str, Any]:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise BadInputError("schema: too many properties, or it refers to itself too often", field="schema")
        kind = get_type(node)
        texts = {name: node[name] for name in ("title", "description", "format") if name in node}
        if kind == "object" and isinstance(node.get("properties"), Mapping) and depth < MAX_DEPTH:
            properties = {
                name: self.of(resolve_schema(definition, self._root), None, depth + 1)
                for name, definition in node["properties"].items()
                if only is None or name in only
            }
            return {**texts, "type": ["object", "null"] if depth else "object", "properties": properties}
        if kind == "array" and depth < MAX_DEPTH:
            items = self.of(resolve_schema(node.get("items") or {}, self._root), None, depth + 1)
            return {**texts, "type": ["array", "null"], "items": items}
        if "enum" in node:
            return {**texts, "enum": [*(choice for choice in node["enum"] if choice is not None), None]}
        simple = kind if kind in {"string", "integer", "number", "boolean"} else "string"
        return {**texts, "type": [simple, "null"]}


def drop_nulls(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Drop what an answer leaves empty, but where the schema itself allows null."""
    spec = resolve_schema(schema, root)
    if isinstance(value, Mapping):
        properties = spec.get("properties") or {}
        filled = {}
        for name, each in value.items():
            definition = properties.get(name, {})
            if each is None and not is_nullable(resolve_schema(definition, root)):
                continue
            filled[name] = drop_nulls(each, definition, root)
        return filled
    if isinstance(value, list):
        items = spec.get("items") or {}
        return [drop_nulls(each, items, root) for each in value if each is not None]
    return value


def find_missing(data: Any, schema: Mapping[str, Any], root: Mapping[str, Any], path: str = "") -> list[str]:
    """Find the places of what the schema requires and the data do not have."""
    spec = resolve_schema(schema, root)
    if isinstance(data, Mapping):
        required = spec.get("required")
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        missing = [f"{path}{name}" for name in names if name not in data]
        properties = spec.get("properties") or {}
        for name, each in data.items():
            missing += find_missing(each, properties.get(name, {}), root, f"{path}{name}.")
        return missing
    if isinstance(data, list):
        items, place = spec.get("items") or {}, path.removesuffix(".")
        return [
            missing_path
            for at, each in enumerate(data)
            for missing_path in find_missing(each, items, root, f"{place}[{at}].")
        ]
    return []


def find_problems(data: Any, schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Find what is wrong with data by their schema: places with sentences.

    Raises:
        UncheckableError: The schema does not allow to say it.
    """
    errors = json_schema.errors_of(data, schema)
    return [
        (_path(list(error.absolute_path)) or "annotatedData", error.message[:300])
        for error in sorted(errors, key=lambda error: [str(part) for part in error.absolute_path])
    ]


def find_changes(before: Any, after: Any, path: tuple[str | int, ...] = ()) -> list[Change]:
    """Find what a correction changes, each with its place."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        changes: list[Change] = []
        for name in [*before, *(added for added in after if added not in before)]:
            changes += find_changes(before.get(name), after.get(name), (*path, name))
        return changes
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        changes = []
        for place, (left, right) in enumerate(zip(before, after, strict=True)):
            changes += find_changes(left, right, (*path, place))
        return changes
    if before == after and type(before) is type(after):
        return []
    return [Change.model_validate({"path": _path(path), "from": before, "to": after})]


def _path(parts: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def merge_answers(first: Any, second: Any) -> Any:
    """Merge two parts' answers: what the first leaves open the second fills, lists follow each other."""
    if first is None:
        return second
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        names = [*first, *(name for name in second if name not in first)]
        return {name: merge_answers(first.get(name), second.get(name)) for name in names}
    if isinstance(first, list) and isinstance(second, list):
        return [*first, *second]
    return first
