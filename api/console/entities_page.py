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
from towpath.api.http.state import State
from towpath.core.json_values import write_json
from towpath.entities.service.entities import EntityDetail
from towpath.entities.types import JUDGE_PART, LABEL_PART, Candidate, Explanation, GroupView, IndexConfig

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
BESIDE_FIELDS = {LABEL_PART: "a label", JUDGE_PART: "a model's judgement"}
"""What an explanation may have besides the prior and the fields, and how it is called."""


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

    candidate: Candidate
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
        """Return the address of an entity of this index, or of a page of its groups."""
        parameters = {"index": self.index, "id": str(id), "page": page if page > 1 else ""}
        return f"{HERE}?{urlencode({name: value for name, value in parameters.items() if value})}"


def evidence_of(config: IndexConfig, explanation: Explanation, scale: float) -> tuple[list[Evidence], float]:
    """Return an explanation as bars on one scale, and their sum.

    The prior comes first, then the fields in their order, then what a label or the judgement of a model has.
    """
    bits_by_field = {part.field: part.contribution for part in [*explanation.matched, *explanation.conflicting]}
    named = [
        ("before any field", explanation.prior),
        *((part.name, bits_by_field.get(part.name, 0.0)) for part in config.fields),
        *((words, bits_by_field[part]) for part, words in BESIDE_FIELDS.items() if part in bits_by_field),
    ]
    return [_bar(name, bits, scale) for name, bits in named], sum(bits for _, bits in named)


def _bar(name: str, bits: float, scale: float) -> Evidence:
    width = min(abs(bits) / scale, 1.0) * 50
    return Evidence(name, bits, round(50.0 if bits >= 0 else 50.0 - width, 2), round(width, 2))


def _scale(candidates: list[Candidate]) -> float:
    """The strongest evidence of all candidates, so that their bars can be compared."""
    strengths = [MIN_SCALE]
    for candidate in candidates:
        if candidate.explanation is not None:
            strengths.append(abs(candidate.explanation.prior))
            strengths += [
                abs(part.contribution) for part in [*candidate.explanation.matched, *candidate.explanation.conflicting]
            ]
    return max(strengths)


def flat(entity: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Return the values of an entity by their dotted paths."""
    for name, value in entity.items():
        here = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and value:
            yield from flat(value, here)
        else:
            text = value if isinstance(value, str) else write_json(value).decode()
            yield here, text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def _show_entity(config: IndexConfig, detail: EntityDetail) -> Entity:
    scale = _scale(detail.candidates)
    pairs = []
    for candidate in detail.candidates:
        assert candidate.explanation is not None
        evidence, bits = evidence_of(config, candidate.explanation, scale)
        pairs.append(Pair(candidate, evidence, bits))
    looked_at = {field.name for field in config.fields}
    return Entity(
        id=detail.entity.get("id"),
        fields=[(name, text, name in looked_at) for name, text in list(flat(detail.entity))[:MAX_FIELDS]],
        pairs=pairs,
        total=detail.total,
        group=detail.group,
    )


@router.get("")
async def show(
    state: State,
    visitor: PageVisitor,
    index: Annotated[str, Query(max_length=128)] = "",
    entity_text: Annotated[str, Query(alias="id", max_length=512)] = "",
    page: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1,
) -> Response:
    """An index, with one of its entities if an id is given, else with its groups."""
    entity_id = entity_text.strip().replace("\x00", "")
    overview = await state.entities.read_overview(
        visitor.caller.organization,
        index,
        entity_id,
        max_indexes=MAX_INDEXES,
        max_candidates=MAX_CANDIDATES,
        limit=GROUPS_A_PAGE,
        offset=(page - 1) * GROUPS_A_PAGE,
    )
    chosen, detail = overview.chosen, overview.detail
    return await console_page(
        state,
        visitor,
        "entities.html",
        indexes=overview.indexes,
        chosen=chosen,
        unknown=bool(index) and (chosen is None or chosen.name != index),
        wanted=entity_id,
        entity=_show_entity(chosen.config, detail) if chosen and detail else None,
        groups=overview.groups,
        total=overview.total,
        pages=max(ceil(overview.total / GROUPS_A_PAGE), 1),
        place=Place(chosen.name if chosen else "", entity_id, page),
        members=MEMBERS_SHOWN,
    )
