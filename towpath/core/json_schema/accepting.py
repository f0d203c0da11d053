"""Whether a schema from outside is taken: every place of it that could lead out of it, never end or run away."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from towpath.core.errors import BadInputError, TooLargeError
from towpath.core.json_schema.checking import UncheckableError, meta_errors_of
from towpath.core.json_schema.patterns import BadPatternError, compile_pattern

MAX_SCHEMAS = 40_000
MAX_LEVELS = 60
MAX_INSTRUCTIONS = 1_000_000
"""Of all patterns of a schema together; compiling them takes about a third of a second."""
SINGLE = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
LISTS = frozenset({"allOf", "anyOf", "items", "oneOf", "prefixItems"})
NAMED = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"})
# What applies to the same value: a way round through these alone never ends.
IN_PLACE = frozenset({"allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"})
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
NAMES = ("$anchor", "$dynamicAnchor")
DRAFT = re.compile(r"https?://json-schema\.org/(draft/(2019-09|2020-12)|draft-0[3467])/schema#?")
ANCHOR = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")
MAX_QUOTED = 80

Node = Mapping[str, Any]


def check_schema(schema: Mapping[str, Any], *, field: str) -> None:
    """Refuse a schema that breaks the rules of draft 2020-12, leads out of itself, never ends or cannot be run.

    Args:
        schema: As the client sent it.
        field: What it is called in messages.

    Raises:
        BadInputError: With the place of the keyword.
        TooLargeError: It holds too many schemas.
    """
    check_references(schema, field=field)
    try:
        errors = meta_errors_of(dict(schema))
    except UncheckableError as error:
        raise BadInputError(f"{field}: too large, or nested too deeply, to be checked", field=field) from error
    for each in errors:
        path = "".join(f".{part}" for part in each.absolute_path)
        raise BadInputError(f"{field}{path}: no JSON Schema: {each.message}"[:300], field=f"{field}{path}"[:200])


def check_references(schema: Mapping[str, Any], *, field: str) -> None:
    """Refuse what `check_schema` refuses, but for the rules of the draft: the schema may have words of its own.

    Words of JSON Schema that are names of properties, or stand in `enum`, `const`, `default` or `examples`, are data.

    Raises:
        BadInputError: With the place of the keyword.
        TooLargeError: It holds too many schemas.
    """
    _Look(schema, field).all()


class _Look:
    """Goes through all places where a schema stands, references followed."""

    def __init__(self, root: Node, field: str) -> None:
        self._root, self._field = root, field
        self._paths: dict[int, str] = {}
        self._nodes: dict[int, Node] = {}
        self._next: dict[int, list[int]] = {}
        self._anchors: dict[str, Node] = {}
        self._references: list[tuple[Node, str, str]] = []
        self._instructions = 0

    def all(self) -> None:
        self._visit(self._root, self._field, 0)
        visited = 0
        while visited < len(self._references):
            node, word, target = self._references[visited]
            visited += 1
            path = f"{self._paths[id(node)]}.{word}"
            referenced = self._resolve(target, path)
            if isinstance(referenced, Mapping):
                # What stands at a place where no schema would be looked for is one by this.
                self._visit(referenced, f"{self._field}{target[1:].replace('/', '.')}", 0)
                self._next[id(node)].append(id(referenced))
            elif not isinstance(referenced, bool):
                raise self._bad(path, f"{target[:MAX_QUOTED]!r} leads to no schema")
        self._assert_ends()

    def _visit(self, node: Node, path: str, level: int) -> None:
        if id(node) in self._paths:
            return
        if level > MAX_LEVELS:
            raise self._bad(path, "nested too deeply")
        if len(self._paths) >= MAX_SCHEMAS:
            raise TooLargeError(f"{self._field}: more than {MAX_SCHEMAS:,} schemas")
        self._paths[id(node)], self._nodes[id(node)], self._next[id(node)] = path[:1000], node, []
        self._keywords(node, path)
        for word, below, inner in _inside(node):
            if isinstance(inner, Mapping):
                self._visit(inner, f"{path}.{below}", level + 1)
                if word in IN_PLACE:
                    self._next[id(node)].append(id(inner))

    def _keywords(self, node: Node, path: str) -> None:
        for word in REFERENCES:
            if word in node:
                target = node[word]
                if not isinstance(target, str) or not target.startswith("#"):
                    raise self._bad(f"{path}.{word}", f"{_show(target)} leads out of the schema; nothing is fetched")
                self._references.append((node, word, target))
        self._names(node, path)
        if isinstance(node.get("pattern"), str):
            self._pattern(node["pattern"], f"{path}.pattern")
        if isinstance(node.get("patternProperties"), Mapping):
            for pattern in node["patternProperties"]:
                self._pattern(pattern, f"{path}.patternProperties")

    def _names(self, node: Node, path: str) -> None:
        if node.get("$id", "#") not in {"", "#"}:
            reason = "is a name beyond the schema, which is none here: leave it out"
            raise self._bad(f"{path}.$id", f"{_show(node['$id'])} {reason}")
        if "$schema" in node and not (isinstance(node["$schema"], str) and DRAFT.fullmatch(node["$schema"])):
            raise self._bad(f"{path}.$schema", f"{_show(node['$schema'])} is no known draft of JSON Schema")
        if node.get("$vocabulary"):
            raise self._bad(f"{path}.$vocabulary", "vocabularies are not taken")
        for word in NAMES:
            if word not in node:
                continue
            name = node[word]
            if not isinstance(name, str) or not ANCHOR.fullmatch(name):
                raise self._bad(f"{path}.{word}", f"{_show(name)} is no name within the schema")
            if self._anchors.setdefault(name, node) is not node:
                raise self._bad(f"{path}.{word}", f"{name[:MAX_QUOTED]!r} names two places")

    def _pattern(self, pattern: str, path: str) -> None:
        try:
            self._instructions += compile_pattern(pattern).size
        except BadPatternError as error:
            raise self._bad(path, f"{pattern[:MAX_QUOTED]!r} cannot be run: {error}") from error
        if self._instructions > MAX_INSTRUCTIONS:
            raise self._bad(path, "the patterns of the schema are too large together")

    def _resolve(self, target: str, path: str) -> Any:
        """Return what a local reference leads to, by the rules of JSON pointers."""
        pointer = unquote(target[1:])
        if pointer and not pointer.startswith("/"):
            if pointer not in self._anchors:
                raise self._bad(path, f"{target[:MAX_QUOTED]!r} leads nowhere")
            return self._anchors[pointer]
        node: Any = self._root
        for part in pointer.split("/")[1:]:
            try:
                node = node[int(part)] if isinstance(node, list) else node[part.replace("~1", "/").replace("~0", "~")]
            except (LookupError, ValueError, TypeError) as error:
                raise self._bad(path, f"{target[:MAX_QUOTED]!r} leads nowhere") from error
        return node

    def _assert_ends(self) -> None:
        """Refuse a way from a schema to itself on which no value gets smaller."""
        finished: set[int] = set()
        for start in self._next:
            if start in finished:
                continue
            way, on_way = [(start, iter(self._next[start]))], {start}
            while way:
                here, successors = way[-1]
                following = next(successors, None)
                if following is None:
                    finished.add(here)
                    on_way.discard(here)
                    way.pop()
                elif following in on_way:
                    raise self._bad(self._paths[here], "refers to itself without end")
                elif following not in finished:
                    way.append((following, iter(self._next[following])))
                    on_way.add(following)

    def _bad(self, path: str, reason: str) -> BadInputError:
        return BadInputError(f"{path[:200]}: {reason}", field=path[:200])


def _inside(node: Node) -> Iterator[tuple[str, str, Any]]:
    """The schemas within a schema: keyword, place below the schema, and what stands there."""
    for word, value in node.items():
        if word in NAMED and isinstance(value, Mapping):
            yield from ((word, f"{word}.{name}", inner) for name, inner in value.items())
        elif word in LISTS and isinstance(value, list):
            yield from ((word, f"{word}.{number}", inner) for number, inner in enumerate(value))
        elif word in SINGLE:
            yield word, word, value


def _show(value: Any) -> str:
    return repr(value if isinstance(value, str | int | float | bool) else type(value).__name__)[:MAX_QUOTED]
