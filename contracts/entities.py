"""Entities: indexes, entities, candidates, pairs and groups, as the wire and the workflows know them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class FieldType(StrEnum):
    """How a field's values are normalised and compared."""

    TEXT = "text"
    STRING = "string"
    NUMBER = "number"
    DATE = "date"


class IndexField(BaseModel):
    """One field an index matches on.

    ``name`` is a dotted path into the entity; ``weight`` multiplies the evidence of the field.
    """

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=256)]
    type: FieldType
    required: bool = False
    weight: Annotated[float, Field(ge=0.0, le=100.0)] = 1.0


class IndexConfig(BaseModel):
    """What a user says of an index: the body of ``POST /v1/indexes``."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    index_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,128}$")]
    fields: Annotated[list[IndexField], Field(min_length=1, max_length=100)]
    duplicate_threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.85
    candidate_threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.70
    source_field: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    clean_sources: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [field.name for field in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"field named twice: {', '.join(twice)}")
        if self.clean_sources and self.source_field is None:
            raise ValueError("cleanSources needs a sourceField")
        return self
