"""One group for people: its members, what holds it together, its golden record, why, its history; correcting it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from towpath.api.console.console import PageVisitor, check_editor, console_page, is_shown_on_page
from towpath.api.console.entities_page import MIN_SCALE, Evidence, evidence_of
from towpath.api.console.failures import PageRoute
from towpath.api.console.visitors import Visitor, read_pairs
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError, NotFoundError, TowpathError
from towpath.db.engine import Connection
from towpath.entities.domain.golden import Override, SurvivalRule
from towpath.entities.group_types import GroupDetail, IndexEvent, MergeBody, SplitBody, WhyView
from towpath.entities.types import Explanation, IndexConfig, PairView

router = APIRouter(prefix="/console/entities/group", route_class=PageRoute, include_in_schema=False)
HERE = "/console/entities/group"
INDEX = "/console/entities"
MAX_FIELDS = 1_100
"""Of a form: every listed member may be ticked."""
MAX_EVENTS = 50
IndexName = Annotated[str, Query(max_length=128)]
GroupName = Annotated[str, Query(max_length=64)]


@dataclass(frozen=True, slots=True)
class Link:
    """A pair of the evidence with its bars."""

    pair: PairView
    evidence: list[Evidence]


def _address(index: str, group: str) -> str:
    return f"{HERE}?{urlencode({'index': index, 'group': group})}"


def _links(config: IndexConfig, pairs: list[PairView]) -> list[Link]:
    strengths = [MIN_SCALE]
    for pair in pairs:
        if pair.explanation is not None:
            parts = [*pair.explanation.matched, *pair.explanation.conflicting]
            strengths += [abs(pair.explanation.prior), *(abs(part.contribution) for part in parts)]
    nothing = Explanation(prior=0.0, matched=[], conflicting=[])
    return [Link(pair, evidence_of(config, pair.explanation or nothing, max(strengths))[0]) for pair in pairs]


async def _page(
    state: AppState,
    visitor: Visitor,
    index: str,
    group: str,
    *,
    rule: SurvivalRule | None = None,
    other: str = "",
    refused: TowpathError | None = None,
) -> Response:
    organization = visitor.caller.organization
    config = await state.indexes.read(organization, index)
    detail: GroupDetail = await state.groups.read(organization, index, group, Override(rule), explain=True)
    why: WhyView | None = None
    missing = False
    if other:
        try:
            why = await state.groups.explain_pair(organization, index, str(detail.entity_ids[0]), other)
        except NotFoundError:
            missing = True
    events: list[IndexEvent] = (
        await state.index_events.read_page(organization, index, after=0, limit=MAX_EVENTS, group_id=group)
    ).events
    return await console_page(
        state,
        visitor,
        "group.html",
        refused=refused,
        index=index,
        group=detail,
        links=_links(config, detail.evidence),
        events=events[::-1],
        rules=list(SurvivalRule),
        rule=rule,
        other=other,
        why=why,
        missing=missing,
        address=_address(index, group),
    )


@router.get("")
async def show(
    state: State,
    visitor: PageVisitor,
    index: IndexName = "",
    group: GroupName = "",
    rule: Annotated[str, Query(max_length=32)] = "",
    other: Annotated[str, Query(max_length=512)] = "",
) -> Response:
    """A group, and if an id is given why that entity is in it or not."""
    chosen = _read_rule(rule)
    return await _page(state, visitor, index, group, rule=chosen, other=other.strip().replace("\x00", ""))


def _read_rule(word: str) -> SurvivalRule | None:
    """Read the rule of a form; nothing: those of the index.

    Raises:
        BadInputError: There is no such rule.
    """
    try:
        return SurvivalRule(word) if word else None
    except ValueError as error:
        raise BadInputError(f"rule is one of {', '.join(SurvivalRule)}", field="rule") from error


@router.post("/split")
async def split(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Splits the group: those who are ticked leave it."""
    return await _correct(request, state, visitor, "split")


@router.post("/merge")
async def merge(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Takes an entity, or the group that it is in, into the group."""
    return await _correct(request, state, visitor, "merge")


@router.post("/undo")
async def undo(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Takes the newest correction of the group back."""
    return await _correct(request, state, visitor, "undo")


async def _correct(request: Request, state: AppState, visitor: Visitor, act: str) -> Response:
    pairs = await read_pairs(request, most_fields=MAX_FIELDS)
    form = dict(pairs)
    check_editor(visitor, request, form)
    index, group = form.get("index", ""), form.get("group", "")
    try:
        after = await _apply(state, visitor, act, form, [value for name, value in pairs if name == "member"])
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, index, group, refused=refused)
    return RedirectResponse(_address(index, after) if after else f"{INDEX}?{urlencode({'index': index})}", 303)


async def _apply(state: AppState, visitor: Visitor, act: str, form: dict[str, str], members: list[str]) -> str | None:
    """Make a correction, and return a group that it has led to."""
    index, group = form.get("index", ""), form.get("group", "")
    caller, service = visitor.caller, state.corrections

    async def write(connection: Connection) -> str | None:
        if act == "undo":
            view = await service.undo(connection, caller, index, group, None)
        elif act == "split":
            body = SplitBody.model_validate({"leave": members})
            view = await service.split(connection, caller, index, group, body)
        else:
            merged = MergeBody.model_validate({"entityIds": [form.get("other", "").strip()]})
            view = await service.merge(connection, caller, index, group, merged)
        names = [remaining.group_id for remaining in view.groups]
        return group if group in names else next(iter(names), None)

    try:
        return await state.db.repeatable(write)
    except ValidationError as error:
        raise BadInputError("choose who leaves the group, but not all of its members") from error
