"""What a person typed into a form of `review_form`: read back into fields, and into data with what is wrong in them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from jsonschema.exceptions import ValidationError

from towpath.api.console.review_form import (
    ABSENT,
    MAX_ROWS,
    FormMaker,
    Kind,
    Node,
    Nothing,
    Schema,
    join_pointer,
    list_choices,
    write_name,
)
from towpath.core.errors import BadInputError
from towpath.core.json_schema import UncheckableError, errors_of
from towpath.core.json_values import BadValueError, read_json
from towpath.extraction.domain.dates import parse_date
from towpath.extraction.domain.numbers import parse_number
from towpath.extraction.domain.values import resolve_schema

MAX_ERROR = 200
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
INTEGER = re.compile(r"[-+]?\d+")
MAX_DIGITS = 400


class TypedForm(FormMaker):
    """Makes the fields of a schema with what was typed into them.

    Args:
        schema: The user's.
        form: The fields that came.
    """

    def __init__(self, schema: Schema, form: Mapping[str, str]) -> None:
        super().__init__(schema)
        self._form = {name: value.replace("\r\n", "\n") for name, value in form.items()}

    def of_form(self) -> Node:
        """Make the form as it was sent."""
        return self._type_node("", resolve_schema(self.root, self.root), required=True, title="", depth=0)

    def _type_node(
        self, name: str, spec: Schema, *, required: bool, title: str, depth: int, removable: bool = False
    ) -> Node:
        self._fields += 1
        marker = self._form.get(f"{name}!", "")
        kind = Kind(marker) if marker in {Kind.JSON, Kind.TEXT} else self.kind_of(spec, ABSENT, depth)
        node = Node(
            name=name,
            title=str(spec.get("title") or title),
            kind=kind,
            help=str(spec.get("description") or ""),
            required=required,
            nothing=Nothing(marker) if marker in set(Nothing) else ABSENT,
            removable=removable,
            plain=marker == Kind.TEXT,
        )
        if kind is Kind.GROUP:
            self._type_group(node, spec, depth)
        elif kind is Kind.LIST:
            node.children = [self.make_row(node, spec, place, depth) for place in range(self._rows(name))]
        else:
            node.text = self._form.get(name, "")
            node.choices = list_choices(spec, node.text) if kind is Kind.CHOICE else []
        return node

    def _type_group(self, node: Node, spec: Schema, depth: int) -> None:
        needed = spec.get("required") or ()
        for key, definition in spec["properties"].items():
            node.children.append(
                self._type_node(
                    join_pointer(node.name, key), resolve_schema(definition, self.root),
                    required=key in needed, title=write_name(key), depth=depth + 1,
                )
            )  # fmt: skip
        more = f"{node.name}/!more"
        if more in self._form:
            node.children.append(Node(more, "Other values", Kind.JSON, text=self._form[more]))

    def make_row(self, node: Node, spec: Schema, place: int, depth: int) -> Node:
        """Make a row of a list as it was sent."""
        items = resolve_schema(spec.get("items") or {}, self.root)
        title = f"{node.title} {place + 1}"
        return self._type_node(
            f"{node.name}/{place}", items, required=False, title=title, depth=depth + 1, removable=True
        )  # fmt: skip

    def _rows(self, name: str) -> int:
        count = self._form.get(f"{name}#", "")
        return min(int(count), MAX_ROWS) if count.isdecimal() and len(count) < 6 else 0


def change_rows(form: Mapping[str, str], change: str) -> dict[str, str]:
    """Return a form with a row more (`add /lines`) or less (`drop /lines/1`); anything else changes nothing."""
    word, _, name = change.partition(" ")
    if word == "add" and f"{name}#" in form:
        return {**form, f"{name}#": str(_count(form, name) + 1), f"{name}!": Nothing.BLANK}
    listed, _, place = name.rpartition("/")
    if word == "drop" and place.isdecimal() and f"{listed}#" in form:
        return _without_row(form, listed, int(place))
    return dict(form)


def _count(form: Mapping[str, str], name: str) -> int:
    text = form[f"{name}#"]
    return min(int(text), MAX_ROWS - 1) if text.isdecimal() and len(text) < 6 else 0


def _without_row(form: Mapping[str, str], listed: str, place: int) -> dict[str, str]:
    remaining: dict[str, str] = {}
    for name, value in form.items():
        row = re.match(rf"{re.escape(listed)}/(\d+)(?=[/!#]|$)", name)
        number = int(row[1]) if row else -1
        if row is None or number < place:
            remaining[name] = value
        elif number > place:
            remaining[f"{listed}/{number - 1}{name[row.end() :]}"] = value
    return {**remaining, f"{listed}#": str(max(_count(form, listed) - 1, 0)), f"{listed}!": Nothing.BLANK}


def read_data(root: Node, schema: Schema) -> tuple[dict[str, Any], str]:
    """Read the data that a form says; what is wrong is written to its fields, see `list_wrong_fields`.

    Returns:
        The data, empty where a field cannot be read; and what is wrong with them that belongs to no field.
    """
    data = _value(root)
    if any(node.error for node in root.all()):
        return {}, ""
    whole = ""
    by_name = {node.name: node for node in root.all()}
    try:
        errors = errors_of(data, schema)
    except UncheckableError as error:
        return (data if isinstance(data, dict) else {}), f"{error.detail[:1].upper()}{error.detail[1:]}."
    for each in sorted(errors, key=lambda error: list(map(str, error.absolute_path))):
        for name, message in _places(each):
            node = _nearest(by_name, name)
            if node is None or not node.name:
                whole = whole or f"{name.lstrip('/') or 'The data'}: {message}"
            elif not node.error:
                node.error = message
    return (data if isinstance(data, dict) else {}), whole


def list_wrong_fields(root: Node) -> list[Node]:
    """Return the fields with something wrong, in order."""
    return [node for node in root.all() if node.error]


def _value(node: Node) -> Any:
    if node.kind is Kind.GROUP:
        return _group(node)
    if node.kind is Kind.LIST:
        rows = [value for value in map(_value, node.children) if value is not ABSENT]
        return _empty(node) if not node.children and node.nothing is not Nothing.BLANK else rows
    if not node.text.strip() and (node.kind is not Kind.TEXT or not node.text):
        return _empty(node)
    return _READERS.get(node.kind, _of_json)(node)


def _of_text(node: Node) -> Any:
    return node.text


def _day(node: Node) -> Any:
    day = parse_date(node.text)
    if day is not None:
        return day.isoformat()
    node.error = "This has to be one day, such as 2026-04-11."
    return ABSENT


def _of_json(node: Node) -> Any:
    try:
        return read_json(node.text.encode(), "this")
    except BadValueError as error:
        node.error = f"{error.detail[:1].upper()}{error.detail[1:]}."
        return ABSENT
    except BadInputError:
        node.error = "This is not JSON: a text stands between quotation marks."
        return ABSENT


def _group(node: Node) -> Any:
    values: dict[str, Any] = {}
    for child in node.children:
        value = _value(child)
        if child.name == f"{node.name}/!more":
            if isinstance(value, dict):
                values |= value
            elif value is not ABSENT:
                child.error = "This has to be an object: {…}."
        elif value is not ABSENT:
            key = child.name.removeprefix(f"{node.name}/").replace("~1", "/").replace("~0", "~")
            values[key] = value
    if values or not node.name or node.nothing is Nothing.BLANK:
        return values
    return _empty(node)


def _empty(node: Node) -> Any:
    if node.nothing is Nothing.NULL:
        return None
    return "" if node.nothing is Nothing.BLANK and node.kind in {Kind.TEXT, Kind.DATE} else ABSENT


def _number(node: Node) -> Any:
    number = _plain_number(node.text.strip())
    if number is None:
        node.error = (
            "This has to be one number, such as 1234.5: a point before the decimals, nothing between thousands."
        )
    elif node.kind is Kind.INTEGER and number != int(number):
        node.error = "This has to be a whole number, such as 42."
    else:
        return number
    return ABSENT


def _plain_number(text: str) -> int | float | None:
    """Read a number as JSON writes it, or as documents do where that can be read in one way only."""
    if len(text) > MAX_DIGITS:
        return None
    if INTEGER.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text):
        return float(text) if math.isfinite(float(text)) else None
    number = parse_number(text, ".")
    if number is None or number != parse_number(text, ","):
        return None
    return int(number) if number == number.to_integral_value() else float(number)


_READERS: dict[Kind, Callable[[Node], Any]] = {
    Kind.TEXT: _of_text,
    Kind.DATE: _day,
    Kind.INTEGER: _number,
    Kind.NUMBER: _number,
}


def _places(error: ValidationError) -> list[tuple[str, str]]:
    """Return where an error belongs, and how it is told."""
    name = ""
    for part in error.absolute_path:
        name = join_pointer(name, str(part))
    if error.validator == "required" and isinstance(error.instance, Mapping):
        needed = cast(Sequence[str], error.validator_value)
        return [(join_pointer(name, missing), "This is needed.") for missing in needed if missing not in error.instance]
    message = error.message if len(error.message) <= MAX_ERROR else f"{error.message[:MAX_ERROR]}…"
    return [(name, f"{message[:1].upper()}{message[1:]}.".replace("..", "."))]


def _nearest(by_name: Mapping[str, Node], name: str) -> Node | None:
    while name and name not in by_name:
        name = name.rpartition("/")[0]
    return by_name.get(name)
