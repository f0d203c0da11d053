"""Compiles a structured query over a topic to one parameterised SELECT."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlglot import exp

from towpath.ai.domain.semantics.content import get_topic, list_views
from towpath.ai.domain.semantics.expressions import check_aggregate, check_scalar
from towpath.ai.domain.semantics.filters import Parameters, compile_condition
from towpath.ai.semantic_types import (
    Aggregate,
    Better,
    Content,
    DataType,
    Dimension,
    Measure,
    Query,
    Relationship,
    TimeFrame,
    View,
)
from towpath.core.errors import BadInputError

FIELD = re.compile(r"^([a-z][a-z0-9_]*)\.([a-z][a-z0-9_]*)(?:\[([a-z]+)\])?$")
FANS_OUT = frozenset({Aggregate.COUNT, Aggregate.SUM, Aggregate.AVERAGE, Aggregate.MEDIAN, Aggregate.EXPRESSION})
SUMS: dict[Aggregate, type[exp.AggFunc]] = {
    Aggregate.SUM: exp.Sum,
    Aggregate.AVERAGE: exp.Avg,
    Aggregate.MIN: exp.Min,
    Aggregate.MAX: exp.Max,
    Aggregate.MEDIAN: exp.Median,
}


class Dialect(StrEnum):
    """Whose SQL is written."""

    DUCKDB = "duckdb"
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the answer.

    Attributes:
        name: As in the query: `view.field` or `view.field[month]`.
        label: For people.
        type: What its values are.
        measure: Whether it sums up.
        better: Which end of it is the good one, if the model says so.
    """

    name: str
    label: str
    type: DataType
    measure: bool
    better: Better | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A query, ready to be run."""

    sql: str
    parameters: dict[str, Any]
    columns: list[Column]
    tables: list[str]
    """As the model names them: the database has to have each of its own."""


@dataclass(frozen=True, slots=True)
class _Field:
    column: Column
    view: str
    expression: exp.Expr


def list_fields(content: Content, topic_name: str) -> list[Column]:
    """List all fields of a topic, measures last; dates also with each time frame."""
    compiler = _Compiler(content, topic_name, Dialect.DUCKDB)
    names = []
    for view in compiler.ways:
        for name, dimension in content.views[view].dimensions.items():
            names.append(f"{view}.{name}")
            if dimension.type.temporal:
                frames = [
                    frame for frame in TimeFrame if frame is not TimeFrame.HOUR or dimension.type is DataType.TIMESTAMP
                ]
                names += [f"{view}.{name}[{frame}]" for frame in frames]
    for view in compiler.ways:
        measures = content.views[view].measures
        names += [f"{view}.{name}" for name, measure in measures.items() if not compiler.multiplies(view, measure)]
    return [compiler.column(name, name)[0] for name in names]


def compile_query(content: Content, topic_name: str, query: Query, dialect: Dialect) -> Compiled:
    """Compile.

    Raises:
        NotFoundError: No such topic.
        BadInputError: A field, a filter or a sort that the topic does not have; the message names it.
    """
    compiler = _Compiler(content, topic_name, dialect)
    if query.table != compiler.base:
        raise BadInputError(f"table: the topic {topic_name} is over {compiler.base}, not {query.table}", field="table")
    return compiler.compile(query)


def compile_count(content: Content, topic_name: str, query: Query, dialect: Dialect, *, most: int) -> Compiled:
    """Compile how many rows a query would bring without its limit.

    Args:
        most: Counting ends there: a result one above says that there are more.
    """
    return _Compiler(content, topic_name, dialect).count(query, most)


class _Compiler:
    """Builds the SELECT of one query.

    The base view is in FROM. A view further away is joined by the relationships that lead to it, as LEFT JOIN, so that
    a row of the base stays where nothing is joined to it. Dimensions are grouped by, measures are aggregates; a filter
    on a dimension stands in WHERE, one on a measure in HAVING.
    """

    def __init__(self, content: Content, topic_name: str, dialect: Dialect) -> None:
        topic = get_topic(content, topic_name)
        self.content, self.dialect, self.base = content, dialect, topic.base_view
        self.topic = topic_name
        self.ways = list_views(content, topic)
        self.parameters = Parameters()
        self.tables: set[str] = set()

    def compile(self, query: Query) -> Compiled:
        select, fields = self._select(query)
        select = select.order_by(*self._order(query, fields)).limit(query.limit)
        sql = self._portable(select).sql(dialect=self.dialect)
        return Compiled(sql, self.parameters.values, [field.column for field in fields], sorted(self.tables))

    def count(self, query: Query, most: int) -> Compiled:
        """Count the rows without the limit, up to one more than `most`."""
        select, _ = self._select(query)
        counted = select.limit(most + 1).subquery("counted")
        sql = self._portable(exp.Select().select(exp.Count(this=exp.Star())).from_(counted)).sql(dialect=self.dialect)
        return Compiled(sql, self.parameters.values, [], sorted(self.tables))

    def _select(self, query: Query) -> tuple[exp.Select, list[_Field]]:
        fields = [self.field(name, f"fields.{place}") for place, name in enumerate(query.fields)]
        names = [field.column.name for field in fields]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInputError(f"fields: {twice} twice", field="fields")
        views = {field.view for field in fields}
        # Views that only a filter names are joined too.
        select = exp.Select().from_(self._table(self.base))
        where: list[exp.Expr] = []
        having: list[exp.Expr] = []
        for name, tests in query.filters.items():
            filtered = self.field(name, f"filters.{name}")
            views.add(filtered.view)
            test = compile_condition(
                filtered.expression, filtered.column.type, tests, self.parameters, f"filters.{name}"
            )
            (having if filtered.column.measure else where).append(test)
        for view, joined in self._joins(views):
            select = select.join(self._table(view), on=joined, join_type="left")
        select = select.select(*(exp.alias_(field.expression, field.column.name, quoted=True) for field in fields))
        if where:
            select = select.where(*where)
        # By position: an expression that is repeated would be another one for the database once it holds parameters.
        groups = [exp.Literal.number(place) for place, field in enumerate(fields, 1) if not field.column.measure]
        if groups:
            select = select.group_by(*groups)
        if having:
            select = select.having(*having)
        return select, fields

    def field(self, name: str, place: str) -> _Field:
        column, view, field, frame = self.column(name, place)
        if column.measure:
            expression = self._measure(self.content.views[view].measures[field], view, place)
        else:
            expression = self._dimension(column, view, field, frame)
        return _Field(column, view, expression)

    def column(self, name: str, place: str) -> tuple[Column, str, str, str | None]:
        """Look up a field as it is shown, with its view, its name there and its time frame."""
        match = FIELD.match(name)
        if match is None:
            message = f"{place}: {name[:80]!r} is no field; fields are view.field or view.field[month]"
            raise BadInputError(message, field=place)
        view_name, field, frame = match.groups()
        if view_name not in self.ways:
            raise BadInputError(f"{place}: the topic {self.topic} has no view {view_name}", field=place)
        view = self.content.views[view_name]
        if field in view.dimensions:
            column = _dimension_column(name, view_name, field, view.dimensions[field], frame, place)
        elif field in view.measures:
            column = self._measure_column(name, view_name, field, frame, place)
        else:
            raise BadInputError(f"{place}: the view {view_name} has no field {field}", field=place)
        return column, view_name, field, frame

    def _dimension(self, column: Column, view: str, field: str, frame: str | None) -> exp.Expr:
        expression = self._column(view, field)
        if frame is None:
            return expression
        cut = exp.TimestampTrunc(this=expression, unit=exp.var(frame.upper()))
        return cut if column.type is DataType.TIMESTAMP else exp.cast(cut, "DATE")

    def multiplies(self, view: str, measure: Measure) -> bool:
        """Return whether a measure would take a row several times, because the base has many rows for it."""
        return measure.aggregate in FANS_OUT and any(
            relationship.type != "one_to_one" for relationship in self.ways[view]
        )

    def _measure_column(self, name: str, view: str, field: str, frame: str | None, place: str) -> Column:
        measure = self.content.views[view].measures[field]
        if frame is not None:
            raise BadInputError(f"{place}: {view}.{field} is a measure and has no time frame", field=place)
        if self.multiplies(view, measure):
            raise BadInputError(
                f"{place}: {view}.{field} would take the rows of {view} once for each row of {self.base};"
                f" ask a topic over {view}",
                field=place,
            )
        kind = DataType.NUMBER
        if measure.aggregate in {Aggregate.MIN, Aggregate.MAX} and measure.sql in self.content.views[view].dimensions:
            kind = self.content.views[view].dimensions[measure.sql].type
        label = measure.label or field.replace("_", " ").capitalize()
        return Column(name, label, kind, measure=True, better=measure.better)

    def _measure(self, measure: Measure, view: str, place: str) -> exp.Expr:
        if measure.aggregate is Aggregate.EXPRESSION:
            return self._qualify(check_aggregate(measure.sql or "", place), view)
        return self._aggregate(measure, view, place)

    def _aggregate(self, measure: Measure, view: str, place: str) -> exp.Expr:
        inner = None if measure.sql is None else self._qualify(check_scalar(measure.sql, place), view)
        if measure.where is not None:
            test = self._qualify(check_scalar(measure.where, place), view)
            inner = exp.Case(ifs=[exp.If(this=test, true=inner or exp.Literal.number(1))])
        if measure.aggregate is Aggregate.COUNT:
            return exp.Count(this=inner or exp.Star())
        assert inner is not None
        if measure.aggregate is Aggregate.COUNT_DISTINCT:
            return exp.Count(this=exp.Distinct(expressions=[inner]))
        return SUMS[measure.aggregate](this=inner)

    def _column(self, view: str, name: str) -> exp.Expr:
        dimension = self.content.views[view].dimensions[name]
        text = dimension.sql or f'"{name}"'
        expression = self._qualify(check_scalar(text, f"{view}.{name}"), view)
        return expression if isinstance(expression, exp.Column) else exp.paren(expression)

    def _qualify(self, expression: exp.Expr, view: str) -> exp.Expr:
        def qualify_node(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Column):
                name = node.name
                if self.dialect is Dialect.POSTGRES and not node.this.args.get("quoted"):
                    name = name.lower()
                return exp.column(name, table=view, quoted=True)
            return node

        return expression.copy().transform(qualify_node)

    def _table(self, view: str) -> exp.Expr:
        known: View = self.content.views[view]
        self.tables.add(known.table)
        parts = [exp.to_identifier(part, quoted=True) for part in known.table.split(".")]
        names = dict(zip(("this", "db", "catalog"), reversed(parts), strict=False))
        return exp.alias_(exp.Table(**names), view, quoted=True, table=True)

    def _joins(self, views: set[str]) -> list[tuple[str, exp.Expr]]:
        """List the views to join with their conditions, each after those that lead to it; shared steps once."""
        conditions: dict[str, exp.Expr] = {}
        for view in self.ways:
            if view in views:
                here = self.base
                for relationship in self.ways[view]:
                    following = relationship.to if relationship.from_ == here else relationship.from_
                    conditions.setdefault(following, self._on(relationship))
                    here = following
        return list(conditions.items())

    def _on(self, relationship: Relationship) -> exp.Expr:
        return exp.and_(
            *(
                exp.EQ(this=self._column(relationship.from_, left), expression=self._column(relationship.to, right))
                for left, right in relationship.on.items()
            )
        )

    def _order(self, query: Query, fields: list[_Field]) -> list[exp.Expr]:
        places = {field.column.name: place for place, field in enumerate(fields, 1)}
        chosen: dict[str, bool] = {}
        for place, sort in enumerate(query.sorts):
            if sort.column_name not in places:
                at = f"sorts.{place}.column_name"
                raise BadInputError(f"{at}: {sort.column_name[:80]!r} is not among the fields", field=at)
            chosen.setdefault(sort.column_name, sort.sort_descending)
        # Without an order the first measure comes first, the largest at the top: that is what most questions want.
        if not chosen:
            chosen = {field.column.name: True for field in fields if field.column.measure and not chosen}
            chosen = dict(list(chosen.items())[:1])
        # The rest too, so that the same query gives the same rows whenever it is cut off.
        for field in fields:
            chosen.setdefault(field.column.name, False)
        return [
            exp.Ordered(this=exp.Literal.number(places[name]), desc=down, nulls_first=False)
            for name, down in chosen.items()
        ]

    def _portable(self, select: exp.Select) -> exp.Expr:
        """Take percent signs out of the text, since for psycopg they begin a parameter."""

        def without(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Literal) and node.is_string and "%" in node.name:
                return self.parameters.add(node.name)
            if isinstance(node, exp.Mod):
                return exp.Anonymous(this="MOD", expressions=[node.this, node.expression])
            return node

        return select.transform(without) if self.dialect is Dialect.POSTGRES else select


def _dimension_column(name: str, view: str, field: str, dimension: Dimension, frame: str | None, place: str) -> Column:
    label, kind = dimension.label or field.replace("_", " ").capitalize(), dimension.type
    if frame is None:
        return Column(name, label, kind, measure=False)
    if not kind.temporal or frame not in list(TimeFrame) or (frame == "hour" and kind is DataType.DATE):
        raise BadInputError(f"{place}: {view}.{field} has no time frame {frame}", field=place)
    return Column(
        name, f"{label} ({frame})", DataType.TIMESTAMP if frame == TimeFrame.HOUR else DataType.DATE, measure=False
    )
