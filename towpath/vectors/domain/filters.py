"""The filter language of the search, read into a tree; `stores/vectors/filters.py` makes SQL of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from towpath.core.errors import BadInputError

COLUMNS = frozenset({"object_id", "created_at", "updated_at"})
MAX_LEAVES = 1000
MAX_DEPTH = 20
MAX_FIELD = 512
RANGE_KEYS = ("gte", "gt", "lte", "lt", "eq")
GROUPS = ("must", "should", "filter", "must_not")


@dataclass(frozen=True, slots=True)
class Field:
    """A member of the payload, dotted when it lies deeper, or a column."""

    name: str
    column: bool = False


@dataclass(frozen=True, slots=True)
class Equals:
    """The value is this one; for a list: one of its elements is."""

    field: Field
    value: Any


@dataclass(frozen=True, slots=True)
class Words:
    """A text holds one of the words, or with `phrase` all of them in this order."""

    field: Field
    text: str
    phrase: bool


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A text is like the pattern: `*` for any run of characters, `?` for one."""

    field: Field
    pattern: str


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there and not null."""

    field: Field


@dataclass(frozen=True, slots=True)
class Range:
    """The value lies between bounds; numbers with numbers, texts (ISO times too) with texts."""

    field: Field
    bounds: tuple[tuple[str, int | float | str], ...]


@dataclass(frozen=True, slots=True)
class Every:
    """All of these hold; true when there is none."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of these holds; false when there is none."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """This does not hold."""

    node: Node


Node = Equals | Words | Wildcard | Exists | Range | Every | Some | Not


def parse_filter(filter_body: dict[str, Any]) -> Node:
    """Read a filter.

    Args:
        filter_body: `{"query": Q}`, or a plain map of fields.

    Raises:
        BadInputError: It cannot be understood; `field` is the path of what is wrong.
    """
    reader = _Reader()
    if set(filter_body) == {"query"} and isinstance(filter_body["query"], dict):
        return reader.query(filter_body["query"], "filter.query", 0)
    return reader.plain(filter_body, "filter", 0)


class _Reader:
    def __init__(self) -> None:
        self._leaves = 0
        self._forms: dict[str, Callable[[dict[str, Any], str], Node]] = {
            "match": self._match,
            "term": self._term,
            "terms": self._any,
            "any": self._any,
            "all": self._all,
            "match_phrase": self._phrase,
            "wildcard": self._wildcard,
        }

    def query(self, q: Any, where: str, depth: int) -> Node:
        """Read one Q of the language."""
        q = _object(q, where)
        _bound(depth, where)
        named = [name for name in self._forms if name in q]
        if len(named) == 1 and set(q) <= {named[0], "force_not_payload"}:
            leaf = {"force_not_payload": q.get("force_not_payload", False)} | _object(
                q[named[0]], f"{where}.{named[0]}"
            )
            return self._leaf(self._forms[named[0]], leaf, f"{where}.{named[0]}")
        if "field" in q and set(q) <= {"field", "range", "force_not_payload"}:
            return self._leaf(self._range if "range" in q else self._exists, q, where)
        if q and set(q) <= set(GROUPS):
            return self._group(q, where, depth)
        if not q:
            return Every(())
        raise BadInputError(
            f"{where} must be one of match, term, terms, match_phrase, wildcard, any, all, field with or without"
            " range, or a combination of must, should, filter, must_not",
            field=where,
        )

    def _group(self, q: dict[str, Any], where: str, depth: int) -> Node:
        lists = {
            name: tuple(
                self.query(nested, f"{where}.{name}[{index}]", depth + 1)
                for index, nested in enumerate(_list(q[name], f"{where}.{name}"))
            )
            for name in GROUPS
            if q.get(name) is not None
        }
        nodes: list[Node] = [*lists.get("must", ()), *lists.get("filter", ())]
        if lists.get("should"):
            nodes.append(Some(lists["should"]))
        nodes += [Not(node) for node in lists.get("must_not", ())]
        return Every(tuple(nodes))

    def _leaf(self, form: Callable[[dict[str, Any], str], Node], leaf: dict[str, Any], where: str) -> Node:
        self._leaves += 1
        if self._leaves > MAX_LEAVES:
            raise BadInputError(f"a filter may have {MAX_LEAVES} conditions", field=where)
        return form(leaf, where)

    def _match(self, leaf: dict[str, Any], where: str) -> Node:
        value = _value(leaf, where)
        field = _field(leaf, where)
        # A number or an id has no words: it is matched whole.
        return Equals(field, value) if not isinstance(value, str) or field.column else Words(field, value, phrase=False)

    def _term(self, leaf: dict[str, Any], where: str) -> Node:
        return Equals(_field(leaf, where), _value(leaf, where))

    def _values(self, leaf: dict[str, Any], where: str) -> tuple[Node, ...]:
        field = _field(leaf, where)
        values = _list(leaf.get("values"), f"{where}.values")
        self._leaves += len(values)
        return tuple(Equals(field, _scalar(value, f"{where}.values[{i}]")) for i, value in enumerate(values))

    def _any(self, leaf: dict[str, Any], where: str) -> Node:
        return Some(self._values(leaf, where))

    def _all(self, leaf: dict[str, Any], where: str) -> Node:
        return Every(self._values(leaf, where))

    def _phrase(self, leaf: dict[str, Any], where: str) -> Node:
        return Words(_field(leaf, where), _text(_value(leaf, where), f"{where}.value"), phrase=True)

    def _wildcard(self, leaf: dict[str, Any], where: str) -> Node:
        return Wildcard(_field(leaf, where), _text(_value(leaf, where), f"{where}.value"))

    def _exists(self, leaf: dict[str, Any], where: str) -> Node:
        return Exists(_field(leaf, where))

    def _range(self, leaf: dict[str, Any], where: str) -> Node:
        bounds = _object(leaf["range"], f"{where}.range")
        return _bounds(_field(leaf, where), bounds, RANGE_KEYS, f"{where}.range")

    def plain(self, members: dict[str, Any], where: str, depth: int) -> Node:
        """Read a plain map: every member must hold."""
        _bound(depth, where)
        return Every(tuple(self._member(name, value, f"{where}.{name}", depth) for name, value in members.items()))

    def _member(self, name: str, value: Any, where: str, depth: int) -> Node:
        if name in {"$and", "$or"}:
            nodes = tuple(
                self.plain(_object(item, f"{where}[{index}]"), f"{where}[{index}]", depth + 1)
                for index, item in enumerate(_list(value, where))
            )
            return Every(nodes) if name == "$and" else Some(nodes)
        if name == "$not":
            return Not(self.plain(_object(value, where), where, depth + 1))
        field = _make_field(name, where, column=False)
        self._leaves += 1
        if isinstance(value, list):
            return Some(tuple(Equals(field, _scalar(item, f"{where}[{index}]")) for index, item in enumerate(value)))
        if not isinstance(value, dict):
            return Equals(field, value)
        return Every(tuple(self._operator(field, key, item, f"{where}.{key}") for key, item in value.items()))

    def _operator(self, field: Field, operator: str, value: Any, where: str) -> Node:
        match operator:
            case "$eq":
                return Equals(field, _scalar(value, where))
            case "$ne":
                return Not(Equals(field, _scalar(value, where)))
            case "$in" | "$nin":
                values = enumerate(_list(value, where))
                some = Some(tuple(Equals(field, _scalar(item, f"{where}[{index}]")) for index, item in values))
                return some if operator == "$in" else Not(some)
            case "$exists":
                return Exists(field) if value else Not(Exists(field))
            case "$gte" | "$gt" | "$lte" | "$lt":
                return _bounds(field, {operator[1:]: value}, RANGE_KEYS, where)
            case _:
                raise BadInputError(f"{where}: the operator {operator} is not known", field=where)


def _bounds(field: Field, members: dict[str, Any], keys: tuple[str, ...], where: str) -> Node:
    unknown = set(members) - set(keys)
    if unknown:
        raise BadInputError(f"{where} may have {', '.join(keys)}, not {min(unknown)}", field=f"{where}.{min(unknown)}")
    bounds = {key: value for key, value in members.items() if value is not None}
    for key, value in bounds.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise BadInputError(f"{where}.{key} must be a number or a text", field=f"{where}.{key}")
    if not bounds:
        raise BadInputError(f"{where} needs one of {', '.join(keys)}", field=where)
    if len({isinstance(value, str) for value in bounds.values()}) > 1:
        raise BadInputError(f"{where} mixes numbers with texts", field=where)
    return Range(field, tuple(sorted(bounds.items())))


def _bound(depth: int, where: str) -> None:
    if depth > MAX_DEPTH:
        raise BadInputError(f"a filter may be {MAX_DEPTH} levels deep", field=where)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInputError(f"{where} must be an object", field=where)
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadInputError(f"{where} must be a list", field=where)
    if len(value) > MAX_LEAVES:
        raise BadInputError(f"{where} may have {MAX_LEAVES} entries", field=where)
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BadInputError(f"{where} must be a text", field=where)
    return value


def _scalar(value: Any, where: str) -> Any:
    if isinstance(value, dict | list):
        raise BadInputError(f"{where} must be a text, a number, true, false or null", field=where)
    if isinstance(value, str) and "\0" in value:
        raise BadInputError(f"{where} holds a NUL character", field=where)
    return value


def _value(leaf: dict[str, Any], where: str) -> Any:
    if "value" not in leaf:
        raise BadInputError(f"{where}.value is required", field=f"{where}.value")
    return _scalar(leaf["value"], f"{where}.value")


def _field(leaf: dict[str, Any], where: str) -> Field:
    name = leaf.get("field")
    if not isinstance(name, str):
        raise BadInputError(f"{where}.field is required", field=f"{where}.field")
    return _make_field(name, f"{where}.field", column=bool(leaf.get("force_not_payload")))


def _make_field(name: str, where: str, *, column: bool) -> Field:
    if not name or len(name) > MAX_FIELD or "\0" in name:
        raise BadInputError(f"{where} must be a name of 1 to {MAX_FIELD} characters", field=where)
    if column and name not in COLUMNS:
        raise BadInputError(
            f"{where}: with force_not_payload it must be one of {', '.join(sorted(COLUMNS))}", field=where
        )
    return Field(name, column)


def sort_field(name: str, *, column: bool) -> Field:
    """Return the field of a `sort_by`.

    Raises:
        BadInputError: No such column.
    """
    return _make_field(name, "sort_by.field", column=column)
