"""A schema's content: what is valid, what its flags say, and the JSON Schema that an answer must have.

Content is `{root, expertise_domains, $defs, $enums}`. A property is a JSON Schema with flags: `identifying`,
`preserve`, `multilingual`, `nullable`, `expertise`. A plain JSON Schema object is wrapped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from towpath.core import json_schema
from towpath.core.errors import BadInputError, TooLargeError
from towpath.core.json_values import write_json
from towpath.enrichment.domain.content import GENERAL, Content, resolve
from towpath.enrichment.domain.forms import MAX_DEPTH, answer_form

TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object"})
FLAGS = ("identifying", "preserve", "multilingual", "nullable")
MAX_PROPERTIES = 500
MAX_BYTES = 256 << 10


def read_content(raw: Any) -> Content:
    """Check a schema's content and give it its full form.

    Args:
        raw: The content as in the API, or a plain JSON Schema object.

    Raises:
        BadInputError: It is not a schema of objects, or leads out of itself; the message names the place.
        TooLargeError: Beyond 256 KiB.
    """
    if not isinstance(raw, dict):
        raise BadInputError("schema_content must be an object", field="schema_content")
    if len(write_json(raw)) > MAX_BYTES:
        raise TooLargeError(f"the schema is larger than {MAX_BYTES} bytes")
    content = _whole(raw)
    for count, (path, spec) in enumerate(_walk(content["root"]["properties"], "root.properties"), start=1):
        if count > MAX_PROPERTIES or path.count(".properties.") > MAX_DEPTH:
            raise _bad_input(f"more than {MAX_PROPERTIES} properties, or deeper than {MAX_DEPTH}", path)
        _check_property(spec, path, content)
    _check_json_schema(content)
    return content


def _whole(raw: dict[str, Any]) -> Content:
    content = deepcopy(raw) if "root" in raw else _wrap(raw)
    root = content.get("root")
    if not isinstance(root, dict) or not isinstance(root.get("properties"), dict) or not root["properties"]:
        raise _bad_input("root.properties must be an object with at least one property", "root.properties")
    root.setdefault("type", "object")
    if root["type"] != "object":
        raise _bad_input("root.type must be object", "root.type")
    for name in ("expertise_domains", "$defs", "$enums"):
        if content.setdefault(name, {}) is None:
            content[name] = {}
        if not isinstance(content[name], dict):
            raise _bad_input(f"{name} must be an object", name)
    check_keywords(content)
    if "root" not in raw:
        for name in ("$schema", "$id"):
            root.pop(name, None)
    return content


def check_keywords(content: Content) -> None:
    """Refuse content with references out of it or patterns that cannot be run; also such as was saved long ago.

    Raises:
        BadInputError: With the place of the keyword.
    """
    places = dict.fromkeys(("$defs", "definitions"), content["$defs"])
    # A list of values stands for a schema here.
    enums: dict[str, Any] = {name: {} for name in content["$enums"]}
    try:
        json_schema.check_references({**content["root"], **places, "$enums": enums}, field="schema_content.root")
    except BadInputError as error:
        detail, field = (
            text.replace("schema_content.root.$defs", "schema_content.$defs", 1)
            for text in (error.detail, error.field or "")
        )
        raise BadInputError(detail, field=field) from error


def _wrap(raw: dict[str, Any]) -> Content:
    if not isinstance(raw.get("properties"), dict):
        raise _bad_input("needs a root, or the properties of a JSON Schema object", "root")
    root = {key: deepcopy(value) for key, value in raw.items() if key not in {"$defs", "definitions"}}
    root["name"] = raw.get("title") or raw.get("name") or "Entity"
    required = set(raw.get("required") or ())
    for name, spec in root["properties"].items():
        if isinstance(spec, dict):
            kinds = spec.get("type")
            if isinstance(kinds, list):
                spec["nullable"] = "null" in kinds
                spec["type"] = next((kind for kind in kinds if kind != "null"), "string")
            elif name not in required:
                spec.setdefault("nullable", True)
    return {"root": root, "$defs": {**raw.get("definitions", {}), **raw.get("$defs", {})}}


def _walk(properties: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, spec in properties.items():
        place = f"{path}.{name}"
        yield place, spec
        if isinstance(spec, dict):
            nested = spec.get("properties")
            if isinstance(nested, dict):
                yield from _walk(nested, f"{place}.properties")
            items = spec.get("items")
            if isinstance(items, dict) and isinstance(items.get("properties"), dict):
                yield from _walk(items["properties"], f"{place}.items.properties")


def _check_property(spec: Any, path: str, content: Content) -> None:
    if not isinstance(spec, dict):
        raise _bad_input("must be an object", path)
    if "$ref" in spec:
        resolve(spec, content)
        return
    kind = _check_type(spec, path)
    _check_flags(spec, path, content)
    if spec.get("multilingual") and kind != "string":
        raise _bad_input("only strings are multilingual", f"{path}.multilingual")
    if kind == "array" and not isinstance(spec.setdefault("items", {"type": "string"}), dict):
        raise _bad_input("items must be an object", f"{path}.items")


def _check_type(spec: dict[str, Any], path: str) -> str:
    kind = spec.get("type")
    if kind is None and isinstance(spec.get("enum"), list):
        spec["type"] = kind = "string" if all(isinstance(value, str) for value in spec["enum"]) else "number"
    if not isinstance(kind, str) or kind not in TYPES:
        raise _bad_input(f"type must be one of {', '.join(sorted(TYPES))}, not {kind!r}", f"{path}.type")
    return kind


def _check_flags(spec: dict[str, Any], path: str, content: Content) -> None:
    for flag in FLAGS:
        if not isinstance(spec.get(flag, False), bool):
            raise _bad_input(f"{flag} must be true or false", f"{path}.{flag}")
    expertise = spec.get("expertise")
    if expertise is not None and not isinstance(expertise, str):
        raise _bad_input("expertise must name a domain", f"{path}.expertise")
    if expertise and expertise != GENERAL and expertise not in content["expertise_domains"]:
        raise _bad_input(f"expertise {expertise!r} is not in expertise_domains", f"{path}.expertise")


def _check_json_schema(content: Content) -> None:
    json_schema.check_schema(answer_form(content), field="schema_content")


def _bad_input(message: str, path: str) -> BadInputError:
    return BadInputError(f"schema_content.{path}: {message}", field=f"schema_content.{path}")
