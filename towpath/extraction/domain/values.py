"""Texts -> values of the types that a JSON Schema names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from rapidfuzz import fuzz
from rapidfuzz.utils import default_process

from towpath.extraction.domain.dates import parse_date, parse_datetime
from towpath.extraction.domain.numbers import DecimalMark, parse_number

TRUE = frozenset({"yes", "true", "y", "x", "on", "checked", "ja", "wahr", "oui", "vrai", "si", "sí", "sì", *"✓✔☑☒"})
FALSE = frozenset({"no", "false", "n", "off", "unchecked", "nein", "falsch", "non", "faux", "nee", "☐"})
NOTHING_SAID = frozenset({"", "-", "–", "—", "n/a", "n.a.", "na", "none", "null", "nil", "not applicable", "k.a."})
# How alike a text and a choice must be, and how much more than the next choice.
CHOICE = 90.0
CHOICE_LEAD = 5.0
MAX_DEPTH = 8
MAIL = re.compile(r"^[^\s@]{1,64}@[^\s@.]+(\.[^\s@.]+)+$")
ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]*://\S+$", re.IGNORECASE)

Schema = Mapping[str, Any]


class Missing(Enum):
    """No value; apart from null, which is one."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


def resolve_schema(schema: Any, root: Schema) -> Schema:
    """Resolve the references and wrappings of a schema: `$ref` within the document, one branch beside null.

    Several branches stay as they are; what is no schema is an empty one.
    """
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, Mapping):
            return {}
        target = schema.get("$ref")
        branches = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(target, str):
            referenced = _follow_pointer(target, root)
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**referenced, **beside} if isinstance(referenced, Mapping) else {}
        elif isinstance(branches, list):
            real = [each for each in branches if not (isinstance(each, Mapping) and each.get("type") == "null")]
            if len(real) != 1 or not isinstance(real[0], Mapping):
                return schema
            named = {key: value for key, value in schema.items() if key not in {"anyOf", "oneOf"}}
            schema = {**real[0], **named, "nullable": is_nullable(schema) or is_nullable(real[0])}
        else:
            return schema
    return {}


def get_type(schema: Schema) -> str:
    """Return the one type that is not null; `string` when none is named."""
    types = schema.get("type")
    if isinstance(types, list):
        types = next((each for each in types if each != "null"), "null")
    if isinstance(types, str):
        return types
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def is_nullable(schema: Schema) -> bool:
    """Return whether null is a value too."""
    types = schema.get("type")
    branches = schema.get("anyOf") or schema.get("oneOf") or []
    return (
        schema.get("nullable") is True
        or types == "null"
        or (isinstance(types, list) and "null" in types)
        or any(isinstance(each, Mapping) and each.get("type") == "null" for each in branches)
    )


def coerce_text(text: str, schema: Schema, mark: DecimalMark | None = None) -> Any:
    """Return the value that a text states for a resolved schema of a scalar; `MISSING`: it states none.

    Args:
        mark: What parts decimals in the document.
    """
    text = text.strip()
    if text.lower() in NOTHING_SAID:
        return None if is_nullable(schema) else MISSING
    branches = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(branches, list):
        values = (coerce_text(text, branch, mark) for branch in branches if isinstance(branch, Mapping))
        return next((value for value in values if value is not MISSING and value is not None), MISSING)
    if "const" in schema:
        return _choose(text, [schema["const"]])
    if isinstance(schema.get("enum"), list):
        return _choose(text, schema["enum"])
    return _of_type(text, schema, mark)


def _of_type(text: str, schema: Schema, mark: DecimalMark | None) -> Any:
    kind = get_type(schema)
    if kind in {"integer", "number"}:
        return _number(text, kind, schema, mark)
    if kind == "boolean":
        word = text.lower().strip(" .[]") or text
        return True if word in TRUE else False if word in FALSE else MISSING
    if kind == "string":
        return _string(text, schema)
    return MISSING


def _number(text: str, kind: str, schema: Schema, mark: DecimalMark | None) -> Any:
    number = parse_number(text, mark)
    if number is None:
        return MISSING
    whole = number == number.to_integral_value()
    if kind == "integer" and not whole:
        # 1.234 is no integer, and then its mark is one of thousands.
        number = parse_number(text, "," if "." in text else ".")
        if number is None or number != number.to_integral_value():
            return MISSING
        whole = True
    for word, fits in (("minimum", Decimal.__ge__), ("maximum", Decimal.__le__)):
        bound = schema.get(word)
        if isinstance(bound, (int, float)) and not fits(number, Decimal(str(bound))):
            return MISSING
    return int(number) if kind == "integer" else float(number)


def _string(text: str, schema: Schema) -> Any:
    form = schema.get("format")
    if form == "date":
        day = parse_date(text)
        return MISSING if day is None else day.isoformat()
    if form == "date-time":
        moment = parse_datetime(text)
        return MISSING if moment is None else moment.isoformat()
    if form == "email" and not MAIL.match(text):
        return MISSING
    if form in {"uri", "url"} and not ADDRESS.match(text):
        return MISSING
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if isinstance(longest, int) and len(text) > longest:
        return MISSING
    return MISSING if isinstance(shortest, int) and len(text) < shortest else text


def _choose(text: str, choices: list[Any]) -> Any:
    """Return the choice that a text names, exactly or as good as."""
    normalized = default_process(text.replace("_", " "))
    scored = sorted(
        ((fuzz.ratio(normalized, default_process(str(choice).replace("_", " "))), place)
         for place, choice in enumerate(choices) if choice is not None),
        reverse=True,
    )  # fmt: skip
    if not scored or scored[0][0] < CHOICE:
        return MISSING
    if len(scored) > 1 and scored[0][0] - scored[1][0] < CHOICE_LEAD:
        return MISSING
    return choices[scored[0][1]]


def _follow_pointer(target: str, root: Schema) -> Any:
    if not target.startswith("#"):
        return {}
    node: Any = root
    for name in filter(None, target[1:].split("/")):
        if not isinstance(node, Mapping):
            return {}
        node = node.get(name.replace("~1", "/").replace("~0", "~"))
    return node
