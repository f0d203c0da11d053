"""Indexes of entities: one entity with its candidates and why, its group, and the groups of an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from towpath.api.console.console import PageVisitor, console_page
from towpath.api.console.failures import PageRoute
from towpath.api.entity_answers import candidate, group_view
from towpath.api.http.state import State
from towpath.core.json_values import parse_json, write_json
from towpath.db.engine import Connection
from towpath.entities.domain.matching import entity_uid
from towpath.entities.store import pairs as pair_store
from towpath.entities.store.indexes import Index, list_indexes
from towpath.entities.store.records import find_entity
from towpath.entities.types import Candidate, Explanation, GroupView, IndexConfig

router = APIRouter(prefix="/console/entities", route_class=PageRoute, include_in_schema=False)
HERE = "/console/entities"
MAX_INDEXES = 200
MAX_CANDIDATES = 20
GROUPS_A_PAGE = 25
MAX_PAGE = 100_000
MEMBERS_SHOWN = 12
MAX_VALUE = 400
MAX_FIELDS = 200
MIN_SCALE = 4.0
"""Bits that a bar's half stands for at least, so that weak evidence looks weak."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one field says, as a bar: `start` and `width` in percent of the bar's whole width."""

    name: str
    bits: float
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A candidate with the evidence for and against."""

    found: Candidate
    evidence: list[Evidence]
    total: float


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity; `matched` are the fields that its index looks at."""

    id: Any
    fields: list[tuple[str, str, bool]]
    pairs: list[Pair]
    total: int
    group: GroupView | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the entities somebody is."""

    index: str
    id: str = ""
    page: int = 1

    def at(self, *, id: Any = "", page: int = 1) -> str:
        """The address of an entity of this index, or of a page of its groups."""
        told = {"index": self.index, "id": str(id), "page": page if page > 1 else ""}
        return f"{HERE}?{urlencode({name: value for name, value in told.items() if value})}"


def evidence_of(config: IndexConfig, explanation: Explanation, scale: float) -> tuple[list[Evidence], float]:
    """An explanation as bars on one scale, in the order of the index's fields, the prior first; and their sum."""
    told = {one.field: one.contribution for one in [*explanation.matched, *explanation.conflicting]}
    named = [("before any field", explanation.prior), *((one.name, told.get(one.name, 0.0)) for one in config.fields)]
    return [_bar(name, bits, scale) for name, bits in named], sum(bits for _, bits in named)


def _bar(name: str, bits: float, scale: float) -> Evidence:
    width = min(abs(bits) / scale, 1.0) * 50
    return Evidence(name, bits, round(50.0 if bits >= 0 else 50.0 - width, 2), round(width, 2))


def _scale(candidates: list[Candidate]) -> float:
    """The strongest evidence of all candidates, so that their bars can be compared."""
    found = [MIN_SCALE]
    for one in candidates:
        if one.explanation is not None:
            found.append(abs(one.explanation.prior))
            found += [abs(part.contribution) for part in [*one.explanation.matched, *one.explanation.conflicting]]
    return max(found)


def flat(entity: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The values of an entity by their dotted paths."""
    for name, value in entity.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and value:
            yield from flat(value, here)
        else:
            text = value if isinstance(value, str) else write_json(value).decode()
            yield here, text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


async def _entity(connection: Connection, index: Index, given: str) -> Entity | None:
    found = await find_entity(connection, index.index_no, given, entity_uid(given))
    if found is None:
        return None
    uid, body = found
    entity = parse_json(body)
    rows, total = await pair_store.page_partners(
        connection, index.index_no, uid,
        minimum=index.config.candidate_threshold, duplicates_only=False, limit=MAX_CANDIDATES, offset=0,
    )  # fmt: skip
    candidates = [candidate(index.config, row, explain=True) for row in rows]
    scale = _scale(candidates)
    pairs = []
    for one in candidates:
        assert one.explanation is not None
        evidence, bits = evidence_of(index.config, one.explanation, scale)
        pairs.append(Pair(one, evidence, bits))
    looked_at = {field.name for field in index.config.fields}
    return Entity(
        id=entity.get("id"),
        fields=[(name, text, name in looked_at) for name, text in list(flat(entity))[:MAX_FIELDS]],
        pairs=pairs,
        total=total,
        group=await _group(connection, index, uid),
    )


async def _group(connection: Connection, index: Index, uid: int) -> GroupView | None:
    group = await pair_store.group_of(connection, index.index_no, uid)
    if group is None:
        return None
    rows, _ = await pair_store.page_groups(connection, index.index_no, limit=1, offset=0, group_uid=group)
    return group_view(rows[0]) if rows else None


@router.get("")
async def show(
    state: State,
    visitor: PageVisitor,
    index: Annotated[str, Query(max_length=128)] = "",
    given: Annotated[str, Query(alias="id", max_length=512)] = "",
    page: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1,
) -> Response:
    """An index, with one of its entities if an id is given, else with its groups."""
    wanted = given.strip().replace("\x00", "")
    async with state.db.transaction() as connection:
        indexes, _ = await list_indexes(connection, visitor.caller.organization, limit=MAX_INDEXES, offset=0)
        chosen = next((one for one in indexes if one.name == index), indexes[0] if indexes else None)
        entity, groups, total = None, [], 0
        if chosen is not None and wanted:
            entity = await _entity(connection, chosen, wanted)
        elif chosen is not None:
            offset = (page - 1) * GROUPS_A_PAGE
            rows, total = await pair_store.page_groups(
                connection, chosen.index_no, limit=GROUPS_A_PAGE, offset=offset
            )  # fmt: skip
            groups = [group_view(row) for row in rows]
    return await console_page(
        state,
        visitor,
        "entities.html",
        indexes=indexes,
        chosen=chosen,
        unknown=bool(index) and (chosen is None or chosen.name != index),
        wanted=wanted,
        entity=entity,
        groups=groups,
        total=total,
        pages=max(ceil(total / GROUPS_A_PAGE), 1),
        place=Place(chosen.name if chosen else "", wanted, page),
        members=MEMBERS_SHOWN,
    )
