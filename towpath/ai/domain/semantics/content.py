"""Reads a semantic model: YAML or JSON, with every error at its place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from towpath.ai.domain.semantics.expressions import check_aggregate, check_scalar
from towpath.ai.semantic_types import Aggregate, Content, Relationship, Topic, View
from towpath.core.errors import BadInputError, NotFoundError, TooLargeError
from towpath.core.json_values import assert_text, write_json

MAX_BYTES = 256 << 10
MAX_VALUES = 50_000
MAX_LEVELS = 40
"""A model has about ten; each takes several frames of what follows."""
MAX_SHOWN = 200
SYSTEM = frozenset({"information_schema", "pg_catalog", "pg_toast", "pg_temp"})
"""Namespaces of the database system itself that no user's are named like; all else the database's own list refuses."""


MAX_DIGITS = 400
INTEGER = re.compile(r"^(?:[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+)$")
FLOAT = re.compile(
    r"^(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)


class _Loader(yaml.CSafeLoader):
    """YAML as version 1.2 has it, where `on` is a word, and a date stays as it was written."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        # A number on the base of 60, as version 1.1 has them, takes the square of its length.
        kind = node.tag.rpartition(":")[2]
        if kind in {"int", "float"} and (":" in str(node.value) or len(node.value) > MAX_DIGITS):
            problem = f"the text cannot be read as {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        try:
            return super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except Exception as error:
            # What a tag asks for cannot be made of the text; the library has no error of its own for it.
            problem = f"the text cannot be read as {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


_Loader.yaml_implicit_resolvers = {
    first: [
        resolver
        for resolver in resolvers
        if resolver[0].rpartition(":")[2] not in {"bool", "timestamp", "int", "float"}
    ]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def parse_model(source: str | Mapping[str, Any], *, field: str = "content", bounded: bool = True) -> dict[str, Any]:
    """Parse a model's text into an object, not yet checked: it may be a part that is laid over another model.

    Args:
        source: YAML (of which JSON is a part), or the object itself.
        field: What errors begin with.
        bounded: Whether it is what a client has sent; a whole model is made of several, and of all tables there are.

    Raises:
        BadInputError: It is no YAML, no object, or holds what JSON has no form for.
        TooLargeError: Beyond 256 KiB, or 50,000 values of YAML.
    """
    if isinstance(source, str):
        _assert_size(len(source.encode("utf-8", "surrogatepass")), field)
        try:
            _check_events(source, field)
            source = yaml.load(source, _Loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            problem = getattr(error, "problem", None) or "it cannot be read"
            raise BadInputError(f"{field}: no valid YAML{place}: {problem}"[:500], field=field) from error
    if not isinstance(source, Mapping):
        raise BadInputError(f"{field}: an object with views is needed", field=field)
    _assert_plain(source, field, 0)
    if bounded:
        _assert_size(len(write_json(source)), field)
    return dict(source)


def _assert_size(size: int, field: str) -> None:
    if size > MAX_BYTES:
        raise TooLargeError(f"{field}: {size:,} bytes; a model's text has at most {MAX_BYTES:,}", field=field)


def _check_events(text: str, field: str) -> None:
    """Refuse what becomes much more once it is put together, which libyaml does without asking.

    Raises:
        TooLargeError: More values than any model has.
        YAMLError: No YAML, an alias, or nested too deeply.
    """
    levels = values = 0
    for event in yaml.parse(text, _Loader):
        mark: Any = event.start_mark
        # A few lines of aliases of aliases become more than any memory once something walks through them.
        if isinstance(event, yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not taken", mark)
        values += isinstance(event, yaml.NodeEvent)
        levels += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if levels > MAX_LEVELS:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark)
        if values > MAX_VALUES:
            raise TooLargeError(f"{field}: more than {MAX_VALUES:,} values", field=field)


def _assert_plain(value: object, place: str, level: int) -> None:
    """Refuse what has no place in JSON: YAML also knows bytes, sets, dates, and names that are no text."""
    place = place[:MAX_SHOWN]
    if level > MAX_LEVELS:
        raise BadInputError(f"{place}: nested too deeply", field=place)
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not isinstance(name, str):
                raise BadInputError(f"{place}: the name {str(name)[:80]!r} is no text", field=place)
            assert_text(name, f"a name in {place}")
            _assert_plain(item, f"{place}.{name}", level + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _assert_plain(item, f"{place}.{number}", level + 1)
    else:
        _assert_scalar(value, place)


def _assert_scalar(value: object, place: str) -> None:
    if isinstance(value, str):
        assert_text(value, place)
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadInputError(f"{place}: {value} is no number", field=place)
    elif isinstance(value, int) and value.bit_length() > 63:
        raise BadInputError(f"{place}: a number of more than 64 bits", field=place)
    elif value is not None and not isinstance(value, bool | int | float):
        raise BadInputError(f"{place}: a {type(value).__name__} is not taken", field=place)


def read_model(source: str | Mapping[str, Any], *, field: str = "content") -> Content:
    """Read a whole model from a file's text or from an object.

    Args:
        source: As for `parse_model`.
        field: What errors begin with.

    Raises:
        BadInputError: With the place of the first mistake.
    """
    try:
        content = Content.model_validate(parse_model(source, field=field, bounded=isinstance(source, str)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join([field, *(str(step) for step in first["loc"] if step != "[key]")])
        raise BadInputError(f"{place}: {first['msg']}", field=place) from error
    _check(content, field)
    return content


def _check(content: Content, field: str) -> None:
    for name, view in content.views.items():
        _check_view(view, f"{field}.views.{name}")
    for place, relationship in enumerate(content.relationships):
        _check_relationship(content, relationship, f"{field}.relationships.{place}")
    for name, topic in content.topics.items():
        _check_topic(content, topic, f"{field}.topics.{name}")


def _check_view(view: View, place: str) -> None:
    if SYSTEM & {part.lower() for part in view.table.split(".")[:-1]}:
        raise BadInputError(f"{place}.table: {view.table} is the database system's own", field=f"{place}.table")
    for name, dimension in view.dimensions.items():
        if dimension.sql is not None:
            check_scalar(dimension.sql, f"{place}.dimensions.{name}.sql")
    for name, measure in view.measures.items():
        at = f"{place}.measures.{name}"
        if measure.sql is not None:
            check = check_aggregate if measure.aggregate is Aggregate.EXPRESSION else check_scalar
            check(measure.sql, f"{at}.sql")
        if measure.where is not None:
            if measure.aggregate is Aggregate.EXPRESSION:
                raise BadInputError(f"{at}.where: an expression brings its own conditions", field=f"{at}.where")
            check_scalar(measure.where, f"{at}.where")


def _check_relationship(content: Content, relationship: Relationship, place: str) -> None:
    for side, name in (("from", relationship.from_), ("to", relationship.to)):
        if name not in content.views:
            raise BadInputError(f"{place}.{side}: no view {name}", field=f"{place}.{side}")
    if relationship.from_ == relationship.to:
        raise BadInputError(f"{place}: a view cannot lead to itself", field=place)
    for left, right in relationship.on.items():
        for view, dimension in ((relationship.from_, left), (relationship.to, right)):
            if dimension not in content.views[view].dimensions:
                raise BadInputError(f"{place}.on: the view {view} has no dimension {dimension}", field=f"{place}.on")


def _check_topic(content: Content, topic: Topic, place: str) -> None:
    if topic.base_view not in content.views:
        raise BadInputError(f"{place}.base_view: no view {topic.base_view}", field=f"{place}.base_view")
    reached = find_paths(content, topic.base_view)
    for name in topic.views or ():
        if name not in reached:
            raise BadInputError(f"{place}.views: {topic.base_view} does not lead to {name}", field=f"{place}.views")


def find_paths(content: Content, base: str) -> dict[str, list[Relationship]]:
    """Find the views that a view leads to without multiplying its rows, each by the shortest way; itself by none."""
    paths: dict[str, list[Relationship]] = {base: []}
    waiting = [base]
    while waiting:
        here = waiting.pop(0)
        for relationship in content.relationships:
            following = None
            if relationship.from_ == here:
                following = relationship.to
            elif relationship.type == "one_to_one" and relationship.to == here:
                following = relationship.from_
            if following is not None and following not in paths:
                paths[following] = [*paths[here], relationship]
                waiting.append(following)
    return paths


def get_topic(content: Content, name: str) -> Topic:
    """Return a topic by its name.

    Raises:
        NotFoundError: The model has none of the name.
    """
    if name not in content.topics:
        raise NotFoundError(f"no topic {name}")
    return content.topics[name]


def list_views(content: Content, topic: Topic) -> dict[str, list[Relationship]]:
    """List the views of a topic, each with the way to it."""
    reached = find_paths(content, topic.base_view)
    if topic.views is None:
        return reached
    chosen = {topic.base_view, *topic.views}
    return {name: way for name, way in reached.items() if name in chosen}
