"""What is said of a value that is not valid: plain words in place of the validator's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from towpath.core.errors import ErrorCode
from towpath.core.names import EMAIL_FORM
from towpath.enrichment.bodies import LANGUAGE_FORM
from towpath.entities.types import INDEX_NAME_FORM
from towpath.llm.types import MODEL_KEY_FORM
from towpath.vectors.types import TASK_ID_FORM

UNKNOWN_FIELD = "unknown_field"
UNKNOWN_PARAMETER = "unknown_parameter"
UNKNOWN = frozenset({UNKNOWN_FIELD, UNKNOWN_PARAMETER, "extra_forbidden"})
SOURCES = frozenset({"body", "query", "path", "header", "cookie"})
FORMS = {
    EMAIL_FORM: "must be an e-mail address",
    INDEX_NAME_FORM: "must be 1 to 128 letters, digits, `_`, `-` or `.`",
    TASK_ID_FORM: "must be 1 to 128 letters, digits or `.`, `_`, `:`, `-`",
    MODEL_KEY_FORM: "must be a model key such as `openai::gpt-4o`",
    LANGUAGE_FORM: "must be a language code such as `en` or `pt-BR`",
}
"""What is asked for by each pattern that people meet."""
OBJECT = "must be an object"
WORDS = {
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "uuid_version": "must be a UUID",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "datetime_parsing": "must be a time such as 2026-05-04T12:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-05-04T12:00:00Z",
    "datetime_type": "must be a time such as 2026-05-04T12:00:00Z",
    "timezone_aware": "must be a time with its zone, such as 2026-05-04T12:00:00Z",
    "extra_forbidden": "unknown field",
}
BOUNDS = {
    "greater_than_equal": ("ge", "must be at least {}"),
    "greater_than": ("gt", "must be more than {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "less_than": ("lt", "must be less than {}"),
    "string_too_short": ("min_length", "must have at least {} characters"),
    "string_too_long": ("max_length", "must have at most {} characters"),
    "too_short": ("min_length", "must have at least {} items"),
    "too_long": ("max_length", "must have at most {} items"),
}
SECRET = re.compile("password|secret|token|key_value|invitation", re.IGNORECASE)
"""Fields whose values are not shown, not even to those who have sent them: answers are kept in logs."""
MEMBER = re.compile(r"<[\w.]+: ('[^']*')>")
FROM_PYDANTIC = re.compile(r"^(input|value|string|list|dictionary) should (be |have )?(a valid )?", re.IGNORECASE)


def describe_error(error: Mapping[str, Any]) -> str:
    """Return what is wrong with one value, without its name."""
    kind, facts = str(error["type"]), error.get("ctx") or {}
    if kind in WORDS:
        return WORDS[kind]
    if kind in BOUNDS:
        fact, words = BOUNDS[kind]
        bound = facts.get(fact)
        return "must not be empty" if bound == 1 and fact == "min_length" else words.format(bound)
    if kind in {"enum", "literal_error"}:
        return f"must be {MEMBER.sub(lambda match: match[1], str(facts.get('expected')))}"
    if kind == "string_pattern_mismatch":
        return FORMS.get(str(facts.get("pattern")), f"must have the form {facts.get('pattern')}")
    message = str(error["msg"]).removeprefix("Value error, ")
    message = FROM_PYDANTIC.sub(lambda match: f"must {match[2] or ''}", message)
    return message[:1].lower() + message[1:]


def summarize_errors(errors: Sequence[Any]) -> tuple[ErrorCode, str]:
    """Return a readable sentence for a list of validation errors, naming the first field that is wrong.

    A name that is not known comes first: that another one is missing may be just the other side of it.
    """
    first = next((error for error in errors if error["type"] in UNKNOWN), errors[0])
    kind, loc = str(first["type"]), list(first["loc"])
    where = loc[1:] if loc and loc[0] in SOURCES else loc
    if kind == "json_invalid":
        return (
            ErrorCode.INVALID_JSON,
            f"the body is not valid JSON: {first['ctx']['error']} at offset {first['loc'][-1]}",
        )
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    if kind == "missing":
        return ErrorCode.MISSING_FIELD, f"{path or 'the body'} is required"
    message, value = describe_error(first), first.get("input")
    if path:
        message = f"{path}: {message}"
    elif message.startswith("must "):
        message = f"the body {message}"
    is_shown = isinstance(value, str | int | float) and kind not in UNKNOWN and not SECRET.search(path)
    return ErrorCode.INVALID_VALUE, f"{message} (got {str(value)[:80]!r})" if is_shown else message
