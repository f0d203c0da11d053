"""An entity as it came, made comparable: normalised values and blocking keys."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from towpath.entities.domain.matching.keys import blocking_keys
from towpath.entities.domain.matching.normalise import NORMALISERS
from towpath.entities.domain.matching.raw import MAX_LEAVES, raw_text
from towpath.entities.types import IndexConfig

MAX_SOURCE_CHARS = 200
SOURCE_NAMES = ("source", "dataset", "origin", "provider", "system")
"""Fields that commonly name where a record comes from; looked at where no field has been declared."""
_NAMESPACES = (
    re.compile(r"([A-Za-z][A-Za-z0-9]{0,19})[-_:./#]+(?=[^-_:./#]*[0-9])"),
    re.compile(r"([A-Za-z]{1,20})(?=[0-9])"),
    re.compile(r"[0-9]+[-_:./#]+([A-Za-z][A-Za-z0-9]{0,19})$"),
)
"""How ids name where they come from: `abt-12`, `rest1:12`, `a12`, `12-abt`; the first that fits counts."""


class NoIndexedValueError(ValueError):
    """No indexed field of the entity has a value: it cannot be compared with anything."""

    def __init__(self) -> None:
        super().__init__("the entity has no value in any indexed field")


class MissingFieldError(ValueError):
    """A required field has no value.

    Attributes:
        name: the field, as the configuration names it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"required field is missing: {name}")
        self.name = name


class PreparedEntity(NamedTuple):
    """What the index keeps of an entity.

    Attributes:
        values: normalised value of each field, in the order of the configuration.
        source: where the entity comes from, declared or guessed.
        keys: sorted unique blocking keys.
    """

    values: tuple[str | None, ...]
    source: str | None
    keys: npt.NDArray[np.int64]


def entity_uid(external_id: str | int) -> int:
    """Stable signed 64-bit number of an external id; `7` and `"7"` are the same entity."""
    digest = blake2b(str(external_id).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def prepare(entity: Mapping[str, object], config: IndexConfig) -> PreparedEntity:
    """Normalise the indexed fields of an entity and make its blocking keys.

    Never fails on an odd value: what cannot be read as the field's type counts as missing.

    Raises:
        MissingFieldError: a required field is absent, null or blank.
        NoIndexedValueError: nothing is left to compare.
    """
    values: list[str | None] = []
    for field in config.fields:
        raw = read_value(entity, field.name)
        value = None if raw is None else NORMALISERS[field.type](raw)
        if value is None and field.required and not raw_text(raw).strip():
            raise MissingFieldError(field.name)
        values.append(value)
    if not any(values):
        raise NoIndexedValueError
    return PreparedEntity(
        values=tuple(values),
        source=_source(entity, config),
        keys=blocking_keys(values, [field.type for field in config.fields]),
    )


def read_value(entity: Mapping[str, object], name: str) -> object:
    """Return an entity's value of a field as it was sent; a dotted name that is no member itself is a path."""
    raw = entity.get(name)
    return _at_path(entity, name) if raw is None and "." in name else raw


def fit_values(values: Sequence[str | None], config: IndexConfig) -> tuple[str | None, ...]:
    """Stored values in the shape of a configuration: one for each of its fields.

    A dynamic index appends fields while entities are stored, so a row may be of a configuration that has grown since,
    or that had grown further than the one at hand. What stood before a field came has no value in it.
    """
    width = len(config.fields)
    return (*values[:width], *(None,) * (width - len(values)))


def _source(entity: Mapping[str, object], config: IndexConfig) -> str | None:
    """Return where an entity comes from: by the declared field, else by a common name, else by the form of its id."""
    if config.source_field is not None:
        raw = read_value(entity, config.source_field)
        return raw_text(raw).strip()[:MAX_SOURCE_CHARS] or None
    if not config.infer_sources:
        return None
    compared = {field.name for field in config.fields}
    for name in SOURCE_NAMES:
        if name not in compared and isinstance(value := entity.get(name), str) and value.strip():
            return value.strip()[:MAX_SOURCE_CHARS]
    return _namespace(str(entity.get("id", "")))


def _namespace(external_id: str) -> str | None:
    """Return the part of an id that names where it comes from."""
    return next((match[1] for form in _NAMESPACES if (match := form.match(external_id))), None)


def _at_path(entity: Mapping[str, object], path: str) -> object:
    """Follow a dotted path; a list on the way is entered, and its items answer together."""
    reached: list[object] = [entity]
    for step in path.split("."):
        next_reached: list[object] = []
        for item in reached:
            for element in item[:MAX_LEAVES] if isinstance(item, list | tuple) else (item,):
                if isinstance(element, Mapping) and element.get(step) is not None:
                    next_reached.append(element[step])
        reached = next_reached[:MAX_LEAVES]
        if not reached:
            return None
    return reached[0] if len(reached) == 1 else reached
