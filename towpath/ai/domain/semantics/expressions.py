"""The SQL that a model's file may hold: expressions over the columns of one table, and nothing else."""

from __future__ import annotations

from functools import lru_cache

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from towpath.core.errors import BadInputError

ALLOWED = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Neg, exp.Not, exp.And, exp.Or,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.In,
    exp.Between, exp.Like, exp.ILike, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Cast, exp.TryCast, exp.DataType,
    exp.DataTypeParam, exp.Lower, exp.Upper, exp.Trim, exp.Length, exp.Substring, exp.Concat, exp.DPipe, exp.Abs,
    exp.Round, exp.Floor, exp.Ceil, exp.Greatest, exp.Least, exp.Extract, exp.Var, exp.Year, exp.Month, exp.Day,
)  # fmt: skip
"""What may stand in an expression; whatever is not here, subqueries and unknown functions too, may not."""
AGGREGATES = (exp.Sum, exp.Count, exp.Avg, exp.Min, exp.Max, exp.Distinct, exp.Filter, exp.Where, exp.Star, exp.Median)
DIALECT = "duckdb"
DEEPEST = 50


def check_scalar(text: str, field: str) -> exp.Expr:
    """Check an expression for each row; it is shared, and to be copied before it is changed.

    Raises:
        BadInputError: It is no expression, or holds what it may not.
    """
    return _check(text, field, ALLOWED)


def check_aggregate(text: str, field: str) -> exp.Expr:
    """Check an expression for a group of rows; it is shared, and to be copied before it is changed.

    Raises:
        BadInputError: It is no expression, holds what it may not, or a column that is not summed up.
    """
    expression = _check(text, field, (*ALLOWED, *AGGREGATES))
    for column in expression.find_all(exp.Column):
        if column.find_ancestor(exp.AggFunc, exp.Filter) is None:
            raise BadInputError(f"{field}: the column {column.name} is not in an aggregate", field=field)
    if expression.find(exp.AggFunc) is None:
        raise BadInputError(f"{field}: it sums nothing up", field=field)
    for outer in expression.find_all(exp.AggFunc):
        if outer.find_ancestor(exp.AggFunc) is not None:
            raise BadInputError(f"{field}: an aggregate within an aggregate", field=field)
    return expression


@lru_cache(maxsize=4096)
def _check(text: str, field: str, allowed: tuple[type[exp.Expr], ...]) -> exp.Expr:
    try:
        expression = parse_one(text, dialect=DIALECT)
    except (SqlglotError, RecursionError) as error:
        raise BadInputError(f"{field}: no SQL expression", field=field) from error
    for node in expression.walk():
        if type(node) not in allowed:
            what = node.sql(dialect=DIALECT)[:80] if isinstance(node, exp.Anonymous) else type(node).__name__.lower()
            raise BadInputError(f"{field}: {what} is not allowed here", field=field)
        if node.depth > DEEPEST:
            raise BadInputError(f"{field}: nested too deeply", field=field)
        if isinstance(node, exp.Column) and node.table:
            message = f"{field}: {node.sql()} names a table; only columns of the view's own are known"
            raise BadInputError(message, field=field)
    return expression
