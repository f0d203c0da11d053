"""The JSON schemas of an agent's next action, bound to the fields that there are, and how answers are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from towpath.ai.domain.order import note_undecided, read_order
from towpath.ai.domain.semantics.compile import Column
from towpath.ai.domain.semantics.filters import OPERATORS
from towpath.ai.semantic_types import DEFAULT_ROWS, MAX_ROWS, DataType, Query, Sort
from towpath.ai.types import ChartType
from towpath.core.errors import BadInputError
from towpath.core.texts import shorten

QUERY, CHART, ANSWER = "query", "chart", "answer"
MAX_QUERY_FIELDS = 12
SMALL_ROWS = 100
SMALL_SERIES = 1000
NOTHING = "nothing"
NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: number for number, word in enumerate(NUMBER_WORDS, 1)}
MAX_TITLE = 120
CHART_WORDS = {
    "bar": ChartType.BAR,
    "bars": ChartType.BAR,
    "column": ChartType.BAR,
    "line": ChartType.LINE,
    "lines": ChartType.LINE,
    "area": ChartType.AREA,
    "scatter": ChartType.SCATTER,
    "pie": ChartType.PIE,
    "donut": ChartType.PIE,
    "table": ChartType.TABLE,
}


@dataclass(frozen=True, slots=True)
class AgentAction:
    """What a model chooses to do next.

    Attributes:
        action: `query`, `chart` or `answer`.
        message: One sentence for the reader.
        query: With `query`; None if what it asked for is no query.
        problem: Why there is none.
    """

    action: str
    message: str
    title: str | None = None
    query: Query | None = None
    problem: str | None = None
    chart: ChartType | None = None
    answer: str | None = None


def build_topic_schema(names: Sequence[str]) -> dict[str, Any]:
    """Make the schema of a choice among topics."""
    return {
        "type": "object",
        "properties": {"topic": {"type": "string", "enum": list(names)}},
        "required": ["topic"],
        "additionalProperties": False,
    }


def build_query_schema(fields: Sequence[Column]) -> dict[str, Any]:
    """Make the schema of a query over some fields; a model that is made to keep to it can name nothing else."""
    any_field = {"type": "string", "enum": [field.name for field in fields]}
    value = {"type": ["string", "number", "boolean"]}
    properties: dict[str, Any] = {
        "title": {"type": "string", "maxLength": MAX_TITLE, "description": "A short name of the result, for people."},
        "fields": {"type": "array", "items": any_field, "minItems": 1, "maxItems": MAX_QUERY_FIELDS},
        "filters": {
            "type": "array",
            "maxItems": 20,
            "items": _object(
                {
                    "field": any_field,
                    "operator": {"type": "string", "enum": OPERATORS},
                    "values": {"type": "array", "items": value, "minItems": 1},
                },
                ["field", "operator", "values"],
            ),
        },
        "sorts": {
            "type": "array",
            "maxItems": 5,
            "items": _object({"field": any_field, "descending": {"type": "boolean"}}, ["field", "descending"]),
        },
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_ROWS},
    }
    return _object(properties, ["title", "fields"])


def build_constrained_schema(measures: Sequence[Column], dimensions: Sequence[Column]) -> dict[str, Any]:
    """Make the schema for a small model: one measure and what to group it by; the question's words say the rest."""
    properties: dict[str, Any] = {}
    if measures:
        properties["measure"] = {"type": "string", "enum": [measure.name for measure in measures]}
    properties["by"] = {
        "type": "string",
        "enum": [*(dimension.name for dimension in dimensions), *([NOTHING] if measures else [])],
    }
    return _object(properties, list(properties))


def build_action_schema(fields: Sequence[Column], *, charts: bool, last: bool) -> dict[str, Any]:
    """Make the schema of the next action.

    Args:
        fields: What a query may name.
        charts: Whether there are rows to draw.
        last: Whether only an answer is left.
    """
    actions = [ANSWER] if last else [QUERY, *([CHART] if charts else []), ANSWER]
    properties: dict[str, Any] = {
        "action": {"type": "string", "enum": actions},
        "message": {"type": "string", "maxLength": 500, "description": "One sentence: what you do now, and why."},
        "chart": {
            "type": "string",
            "enum": [chart.value for chart in ChartType],
            "description": "How the rows are best drawn; only where it matters.",
        },
        "answer": {"type": "string", "description": "With action answer: the answer in Markdown, by the rows alone."},
    }
    if not last:
        properties["query"] = build_query_schema(fields)
    return _object(properties, ["action", "message"])


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def read_action(data: Mapping[str, Any], base: str) -> AgentAction:
    """Read an action.

    Args:
        data: In the form of `build_action_schema`.
        base: The topic's base view.
    """
    action, message = str(data.get("action", ANSWER)), str(data.get("message", "")).strip()
    chart = ChartType(data["chart"]) if data.get("chart") in list(ChartType) else None
    if action == QUERY:
        title, query, problem = read_query(data.get("query"), base)
        return AgentAction(QUERY, message or "Asking the database.", title, query, problem, chart)
    if action == CHART:
        return AgentAction(CHART, message or "Drawing the rows.", chart=chart or ChartType.BAR)
    answer = str(data.get("answer") or message or "There is nothing to tell.")
    return AgentAction(ANSWER, message or "Answering.", answer=answer)


def read_query(data: Any, base: str) -> tuple[str | None, Query | None, str | None]:
    """Read a query in the form of `build_query_schema`.

    Returns:
        Its title, the query, and what is wrong with it where there is none.
    """
    if not isinstance(data, Mapping):
        return None, None, "query is missing"
    title = shorten(str(data.get("title") or "").strip(), MAX_TITLE) or None
    fields = list(dict.fromkeys(str(name) for name in data.get("fields") or ()))
    sorts = [
        Sort(column_name=str(sort.get("field")), sort_descending=bool(sort.get("descending")))
        for sort in data.get("sorts") or ()
        if sort.get("field") in fields
    ]
    try:
        filters = _filters(data.get("filters") or ())
        query = Query(table=base, fields=fields, filters=filters, sorts=sorts, limit=data.get("limit") or DEFAULT_ROWS)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return title, None, f"query.{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    except BadInputError as error:
        return title, None, error.detail
    return title, query, None


def note_dropped_order(data: Any) -> list[str]:
    """Say which sorts of a query of `build_query_schema` were dropped: those by what it does not ask for."""
    if not isinstance(data, Mapping):
        return []
    fields = {str(name) for name in data.get("fields") or ()}
    names = [str(sort.get("field")) for sort in data.get("sorts") or () if str(sort.get("field")) not in fields]
    if not names:
        return []
    return [f"The order by {', '.join(names)} was left out, because the query does not ask for it."]


def read_constrained(
    data: Mapping[str, Any], question: str, measures: Sequence[Column], dimensions: Sequence[Column], base: str
) -> Query:
    """Make a query of a small model's choice: order and number of rows are read out of the question.

    Args:
        data: In the form of `build_constrained_schema`.
        question: In words.
        measures: What it could choose from.
        dimensions: The same.
        base: The topic's base view.
    """
    measure = next((column for column in measures if column.name == data.get("measure")), None)
    by = next((column for column in dimensions if column.name == data.get("by")), None)
    chosen = [column for column in (by, measure) if column is not None] or [*dimensions[:1], *measures[:1]]
    temporal = by is not None and by.type in {DataType.DATE, DataType.TIMESTAMP}
    words = re.findall(r"[a-z]+|\d+", question.lower())
    sorts, row_count = [Sort(column_name=chosen[0].name)], _number_in(words)
    if measure is not None and not temporal:
        order = read_order(question, measure)
        sorts = [Sort(column_name=measure.name, sort_descending=order.descending)]
        if order.undecided is not None:
            # A few rows of one end would decide it.
            row_count = None
    limit = row_count or (SMALL_SERIES if temporal else SMALL_ROWS)
    return Query(table=base, fields=[column.name for column in chosen], sorts=sorts, limit=limit)


def note_order(query: Query, question: str, measures: Sequence[Column]) -> list[str]:
    """Say what a reader must know of the order that `read_constrained` has chosen."""
    for sort in query.sorts:
        measure = next((column for column in measures if column.name == sort.column_name), None)
        if measure is not None and (word := read_order(question, measure).undecided) is not None:
            return [note_undecided(word, measure)]
    return []


def _number_in(words: Sequence[str]) -> int | None:
    """Find how many rows a question asks for: `top 5`, `which three ...`; a year is no such number."""
    for word in words:
        number = NUMBERS.get(word) or (int(word) if word.isdigit() else 0)
        if 1 < number <= SMALL_ROWS:
            return number
    return None


def _filters(filters: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    operators: dict[str, dict[str, Any]] = {}
    for condition in filters:
        operator, values = str(condition["operator"]), list(condition["values"])
        several = operator in {"in", "not_in", "between"}
        if not several and len(values) != 1:
            if operator not in {"is", "is_not"}:
                raise BadInputError(f"filters: {condition['field']} {operator} takes one value", field="filters")
            operator, several = {"is": "in", "is_not": "not_in"}[operator], True
        operators.setdefault(str(condition["field"]), {})[operator] = values if several else values[0]
    return operators


def find_requested_chart(prompt: str) -> ChartType | None:
    """Find the kind of chart that a prompt names; `bar chart`, `as a line`, `pie`."""
    words = re.findall(r"[a-z]+", prompt.lower())
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        before = words[max(place - 2, 0) : place]
        if word in CHART_WORDS and (following in {"chart", "graph", "plot"} or "as" in before or "into" in before):
            return CHART_WORDS[word]
    return None
