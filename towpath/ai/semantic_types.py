"""Semantic models: views with dimensions and measures, relationships, topics; and the query over a topic."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME = r"^[a-z][a-z0-9_]{0,62}$"
Name = Annotated[str, Field(pattern=NAME)]
Sql = Annotated[str, Field(min_length=1, max_length=2000)]
MAX_FIELDS = 50
MAX_ROWS = 50_000
DEFAULT_ROWS = 500


class DataType(StrEnum):
    """What a dimension's values are."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"

    @property
    def temporal(self) -> bool:
        """Return whether values can be cut to a time frame."""
        return self in {DataType.DATE, DataType.TIMESTAMP}


class Aggregate(StrEnum):
    """How a measure sums up the rows of a group."""

    COUNT = "count"
    COUNT_DISTINCT = "count_distinct"
    SUM = "sum"
    AVERAGE = "average"
    MIN = "min"
    MAX = "max"
    MEDIAN = "median"
    EXPRESSION = "expression"
    """`sql` itself aggregates, such as a ratio of two sums."""


class TimeFrame(StrEnum):
    """What a date or a time is cut to: `view.field[month]`."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Part(BaseModel):
    """Base of what a model's file holds: an unknown member is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Described(Part):
    """What people and language models read."""

    label: Annotated[str, Field(max_length=200)] | None = None
    description: Annotated[str, Field(max_length=2000)] | None = None


class Dimension(Described):
    """A column, or an expression over the view's columns; its name by default."""

    type: DataType = DataType.STRING
    sql: Sql | None = None


class Better(StrEnum):
    """Which end of a measure is the good one: what `best` and `worst` mean."""

    HIGH = "high"
    LOW = "low"


class Measure(Described):
    """A number for a group of rows."""

    aggregate: Aggregate
    sql: Sql | None = Field(default=None, description="What is summed up; not needed to count rows.")
    where: Sql | None = Field(default=None, description="Only rows for which this holds.")
    better: Better | None = Field(default=None, description="Which end is the good one; none: the label's words tell.")

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.aggregate is not Aggregate.COUNT and self.sql is None:
            raise ValueError(f"a measure with the aggregate {self.aggregate} needs sql")
        return self


class View(Described):
    """A table of the database."""

    table: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}$")]
    dimensions: Annotated[dict[Name, Dimension], Field(max_length=500)] = {}
    measures: Annotated[dict[Name, Measure], Field(max_length=500)] = {}

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> Self:
        if both := self.dimensions.keys() & self.measures.keys():
            raise ValueError(f"{min(both)} is a dimension and a measure")
        return self


class Relationship(Part):
    """How rows of two views belong together; `from` has many rows for one of `to`, or one."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: Annotated[Name, Field(alias="from")]
    to: Name
    on: Annotated[dict[Name, Name], Field(min_length=1, description="Dimensions of `from` to those of `to`.")]
    type: Literal["many_to_one", "one_to_one"] = "many_to_one"


class Topic(Described):
    """What can be asked together: a view, and the views that it leads to."""

    base_view: Name
    views: list[Name] | None = Field(default=None, description="Which joined views; none: all that can be reached.")
    group_label: Annotated[str, Field(max_length=200)] | None = None
    hidden: bool = False


class Content(Part):
    """A whole model."""

    views: Annotated[dict[Name, View], Field(min_length=1, max_length=500)]
    relationships: Annotated[list[Relationship], Field(max_length=1000)] = []
    topics: Annotated[dict[Name, Topic], Field(max_length=500)] = {}


class Sort(BaseModel):
    """One sort of a query."""

    column_name: str
    sort_descending: bool = False


class Query(BaseModel):
    """A structured query; its fields are `view.field`, dates with a time frame as `view.field[month]`.

    `filters` holds for each field a value, a list of which one must hold, or operators with values, such as
    `{"flights.month": [6, 7], "flights.distance": {"gte": 1000}}`. A filter on a measure keeps groups, not rows.
    """

    table: Name = Field(description="The topic's base view.")
    fields: Annotated[list[str], Field(min_length=1, max_length=MAX_FIELDS)]
    filters: dict[str, Any] = {}
    sorts: Annotated[list[Sort], Field(max_length=20)] = []
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = DEFAULT_ROWS
