"""A body takes no number for a truth value, and no truth value for a number: Pydantic by itself would."""

from __future__ import annotations

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

import towpath.api.app
from towpath.core.bodies import Lenient, Strict
from towpath.entities.types import IndexView
from towpath.extraction.types import ExtractOptions
from towpath.runtime.settings import Settings

assert towpath.api.app
"""Imported, it has defined every body."""


def _bodies(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in base.__subclasses__():
        yield one
        yield from _bodies(one)


def _kinds(told: Any) -> set[Any]:
    """What a field takes, without what its lists and the like hold."""
    origin = get_origin(told)
    if origin is Annotated:
        return _kinds(get_args(told)[0])
    return set().union(*map(_kinds, get_args(told))) if origin in {Union, UnionType} else {told}


def _fields(*kinds: type) -> list[Any]:
    # Fields of a form are text, in which clients write truth values as they like.
    bodies = [one for base in (Strict, Lenient) for one in _bodies(base) if not issubclass(one, ExtractOptions)]
    models = [one for one in bodies if one is not IndexView]
    return [
        pytest.param(field, id=f"{model.__name__}.{name}")
        for model in dict.fromkeys(models)
        for name, field in model.model_fields.items()
        if (taken := _kinds(field.annotation)) & set(kinds) and not taken & {str}
    ]


def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    told: Any = field.annotation
    return TypeAdapter(Annotated[told, *field.metadata] if field.metadata else told)


@pytest.mark.parametrize("field", _fields(bool))
def test_a_number_is_no_truth_value(field: FieldInfo) -> None:
    for given in (0, 1, "yes"):
        with pytest.raises(ValidationError):
            _adapter(field).validate_python(given)
    assert _adapter(field).validate_python(True) is True


@pytest.mark.parametrize("field", _fields(int, float))
def test_a_truth_value_is_no_number(field: FieldInfo) -> None:
    for given in (True, False):
        with pytest.raises(ValidationError, match="not true or false"):
            _adapter(field).validate_python(given)


def test_the_document_keeps_the_bounds_of_numbers() -> None:
    schemas = towpath.api.app.create_app(Settings(docs_open=True)).openapi()["components"]["schemas"]

    assert schemas["IndexBody"]["properties"]["duplicateThreshold"]["maximum"] == 1.0
    assert schemas["ApiKeyBody"]["properties"]["expiresInDays"]["anyOf"][0]["minimum"] == 1
