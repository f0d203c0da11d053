"""What becomes of fields that a body should not have: each body of a request is `Strict` or `Lenient`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo


class Strict(BaseModel):
    """Base of bodies in which an unknown field is a mistake: it is refused."""

    model_config = ConfigDict(extra="forbid")


class EmptyIsAbsent(BaseModel):
    """Base of bodies whose clients send what a person has left empty: null or "" in an optional field is no value."""

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, members: Any) -> Any:
        if not isinstance(members, dict):
            return members
        optional = set()
        for name, field in cls.model_fields.items():
            if not field.is_required():
                optional |= {name, _wire_name(name, field)}
        return {name: value for name, value in members.items() if name not in optional or value not in (None, "")}


class Lenient(BaseModel):
    """Base of bodies whose contract says that unknown fields are ignored: the answer warns of them."""

    model_config = ConfigDict(extra="allow")


def field_names(model: type[BaseModel]) -> list[str]:
    """Return the fields of a body, as they are written on the wire; those that it shares with all others come last."""
    fields = sorted(model.model_fields.items(), key=lambda item: bool(item[1].exclude))
    return [_wire_name(name, field) for name, field in fields]


def names_beside(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Return the fields of the object that holds a place within a body; none: the place cannot be followed."""
    inner = next(_models_at(model, list(path[:-1])), None)
    return [] if inner is None else field_names(inner)


def unknown_fields(body: BaseModel, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield the path of each field that a lenient body should not have, with the names that it could have had."""
    for name in body.model_extra or {}:
        yield f"{prefix}{name}", field_names(type(body))
    for name, field in type(body).model_fields.items():
        value, here = getattr(body, name), f"{prefix}{_wire_name(name, field)}"
        if isinstance(value, BaseModel):
            yield from unknown_fields(value, f"{here}.")
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from unknown_fields(item, f"{here}[{number}].")


def _wire_name(name: str, field: FieldInfo) -> str:
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0] if isinstance(alias.choices[0], str) else None
    return alias if isinstance(alias, str) else name


def _models_at(annotation: Any, path: list[str | int]) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            yield annotation
            return
        for name, field in annotation.model_fields.items():
            if path[0] in {name, _wire_name(name, field)}:
                yield from _models_at(field.annotation, path[1:])
        return
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _models_at(inner[0], path)
    elif origin in {Union, UnionType}:
        for argument in inner:
            yield from _models_at(argument, path)
    elif path and origin in {list, tuple, dict}:
        yield from _models_at(inner[-1], path[1:])
