"""How good an index is, and the pairs that a person is asked about: same, different, or left open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from towpath.api.console.console import PageVisitor, check_editor, console_page, is_shown_on_page
from towpath.api.console.entities_page import Evidence, evidence_of, flat
from towpath.api.console.failures import PageRoute
from towpath.api.console.visitors import Visitor, read_form
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError, TowpathError
from towpath.core.json_values import write_json
from towpath.db.engine import Connection
from towpath.entities.quality_types import LabelSuggestion, QualityView
from towpath.entities.types import IndexConfig, Label, LabelsBody

router = APIRouter(prefix="/console/entities/quality", route_class=PageRoute, include_in_schema=False)
HERE = "/console/entities/quality"
ANSWER = "pair"
"""The names of the answers begin so; what each is about stands in its value."""
PAIRS_A_PAGE = 10
VALUES_SHOWN = 30
MIN_SCALE = 4.0

IndexName = Annotated[str, Query(max_length=128)]


@dataclass(frozen=True, slots=True)
class Question:
    """A pair to be labelled, field by field, with the evidence and what each answer sends."""

    suggestion: LabelSuggestion
    rows: list[tuple[str, str, str, bool]]
    evidence: list[Evidence]
    total: float
    same: str
    different: str


def _question(config: IndexConfig, suggestion: LabelSuggestion) -> Question:
    left, right = dict(flat(suggestion.entity.body)), dict(flat(suggestion.other.body))
    looked_at = [field.name for field in config.fields]
    names = [*looked_at, *(name for name in [*left, *right] if name not in looked_at)]
    rows = [
        (name, left.get(name, ""), right.get(name, ""), name in looked_at)
        for name in dict.fromkeys(names)
        if name != "id" and (name in left or name in right)
    ]
    explanation = suggestion.explanation
    parts = [*explanation.matched, *explanation.conflicting]
    scale = max([MIN_SCALE, abs(explanation.prior), *(abs(part.contribution) for part in parts)])
    evidence, total = evidence_of(config, explanation, scale)
    answers = [
        Label(entity_id=suggestion.entity_id, duplicate_id=suggestion.duplicate_id, duplicate=duplicate)
        for duplicate in (True, False)
    ]
    same, different = (write_json(answer.model_dump(mode="json", by_alias=True)).decode() for answer in answers)
    return Question(suggestion, rows[:VALUES_SHOWN], evidence, total, same, different)


async def _page(
    state: AppState, visitor: Visitor, name: str, *, saved: int = 0, refused: TowpathError | None = None
) -> Response:
    organization = visitor.caller.organization
    index = await state.indexes.read(organization, name)
    report: QualityView = await state.quality.report(organization, name)
    suggestions = await state.quality.suggest_labels(organization, name, limit=PAIRS_A_PAGE)
    return await console_page(
        state,
        visitor,
        "quality.html",
        refused=refused,
        index=index,
        report=report,
        questions=[_question(index, suggestion) for suggestion in suggestions.suggestions],
        answer=ANSWER,
        saved=saved,
    )


@router.get("")
async def show(
    state: State, visitor: PageVisitor, index: IndexName, saved: Annotated[int, Query(ge=0, le=PAIRS_A_PAGE)] = 0
) -> Response:
    """The report of an index, and the pairs to label."""
    return await _page(state, visitor, index.replace("\x00", ""), saved=saved)


@router.post("")
async def answer(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Stores the answers, and asks about the next pairs."""
    form = await read_form(request)
    check_editor(visitor, request, form)
    name = form.get("index", "")
    values = [value for key, value in form.items() if key.startswith(ANSWER) and value]
    try:
        body = _read_answers(values)
        await state.db.repeatable(
            partial(_store, state=state, organization=visitor.caller.organization, name=name, body=body)
        )
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, name, refused=refused)
    return RedirectResponse(f"{HERE}?{urlencode({'index': name, 'saved': len(body.labels)})}", 303)


async def _store(connection: Connection, state: AppState, *, organization: str, name: str, body: LabelsBody) -> None:
    await state.corrections.add_labels(connection, organization, name, body)


def _read_answers(values: Sequence[str]) -> LabelsBody:
    if not values:
        raise BadInputError("answer at least one pair", field=ANSWER)
    try:
        return LabelsBody(labels=[Label.model_validate_json(value) for value in values])
    except ValidationError as error:
        raise BadInputError("an answer is not one of this page", field=ANSWER) from error


@router.post("/tune")
async def tune(request: Request, state: State, visitor: PageVisitor) -> Response:
    """Starts the job that learns from the answers, and shows it."""
    form = await read_form(request)
    check_editor(visitor, request, form)
    name, caller = form.get("index", ""), visitor.caller
    try:
        async with state.db.transaction() as connection:
            most = state.limits.max_jobs(caller.organization)
            job = await state.indexes.tune(connection, caller, name, max_jobs=most)
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        return await _page(state, visitor, name, refused=refused)
    state.gateway.start_soon(job)
    return RedirectResponse(f"/console/jobs/{job.id}", 303)
