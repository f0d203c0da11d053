"""A first model of a database, made from what it tells of itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from towpath.ai.databases.types import ForeignKey, Table
from towpath.ai.semantic_types import Aggregate, Content, DataType, Dimension, Measure, Relationship, Topic, View
from towpath.core.errors import ErrorCode
from towpath.jobs.types import JobWarning

WORD = re.compile(r"[^a-z0-9_]+")
DEFAULT_NAMESPACES = frozenset({"main", "public"})
MAX_VIEWS = 500
MAX_COLUMNS = 240


def draft_model(tables: Sequence[Table]) -> Content:
    """Draft a view and a topic for each table, measures for its numbers, relationships from its keys.

    Where a table declares no foreign keys, a column that is named as the only key column of another table, or as
    that table and its key (`depot_id`), is taken for one.
    """
    names = _names(tables)
    views = {names[place]: _view(table) for place, table in enumerate(tables[:MAX_VIEWS])}
    by_table = {table.name: names[place] for place, table in enumerate(tables[:MAX_VIEWS])}
    relationships = []
    for table in tables[:MAX_VIEWS]:
        keys = table.foreign_keys or _guess_keys(table, tables)
        for key in keys:
            relationship = _relationship(table, key, by_table, views)
            if relationship is not None:
                relationships.append(relationship)
    topics = {name: Topic(base_view=name, label=_label(name)) for name in views}
    return Content(views=views, relationships=relationships, topics=topics)


def warn_of_left_out(tables: Sequence[Table]) -> list[JobWarning]:
    """Warn of what of a database is beyond the limits of a draft."""
    warnings = []
    if len(tables) > MAX_VIEWS:
        message = f"the model has the first {MAX_VIEWS} of {len(tables)} tables"
        warnings.append(JobWarning(code=ErrorCode.FIELDS_LEFT_OUT, message=message))
    for table in tables[:MAX_VIEWS]:
        if len(table.columns) > MAX_COLUMNS:
            message = f"the model has the first {MAX_COLUMNS} of its {len(table.columns)} columns"
            warnings.append(JobWarning(code=ErrorCode.FIELDS_LEFT_OUT, message=message, item=table.name))
    return warnings


def make_identifier(name: str) -> str:
    """Make a name that a model may use."""
    identifier = WORD.sub("_", name.lower()).strip("_")[:60] or "column"
    return identifier if identifier[0].isalpha() else f"c_{identifier}"


def _label(name: str) -> str:
    return name.replace("_", " ").strip().capitalize()


def _names(tables: Sequence[Table]) -> list[str]:
    names: list[str] = []
    for table in tables:
        name = make_identifier(table.name)
        if name in names:
            name = make_identifier(f"{table.namespace}_{table.name}")
        while name in names:
            name = f"{name[:58]}_2"
        names.append(name)
    return names


def _view(table: Table) -> View:
    dimensions: dict[str, Dimension] = {}
    measures: dict[str, Measure] = {}
    keys = {column for key in table.foreign_keys for column in key.columns}
    for column in table.columns[:MAX_COLUMNS]:
        if column.type is None:
            continue
        name = make_identifier(column.name)
        quoted = '"' + column.name.replace('"', '""') + '"'
        if name in dimensions or len(quoted) > 200:
            continue
        dimensions[name] = Dimension(type=column.type, sql=None if name == column.name else quoted)
        if column.type is DataType.NUMBER and not column.key and column.name not in keys and not name.endswith("_id"):
            for prefix, aggregate in (("total", Aggregate.SUM), ("average", Aggregate.AVERAGE)):
                label = f"{prefix.capitalize()} {_label(name).lower()}"
                measures[f"{prefix}_{name}"[:60]] = Measure(aggregate=aggregate, sql=quoted, label=label)
    measures = {name: measure for name, measure in measures.items() if name not in dimensions}
    counted = "count" if "count" not in dimensions else "row_count"
    measures[counted] = Measure(
        aggregate=Aggregate.COUNT, label=f"Number of {_label(make_identifier(table.name)).lower()}"
    )
    path = table.name if table.namespace in DEFAULT_NAMESPACES else f"{table.namespace}.{table.name}"
    return View(table=path, label=_label(make_identifier(table.name)), dimensions=dimensions, measures=measures)


def _guess_keys(table: Table, tables: Sequence[Table]) -> list[ForeignKey]:
    guesses = []
    for other in tables:
        keys = [column for column in other.columns if column.key]
        if other is table or len(keys) != 1:
            continue
        key, single = keys[0], other.name.removesuffix("s")
        candidates = {f"{other.name}_{key.name}", f"{single}_{key.name}"} | {key.name} - {"id"}
        for column in table.columns:
            if column.name in candidates and column.type is key.type and not column.key:
                guesses.append(ForeignKey(columns=[column.name], table=other.name, references=[key.name]))
    return guesses


def _relationship(
    table: Table, key: ForeignKey, by_table: dict[str, str], views: dict[str, View]
) -> Relationship | None:
    if key.table not in by_table or key.table == table.name:
        return None
    left, right = by_table[table.name], by_table[key.table]
    on = {
        make_identifier(column): make_identifier(reference)
        for column, reference in zip(key.columns, key.references, strict=True)
    }
    known = all(
        column in views[left].dimensions and reference in views[right].dimensions for column, reference in on.items()
    )
    keys = {make_identifier(column.name) for column in table.columns if column.key}
    # A key that is the row's own name belongs to one row alone.
    kind = "one_to_one" if keys and keys == set(on) else "many_to_one"
    return Relationship.model_validate({"from": left, "to": right, "on": on, "type": kind}) if known else None
