"""Entities as clients send them: what is refused, who they are, and what of them is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import orjson

from towpath.core.errors import BadInputError, ErrorCode
from towpath.core.json_values import BYTE_ORDER_MARK, parse_json, read_json, write_json
from towpath.entities.domain.matching import MissingFieldError, NoIndexedValueError, PreparedEntity, entity_uid, prepare
from towpath.entities.types import FieldType, IndexConfig, IndexField

RESERVED = "duplicates"
MAX_ID_CHARACTERS = 512
MAX_DYNAMIC_FIELDS = 100
Entity = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """An entity ready to be stored.

    Attributes:
        digest: Tells whether its content has changed.
        source: Where it comes from, as far as it says so itself.
        batch: The number of the batch that brings it; None: it comes alone.
    """

    uid: int
    id_json: str
    sku: str | None
    body: str
    digest: bytes
    values: tuple[str | None, ...]
    source: str | None
    keys: npt.NDArray[np.int64]
    batch: int | None = None


def parse_entity(raw: bytes, where: str = "", *, offset: int = 0) -> Entity:
    """Read one entity and check all that does not depend on an index.

    Args:
        raw: Its JSON.
        where: Its place in the request, such as `entities[3]`, for messages.
        offset: Where it begins in the body, for messages.

    Raises:
        BadInputError: Not JSON (with the offset), a value that no part can hold, no object, no usable id, a reserved
            field.
    """
    entity = read_json(raw, where, offset=offset)
    dot = f"{where}." if where else ""
    if not isinstance(entity, dict):
        raise BadInputError(f"{where or 'the body'} must be a JSON object", field=where or None)
    if "id" not in entity or entity["id"] is None:
        raise BadInputError(f"{dot}id is required", code=ErrorCode.MISSING_FIELD, field=f"{dot}id")
    identity = entity["id"]
    if isinstance(identity, bool) or not isinstance(identity, int | str) or _is_beyond(identity):
        raise BadInputError(f"{dot}id must be a string or a whole number of at most 64 bits", field=f"{dot}id")
    if isinstance(identity, str) and not 0 < len(identity) <= MAX_ID_CHARACTERS:
        raise BadInputError(f"{dot}id must have 1 to {MAX_ID_CHARACTERS} characters", field=f"{dot}id")
    if isinstance(entity.get("sku"), str) and len(entity["sku"]) > MAX_ID_CHARACTERS:
        raise BadInputError(f"{dot}sku must have at most {MAX_ID_CHARACTERS} characters", field=f"{dot}sku")
    if RESERVED in entity:
        raise BadInputError(
            f"{dot}{RESERVED} is reserved for the answer", code=ErrorCode.RESERVED_FIELD, field=f"{dot}{RESERVED}"
        )
    return entity


def read_checked_entity(raw: bytes) -> Entity:
    """Read an entity that `parse_entity` has accepted when it was staged, without checking it again."""
    entity: Entity = parse_json(raw.removeprefix(BYTE_ORDER_MARK))
    return entity


def _is_beyond(identity: int | str) -> bool:
    return isinstance(identity, int) and not -(1 << 63) <= identity < 1 << 64


def number_batch(job_id: UUID) -> int:
    """Return the number that a batch has for its entities: the end of its job's id, in 31 bits."""
    return job_id.int & 0x7FFF_FFFF


def make_draft(entity: Entity, raw: bytes, config: IndexConfig, where: str = "", *, batch: int | None = None) -> Draft:
    """Normalise a checked entity for an index.

    Raises:
        BadInputError: A required field is missing, or no indexed field has a value.
    """
    dot = f"{where}." if where else ""
    try:
        prepared = prepare(entity, config)
    except MissingFieldError as error:
        place = f"{dot}{error.name}"
        raise BadInputError(f"{place} is required", code=ErrorCode.MISSING_FIELD, field=place) from error
    except NoIndexedValueError as error:
        names = ", ".join(field.name for field in config.fields[:10])
        raise BadInputError(
            f"{where or 'the entity'} has no value in any indexed field ({names})", code=ErrorCode.NO_INDEXED_VALUE
        ) from error
    return _draft(entity, raw, prepared, batch)


def bare_draft(entity: Entity, raw: bytes, config: IndexConfig, *, batch: int | None = None) -> Draft:
    """Draft an entity that a changed index can no longer match: stored as it is, with no value and no key."""
    nothing = PreparedEntity(values=(None,) * len(config.fields), source=None, keys=np.empty(0, dtype=np.int64))
    return _draft(entity, raw, nothing, batch)


def _draft(entity: Entity, raw: bytes, prepared: PreparedEntity, batch: int | None) -> Draft:
    sku = entity.get("sku")
    return Draft(
        uid=entity_uid(entity["id"]),
        id_json=write_json(entity["id"]).decode(),
        sku=sku if isinstance(sku, str) and sku else None,
        body=raw.decode(),
        digest=hashlib.blake2b(write_json(entity, options=orjson.OPT_SORT_KEYS), digest_size=16).digest(),
        values=prepared.values,
        source=prepared.source,
        keys=prepared.keys,
        batch=batch,
    )


MAX_NAMED = 5


class ScalarFields:
    """Collects the top-level scalars of entities, for an index that takes every field that appears."""

    def __init__(self) -> None:
        self._types: dict[str, FieldType] = {}
        self._seen: set[tuple[str, type]] = set()

    def see(self, entity: Entity) -> None:
        """Note an entity's fields: one that is ever a string is text, else one that is ever a boolean is no number."""
        for name, value in entity.items():
            # Most entities bring nothing new.
            if (name, type(value)) not in self._seen:
                self._seen.add((name, type(value)))
                self._note(name, value)

    def _note(self, name: str, value: object) -> None:
        if name == "id" or not isinstance(value, str | int | float) or not 0 < len(name) <= 256:
            return
        known = self._types.get(name)
        if isinstance(value, str) or known is FieldType.TEXT:
            self._types[name] = FieldType.TEXT
        elif isinstance(value, bool) or known is FieldType.STRING:
            self._types[name] = FieldType.STRING
        else:
            self._types[name] = FieldType.NUMBER

    def extend(self, config: IndexConfig) -> IndexConfig:
        """Return the configuration with the new fields behind the known ones, in order of their names."""
        return append_fields(config, [IndexField(name=name, type=kind) for name, kind in sorted(self._types.items())])

    def left_out(self, config: IndexConfig) -> str | None:
        """Say what an index that takes every field had no room for, as a sentence; None: it has them all."""
        left = sorted(self._types.keys() - {field.name for field in config.fields})
        if not left:
            return None
        names = ", ".join(left[:MAX_NAMED]) + (", ..." if len(left) > MAX_NAMED else "")
        return f"the index compares {MAX_DYNAMIC_FIELDS} fields at most; {len(left)} more are only stored: {names}"


def append_fields(config: IndexConfig, fields: Iterable[IndexField]) -> IndexConfig:
    """Return the configuration with those fields behind its own that it does not have, as far as there is room."""
    names = {field.name for field in config.fields}
    grown = (config.fields + [field for field in fields if field.name not in names])[:MAX_DYNAMIC_FIELDS]
    return config if len(grown) == len(config.fields) else config.model_copy(update={"fields": grown})
