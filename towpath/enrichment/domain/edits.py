"""Changes to a schema by an instruction: plain ones are read by rules, others by a model, all are applied by code."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from towpath.core.errors import BadInputError
from towpath.enrichment.domain.content import Content
from towpath.enrichment.domain.drafts import humanise
from towpath.enrichment.domain.forms import make_closed_object
from towpath.enrichment.domain.schema import FLAGS, TYPES, read_content
from towpath.llm.marks import MATERIAL, enclose_in_marks, escape_marks
from towpath.llm.types import Prompt

MAX_EDITS = 20
SOURCE_CHARACTERS = 20_000


class Operation(StrEnum):
    """What one edit does."""

    ADD = "add"
    REMOVE = "remove"
    RENAME = "rename"
    SET_TYPE = "set_type"
    SET_FLAG = "set_flag"
    CLEAR_FLAG = "clear_flag"
    DESCRIBE = "describe"


class Edit(BaseModel):
    """One change of one property of the root."""

    operation: Operation
    field: str
    new_name: str | None = None
    type: str | None = None
    flag: str | None = None
    description: str | None = None


WORD_TYPES = {
    "text": "string", "string": "string", "number": "number", "decimal": "number", "integer": "integer",
    "whole number": "integer", "count": "integer", "boolean": "boolean", "bool": "boolean", "list": "array",
    "array": "array", "date": "date", "url": "uri", "link": "uri", "email": "email",
}  # fmt: skip
WORD_FLAGS = {
    "nullable": "nullable", "optional": "nullable", "identifying": "identifying", "preserved": "preserve",
    "preserve": "preserve", "multilingual": "multilingual", "translated": "multilingual",
}  # fmt: skip
TYPE_WORDS = "|".join(sorted(WORD_TYPES, key=len, reverse=True))
FLAG_WORDS = "|".join(WORD_FLAGS)
LEAD = r"(?:please )?"
WORD = r"(?!(?:to|of|for|with|that|which|if|when|from)\b)[\w.\-]+"
NAME = (
    r"(?:the |a |an )?(?:field |property |column )?[\"'`]?"
    rf"(?P<name>{WORD}(?: {WORD}){{0,4}}?)[\"'`]?(?: field| property| column)?"
)
AS_TYPE = rf"(?: (?:as|of type)(?: an?)? (?P<type>{TYPE_WORDS}))?(?: \((?P<kind>{TYPE_WORDS})\))?"
MAKE = rf"{LEAD}(?:make|mark|set|change|turn)"
CLAUSES: tuple[tuple[Operation, re.Pattern[str]], ...] = tuple(
    (operation, re.compile(pattern, re.IGNORECASE))
    for operation, pattern in (
        (Operation.RENAME, rf"{LEAD}rename {NAME} (?:to|as|into) [\"'`]?(?P<new>{WORD}(?: {WORD}){{0,4}}?)[\"'`]?"),
        (Operation.REMOVE, rf"{LEAD}(?:remove|delete|drop) {NAME}"),
        (Operation.CLEAR_FLAG, rf"{MAKE} {NAME} (?:as |to )?(?:not |non-?)(?P<flag>{FLAG_WORDS})"),
        (Operation.CLEAR_FLAG, rf"{MAKE} {NAME} (?:as |to )?(?P<required>required|mandatory)"),
        (Operation.SET_FLAG, rf"{MAKE} {NAME} (?:as |to )?(?P<flag>{FLAG_WORDS})"),
        (Operation.SET_TYPE, rf"{MAKE} {NAME} (?:(?:in)?to |as )?(?:an? )?(?P<type>{TYPE_WORDS})"),
        (Operation.ADD, rf"{LEAD}add {NAME}{AS_TYPE}"),
    )
)  # fmt: skip


def read_instruction(text: str) -> list[Edit] | None:
    """Return the edits that a plainly worded instruction asks for.

    Returns:
        None: A part of it is not understood, so a model must read it.
    """
    clauses = [clause.strip(" .!") for clause in re.split(r"[;\n]|,? (?:and|then) (?=[a-z])|\. ", text.strip())]
    edits: list[Edit] = []
    verb = ""
    for clause in clauses:
        if not clause:
            continue
        edit = _read_clause(clause) or (_read_clause(f"{verb} {clause}") if verb else None)
        if edit is None:
            return None
        edits.append(edit)
        verb = "add" if edit.operation is Operation.ADD else "remove" if edit.operation is Operation.REMOVE else ""
    return edits or None


def _read_clause(clause: str) -> Edit | None:
    for operation, pattern in CLAUSES:
        if match := pattern.fullmatch(clause):
            parts = match.groupdict()
            word = parts.get("type") or parts.get("kind")
            flag = parts.get("flag")
            return Edit(
                operation=operation,
                field=parts["name"].strip(),
                new_name=parts.get("new"),
                type=WORD_TYPES[word.lower()] if word else None,
                flag="nullable" if parts.get("required") else (WORD_FLAGS[flag.lower()] if flag else None),
            )
    return None


def edit_prompt(content: Content, instruction: str, sources: Sequence[str] = ()) -> Prompt:
    """Asks a model for the edits that an instruction means."""
    text = {"type": "string", "maxLength": 120}
    optional = {"type": ["string", "null"], "maxLength": 160}
    edit = make_closed_object(
        {
            "operation": {"type": "string", "enum": list(Operation)},
            "field": {**text, "description": "The field that is changed, or the new field's name in snake_case."},
            "new_name": {**optional, "description": "For rename."},
            "type": {"type": ["string", "null"], "enum": [*sorted(TYPES), None]},
            "flag": {"type": ["string", "null"], "enum": [*FLAGS, None]},
            "description": {**optional, "description": "For add and describe: one short phrase."},
        }
    )
    form = make_closed_object({"edits": {"type": "array", "items": edit, "minItems": 1, "maxItems": MAX_EDITS}})
    fields = "\n".join(
        f"- {name}: {spec.get('type', 'object')}" for name, spec in content["root"]["properties"].items()
    )
    extra = "".join(f"\nSource:\n{enclose_in_marks(source[:SOURCE_CHARACTERS])}" for source in sources)
    question = escape_marks(f"Fields of {content['root'].get('name')}:\n{fields}\nInstruction: {instruction}")
    system = "You change the schema of a record by small edits."
    return Prompt(
        system=f"{system} {MATERIAL}" if sources else system,
        user=f"{question}{extra}",
        form=form,
        most_tokens=2000,
    )


def apply_edits(content: Content, edits: Sequence[Edit]) -> tuple[Content, list[str], list[str]]:
    """Apply edits one by one; one that cannot be is told, not forced.

    Returns:
        The new content, the names of properties that were added, and what was not done and why.

    Raises:
        BadInputError: Nothing could be done, or nothing would be left.
    """
    changed = deepcopy(content)
    properties: dict[str, Any] = changed["root"]["properties"]
    added: list[str] = []
    refused: list[str] = []
    for edit in edits:
        problem = _apply(properties, edit, added)
        if problem:
            refused.append(problem)
    if len(refused) == len(edits):
        raise BadInputError("the instruction changes nothing: " + "; ".join(refused), field="prompt")
    return read_content(changed), [name for name in added if name in properties], refused


def _apply(properties: dict[str, Any], edit: Edit, added: list[str]) -> str | None:
    """Apply one edit; answers why it cannot be."""
    name = _find(properties, edit.field)
    if edit.operation is Operation.ADD:
        return _add(properties, edit, name, added)
    if name is None:
        return f"there is no field {edit.field}"
    change = CHANGES[edit.operation]
    return change(properties, name, edit)


def _remove(properties: dict[str, Any], name: str, edit: Edit) -> str | None:
    if len(properties) == 1:
        return f"{name} is the last field"
    del properties[name]
    return None


def _set_type(properties: dict[str, Any], name: str, edit: Edit) -> str | None:
    if edit.type is None:
        return f"no type is named for {name}"
    lasting = {key: value for key, value in properties[name].items() if key in {"description", "expertise", *FLAGS}}
    properties[name] = {**lasting, **_type(edit.type)}
    return None


def _set_flag(properties: dict[str, Any], name: str, edit: Edit) -> str | None:
    if edit.flag not in FLAGS:
        return f"no flag is named for {name}"
    properties[name][edit.flag] = edit.operation is Operation.SET_FLAG
    return None


def _describe(properties: dict[str, Any], name: str, edit: Edit) -> str | None:
    if not edit.description:
        return f"no description is given for {name}"
    properties[name]["description"] = edit.description
    return None


def _add(properties: dict[str, Any], edit: Edit, existing: str | None, added: list[str]) -> str | None:
    if existing is not None:
        return f"there is a field {existing} already"
    name = to_snake_case(edit.field)
    if not name:
        return f"{edit.field!r} is no name"
    properties[name] = {
        **_type(edit.type or "string"),
        "nullable": True,
        "description": edit.description or humanise(name),
    }
    added.append(name)
    return None


def _rename(properties: dict[str, Any], name: str, edit: Edit) -> str | None:
    new = to_snake_case(edit.new_name or "")
    if not new or (new in properties and new != name):
        return f"{name} cannot be called {edit.new_name!r}"
    items = [(new if key == name else key, value) for key, value in properties.items()]
    properties.clear()
    properties.update(items)
    return None


CHANGES: dict[Operation, Callable[[dict[str, Any], str, Edit], str | None]] = {
    Operation.REMOVE: _remove,
    Operation.RENAME: _rename,
    Operation.SET_TYPE: _set_type,
    Operation.SET_FLAG: _set_flag,
    Operation.CLEAR_FLAG: _set_flag,
    Operation.DESCRIBE: _describe,
}


def _type(word: str) -> dict[str, Any]:
    if word in {"date", "uri", "email"}:
        return {"type": "string", "format": word}
    if word == "array":
        return {"type": "array", "items": {"type": "string"}}
    if word == "object":
        return {"type": "object"}
    return {"type": word}


def _find(properties: dict[str, Any], field: str) -> str | None:
    snake_name = to_snake_case(field)
    return next((name for name in properties if name == field or to_snake_case(name) == snake_name), None)


def to_snake_case(text: str) -> str:
    """Return a name in snake_case: `head office city` becomes `head_office_city`."""
    return re.sub(r"[^\w]+", "_", humanise(text)).strip("_").lower()
