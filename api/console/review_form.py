"""A form made of a JSON Schema and data: what each field is called, how it is typed, what stands in it.

Every field has a name that says its place: `/lines/0/price`. What a text alone cannot say stands beside it in a hidden
field named `<name>!`: `json` (any value, as JSON), `text` (a day that is none), `null` or `blank` (what an empty text
means), `off` (nothing there).
The number of a list's rows stands in `<name>#`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from towpath.extraction.domain.values import get_type, is_nullable, resolve_schema

MAX_DEPTH = 6
MAX_FIELDS = 3000
MAX_ROWS = 300
LONG_TEXT = 48
BRANCHES = ("anyOf", "oneOf", "allOf", "not", "if")

Schema = Mapping[str, Any]


class Kind(StrEnum):
    """How a value is shown and typed."""

    TEXT = "text"
    DATE = "date"
    NUMBER = "number"
    INTEGER = "integer"
    CHOICE = "choice"
    JSON = "json"
    GROUP = "group"
    LIST = "list"


class Nothing(StrEnum):
    """What it means that nothing is typed."""

    ABSENT = "off"
    NULL = "null"
    BLANK = "blank"


ABSENT = Nothing.ABSENT


@dataclass(slots=True)
class Node:
    """One field, or a group or a list of them.

    Attributes:
        name: Its place, as the form names it.
        title: What people call it.
        text: What stands in it.
        nothing: What it means when nothing stands in it.
        choices: Values to choose among, as JSON, with their words.
        error: What is wrong with what was typed.
        removable: Whether it is a row that can be taken out.
        plain: Whether it should hold a day and holds another text, which may stay.
    """

    name: str
    title: str
    kind: Kind
    text: str = ""
    help: str = ""
    required: bool = False
    nothing: Nothing = ABSENT
    choices: list[tuple[str, str]] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    error: str = ""
    removable: bool = False
    plain: bool = False

    @property
    def id(self) -> str:
        """Return its id on the page."""
        return "f" + quote(self.name, safe="/").replace("-", "--").replace("/", "-")

    @property
    def long(self) -> bool:
        """Return whether its text needs several lines."""
        return self.kind is Kind.JSON or len(self.text) > LONG_TEXT or "\n" in self.text

    @property
    def marker(self) -> str:
        """Return what has to stand beside its text; empty: nothing."""
        if self.kind is Kind.JSON:
            return Kind.JSON
        if self.plain:
            return Kind.TEXT
        return "" if self.nothing is ABSENT and self.kind not in {Kind.GROUP, Kind.LIST} else self.nothing

    def all(self) -> Iterator[Node]:
        """Return the node itself and everything within."""
        yield self
        for child in self.children:
            yield from child.all()

    def called(self, within: str = "") -> Iterator[tuple[Node, str]]:
        """Return the same, each with what it is called from the outside: `Lines 2, Price`."""
        name = f"{within}, {self.title}" if within and self.title else within or self.title
        yield self, name
        for child in self.children:
            yield from child.called("" if self.kind is Kind.LIST else name)


def write_name(name: str) -> str:
    """Write a property's name as people do: `noteNumber` and `note_number` become `Note number`."""
    spaced = "".join(f" {letter.lower()}" if _starts_word(name, place) else letter for place, letter in enumerate(name))
    words = " ".join(spaced.replace("_", " ").replace("-", " ").split())
    return words[:1].upper() + words[1:] or name


def _starts_word(name: str, place: int) -> bool:
    return place > 0 and name[place].isupper() and (name[place - 1].islower() or name[place - 1].isdigit())


class FormMaker:
    """Makes the fields of a schema.

    Args:
        schema: The user's; references within it are followed.
    """

    def __init__(self, schema: Schema) -> None:
        self.root = schema
        self._fields = 0

    def of_data(self, data: Mapping[str, Any]) -> Node:
        """Make a form with data in it."""
        self._fields = 0
        return self._node("", resolve_schema(self.root, self.root), data, required=True, title="", depth=0)

    def _node(
        self, name: str, spec: Schema, value: Any, *, required: bool, title: str, depth: int, removable: bool = False
    ) -> Node:
        self._fields += 1
        kind = self.kind_of(spec, value, depth)
        node = Node(
            name=name,
            title=str(spec.get("title") or title),
            kind=kind,
            help=str(spec.get("description") or ""),
            required=required,
            nothing=get_nothing(spec, value, kind, required=required),
            removable=removable,
            plain=kind is Kind.TEXT and spec.get("format") == "date" and bool(value),
        )
        if kind is Kind.GROUP:
            self._fill_group(node, spec, value, depth)
        elif kind is Kind.LIST:
            rows = value if isinstance(value, list) else []
            node.children = [self.row(node, spec, place, row, depth) for place, row in enumerate(rows)]
        else:
            node.text = write_text(value, kind)
            node.choices = list_choices(spec, node.text) if kind is Kind.CHOICE else []
        return node

    def _fill_group(self, node: Node, spec: Schema, value: Any, depth: int) -> None:
        data = value if isinstance(value, Mapping) else {}
        needed = spec.get("required") or ()
        for name, definition in spec["properties"].items():
            node.children.append(
                self._node(
                    join_pointer(node.name, name),
                    resolve_schema(definition, self.root),
                    data.get(name, ABSENT),
                    required=name in needed,
                    title=write_name(name),
                    depth=depth + 1,
                )
            )
        more = {name: each for name, each in data.items() if name not in spec["properties"]}
        if more:
            text = write_text(more, Kind.JSON)
            node.children.append(Node(f"{node.name}/!more", "Other values", Kind.JSON, text=text))

    def row(self, node: Node, spec: Schema, place: int, value: Any, depth: int) -> Node:
        """Make a row of a list."""
        items = resolve_schema(spec.get("items") or {}, self.root)
        name = f"{node.name}/{place}"
        title = f"{node.title} {place + 1}"
        return self._node(name, items, value, required=False, title=title, depth=depth + 1, removable=True)

    def kind_of(self, spec: Schema, value: Any, depth: int) -> Kind:
        """Return how a value is typed; as JSON where the schema does not say it plainly, or the value is other."""
        types = spec.get("type")
        several = isinstance(types, list) and len([name for name in types if name != "null"]) > 1
        if several or any(name in spec for name in BRANCHES) or self._fields > MAX_FIELDS:
            return Kind.JSON
        if "enum" in spec or "const" in spec:
            return Kind.CHOICE
        kind = _KINDS.get(get_type(spec), Kind.JSON)
        if kind in {Kind.GROUP, Kind.LIST}:
            return kind if depth < MAX_DEPTH and _fits_within(spec, value, kind) else Kind.JSON
        empty = value is ABSENT or value is None
        if not empty and not _is_of(value, kind):
            return Kind.JSON
        day = kind is Kind.TEXT and spec.get("format") == "date" and (empty or value == "" or _is_day(value))
        return Kind.DATE if day else kind


_KINDS = {
    "string": Kind.TEXT,
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
    "boolean": Kind.CHOICE,
    "object": Kind.GROUP,
    "array": Kind.LIST,
}


def join_pointer(name: str, key: str) -> str:
    """Write a property's name below another's as a JSON pointer."""
    return f"{name}/{key.replace('~', '~0').replace('/', '~1')}"


def _fits_within(spec: Schema, value: Any, kind: Kind) -> bool:
    empty = value is ABSENT or value is None
    if kind is Kind.GROUP:
        return isinstance(spec.get("properties"), Mapping) and (empty or isinstance(value, Mapping))
    listed = isinstance(value, list) and len(value) <= MAX_ROWS
    return isinstance(spec.get("items"), Mapping) and (empty or listed)


def _is_of(value: Any, kind: Kind) -> bool:
    if kind is Kind.CHOICE:
        return isinstance(value, bool)
    if kind in {Kind.INTEGER, Kind.NUMBER}:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (kind is Kind.NUMBER or value == int(value))
    return isinstance(value, str)


def _is_day(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def get_nothing(spec: Schema, value: Any, kind: Kind, *, required: bool) -> Nothing:
    """Return what an empty field of a value stands for: what it stood for before."""
    if value is None or (value is ABSENT and required and _may_be_null(spec)):
        return Nothing.NULL
    if value == "" and kind in {Kind.TEXT, Kind.DATE}:
        return Nothing.BLANK
    # An empty list or group is there, and stays.
    there = value is not ABSENT and value is not None
    return Nothing.BLANK if there and kind in {Kind.LIST, Kind.GROUP} else ABSENT


def _may_be_null(spec: Schema) -> bool:
    return is_nullable(spec) or None in (spec.get("enum") or ())


def write_value(value: Any) -> str:
    """Write a value on one line; whole numbers may have any length."""
    return json.dumps(value, ensure_ascii=False)


def write_text(value: Any, kind: Kind) -> str:
    """Write a value as it stands in a field."""
    if value is ABSENT or (value is None and kind is not Kind.JSON):
        return ""
    if kind is Kind.JSON:
        return json.dumps(value, ensure_ascii=False, indent=2)
    if kind in {Kind.TEXT, Kind.DATE}:
        return str(value)
    return write_value(value)


def list_choices(spec: Schema, text: str) -> list[tuple[str, str]]:
    """List the values to choose among; one that is there and not allowed is among them, so as not to be lost unseen."""
    values = [spec["const"]] if "const" in spec else spec.get("enum", [True, False])
    choices = [(write_value(value), _choice_words(value)) for value in values if value is not None]
    if text and text not in {value for value, _ in choices}:
        choices.append((text, f"{text} (not allowed)"))
    return choices


def _choice_words(value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return value if isinstance(value, str) else write_value(value)
