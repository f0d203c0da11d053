"""Small indexes and entities for the tests of matching."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from towpath.entities.domain.matching import CandidateIndex, Csr, PreparedEntity, Sample, entity_uid, prepare
from towpath.entities.types import FieldType, IndexConfig, IndexField


def index(clean: bool = False, /, **fields: str) -> IndexConfig:
    """An index with these fields and types."""
    return IndexConfig(
        index_name="test",
        fields=[IndexField(name=name, type=FieldType(kind)) for name, kind in fields.items()],
        source_field="source" if clean else None,
        clean_sources=clean,
    )


PERSONS = {"name": "string", "surname": "string", "street": "text", "born": "date", "income": "number"}


def persons(count: int, copies: float = 0.3, seed: int = 1) -> list[dict[str, Any]]:
    """Persons of two sources `a` and `b`; a share of those in `a` comes again in `b`, with a typing error.

    `person` tells who is meant.
    """
    rng = random.Random(seed)
    words = ["".join(rng.choice("bdklmnrst") + rng.choice("aeiou") for _ in range(3)) for _ in range(300)]
    rows: list[dict[str, Any]] = []
    for number in range(count):
        person: dict[str, Any] = {
            "id": f"a{number}",
            "person": number,
            "source": "a",
            "name": rng.choice(words[:60]),
            "surname": rng.choice(words),
            "street": f"{rng.choice(words)} street {rng.randint(1, 99)}",
            "born": f"{rng.randint(1930, 2000)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
            "income": rng.randint(10, 90) * 1000,
        }
        rows.append(person)
        if rng.random() < copies:
            surname = str(person["surname"])
            at = rng.randrange(len(surname))
            wrong = {"surname": surname[:at] + "x" + surname[at + 1 :], "income": None}
            rows.append({**person, "id": f"b{number}", "source": "b", **wrong})
    return rows


def prepared(rows: list[dict[str, Any]], config: IndexConfig) -> list[PreparedEntity]:
    """All of them, as the index keeps them."""
    return [prepare(row, config) for row in rows]


def sample(rows: list[dict[str, Any]], config: IndexConfig) -> Sample:
    """The entities with all their candidates."""
    entities = prepared(rows, config)
    uids = np.array([entity_uid(row["id"]) for row in rows], dtype=np.int64)
    names = sorted({entity.source for entity in entities if entity.source is not None})
    sources = np.array([-1 if e.source is None else names.index(e.source) for e in entities], dtype=np.int32)
    keys = Csr.of([entity.keys for entity in entities])
    order = np.argsort(uids)
    known = (uids[order], sources[order]) if config.clean_sources else None
    found = CandidateIndex.build(keys.keys, np.repeat(uids, np.diff(keys.starts)), len(rows), known)
    top = found.top(uids, keys, sources if config.clean_sources else None)
    return Sample(uids, [entity.values for entity in entities], uids[top.rows], top.uids, sources, names)
