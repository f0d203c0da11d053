"""The search's filters as SQL: constant text and parameters, so that no name or value is ever part of it."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from towpath.vectors.domain.filters import Equals, Every, Exists, Field, Node, Not, Range, Some, Wildcard, Words

Condition = tuple[str, list[Any]]
COLUMNS = {
    "object_id": "to_jsonb(o.object_id)",
    "created_at": """to_jsonb(to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))""",
    "updated_at": """to_jsonb(to_char(o.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))""",
}
OPERATORS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<", "eq": "="}
# In lax mode a value that is no list is a list of itself.
ELEMENTS = "EXISTS (SELECT 1 FROM jsonb_path_query({value}, '$[*]') AS each (one) WHERE {condition})"


def value_of(field: Field) -> Condition:
    """Return the field as a jsonb expression of a row `o` of `vector_objects`."""
    if field.column:
        return COLUMNS[field.name], []
    if "." in field.name:
        # The name may hold the dot itself.
        return "coalesce(o.payload -> %s, o.payload #> %s)", [field.name, field.name.split(".")]
    return "o.payload -> %s", [field.name]


def compile_filter(node: Node) -> Condition:
    """Return a condition on a row `o` of `vector_objects`, with its parameters."""
    match node:
        case Every(nodes):
            condition = _join(nodes, " AND ", "true")
        case Some(nodes):
            condition = _join(nodes, " OR ", "false")
        case Not(inner):
            text, values = compile_filter(inner)
            condition = f"NOT coalesce(({text}), false)", values
        case Equals():
            condition = _equals(node.field, node.value)
        case Words():
            condition = _words(node)
        case Wildcard(field, pattern):
            value, values = value_of(field)
            condition = ELEMENTS.format(value=value, condition="(one #>> '{}') LIKE %s"), [*values, _like(pattern)]
        case Exists(field):
            value, values = value_of(field)
            condition = f"coalesce(({value}) <> 'null'::jsonb, false)", values
        case Range():
            condition = _range(node)
    return condition


def _words(node: Words) -> Condition:
    words = "phraseto_tsquery('simple', %s)"
    if not node.phrase:
        words = "replace(plainto_tsquery('simple', %s)::text, ' & ', ' | ')::tsquery"
    value, values = value_of(node.field)
    return f"to_tsvector('simple', ({value}) #>> '{{}}') @@ {words}", [*values, node.text]


def _join(nodes: tuple[Node, ...], word: str, empty: str) -> Condition:
    if not nodes:
        return empty, []
    parts = [compile_filter(node) for node in nodes]
    return "(" + word.join(text for text, _ in parts) + ")", [value for _, values in parts for value in values]


def _equals(field: Field, value: Any) -> Condition:
    if value is None:
        text, values = compile_filter(Exists(field))
        return f"NOT {text}", values
    expression, values = value_of(field)
    if field.column or "." in field.name:
        # A list contains a scalar, and a scalar itself.
        return f"({expression}) @> %s", [*values, Jsonb(value)]
    # In this form the index over payloads can answer.
    return "(o.payload @> %s OR o.payload @> %s)", [Jsonb({field.name: value}), Jsonb({field.name: [value]})]


def _range(node: Range) -> Condition:
    value, values = value_of(node.field)
    numeric = not isinstance(node.bounds[0][1], str)
    element = "(one #>> '{}')::numeric" if numeric else "(one #>> '{}') COLLATE \"C\""
    bounds = " AND ".join(f"{element} {OPERATORS[key]} %s" for key, _ in node.bounds)
    kind = "number" if numeric else "string"
    # Only a CASE is sure to look at the type before it casts.
    condition = f"CASE jsonb_typeof(one) WHEN '{kind}' THEN {bounds} ELSE false END"
    return ELEMENTS.format(value=value, condition=condition), [*values, *(bound for _, bound in node.bounds)]


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
