"""The filters of a structured query: each becomes a condition whose values are parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlglot import exp

from towpath.ai.semantic_types import DataType
from towpath.core.errors import BadInputError

MAX_VALUES = 1000
COMPARISONS: dict[str, type[exp.Binary]] = {
    "is": exp.EQ,
    "is_not": exp.NEQ,
    "gt": exp.GT,
    "gte": exp.GTE,
    "lt": exp.LT,
    "lte": exp.LTE,
}
TEXT_ONLY = frozenset({"contains", "starts_with"})
OPERATORS = sorted({*COMPARISONS, *TEXT_ONLY, "in", "not_in", "between", "is_null"})
CASTS = {DataType.DATE: "DATE", DataType.TIMESTAMP: "TIMESTAMP"}


class Parameters:
    """Values on their way to the database, never within the SQL."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def add(self, value: Any, kind: DataType | None = None) -> exp.Expr:
        """Add a value, and return its placeholder."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        placeholder = exp.Placeholder(this=name)
        return exp.cast(placeholder, CASTS[kind]) if kind in CASTS else placeholder


def compile_condition(target: exp.Expr, kind: DataType, tests: Any, parameters: Parameters, field: str) -> exp.Expr:
    """Compile the condition of one filter.

    Args:
        target: What is compared.
        kind: What its values are.
        tests: A value, a list of values, or a mapping of operators to values.
        parameters: Take the values in.
        field: What errors begin with.

    Raises:
        BadInputError: No such operator, or a value of another kind.
    """
    if not isinstance(tests, Mapping):
        tests = {"in" if isinstance(tests, list) else "is": tests}
    if not tests:
        raise BadInputError(f"{field}: no operator", field=field)
    conditions: list[exp.Expr] = []
    for operator, value in tests.items():
        if operator not in OPERATORS:
            message = f"{field}: no operator {str(operator)[:40]!r}; there are {', '.join(OPERATORS)}"
            raise BadInputError(message, field=field)
        conditions.append(_Filter(target.copy(), kind, parameters, field).test(str(operator), value))
    return exp.and_(*conditions)


@dataclass(frozen=True, slots=True)
class _Filter:
    """One operator of a filter."""

    target: exp.Expr
    kind: DataType
    parameters: Parameters
    field: str

    def test(self, operator: str, value: Any) -> exp.Expr:
        if operator == "is_null" or (operator in {"is", "is_not"} and value is None):
            return self._null(operator, value)
        if operator in COMPARISONS:
            return COMPARISONS[operator](this=self.target, expression=self._put(value))
        if operator in TEXT_ONLY:
            return self._text(operator, value)
        if operator == "between":
            low, high = _values(value, self.field, exactly=2)
            return exp.Between(this=self.target, low=self._put(low), high=self._put(high))
        inside = exp.In(this=self.target, expressions=[self._put(item) for item in _values(value, self.field)])
        return inside if operator == "in" else exp.Not(this=inside)

    def _put(self, value: Any) -> exp.Expr:
        return self.parameters.add(_read(value, self.kind, self.field), self.kind)

    def _null(self, operator: str, value: Any) -> exp.Expr:
        if operator == "is_null" and not isinstance(value, bool):
            raise BadInputError(f"{self.field}: is_null takes true or false", field=self.field)
        null = exp.Is(this=self.target, expression=exp.Null())
        return null if value is True or operator == "is" else exp.Not(this=null)

    def _text(self, operator: str, value: Any) -> exp.Expr:
        if self.kind is not DataType.STRING:
            raise BadInputError(f"{self.field}: {operator} is for text", field=self.field)
        if operator == "starts_with":
            return exp.StartsWith(this=self.target, expression=self._put(value))
        place = exp.StrPosition(this=exp.Lower(this=self.target), substr=exp.Lower(this=self._put(value)))
        return exp.GT(this=place, expression=exp.Literal.number(0))


def _values(value: Any, field: str, *, exactly: int | None = None) -> Sequence[Any]:
    if not isinstance(value, list) or not value or (exactly is not None and len(value) != exactly):
        raise BadInputError(f"{field}: a list of {exactly or 'one or more'} values is needed", field=field)
    if len(value) > MAX_VALUES:
        raise BadInputError(f"{field}: at most {MAX_VALUES} values", field=field)
    return value


def _read(value: Any, kind: DataType, field: str) -> Any:
    wrong = BadInputError(f"{field}: {str(value)[:80]!r} is no {kind}", field=field)
    if isinstance(value, bool) is not (kind is DataType.BOOLEAN) or not isinstance(value, str | int | float):
        raise wrong
    try:
        return READERS[kind](value)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise wrong from error


def _number(value: Any) -> int | float:
    number = Decimal(str(value))
    return int(number) if number == number.to_integral_value() else float(number)


READERS: dict[DataType, Callable[[Any], Any]] = {
    DataType.BOOLEAN: bool,
    DataType.STRING: str,
    DataType.NUMBER: _number,
    DataType.DATE: lambda value: date.fromisoformat(str(value)[:10]),
    DataType.TIMESTAMP: lambda value: datetime.fromisoformat(str(value)),
}
