"""Reviewing an extraction: the queue, the document beside its fields, correcting, deciding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from towpath.api.console.console import PageVisitor, PartVisitor, console_page, is_shown_on_page
from towpath.api.console.failures import PageRoute
from towpath.api.console.job_words import subject_of
from towpath.api.console.rendering import render
from towpath.api.console.review_form import Node
from towpath.api.console.review_typed import TypedForm, change_rows, list_wrong_fields, read_data
from towpath.api.console.review_views import Reviewed, load_review_view, load_reviewed, make_form
from towpath.api.console.sheets import read_sheets
from towpath.api.console.visitors import Visitor, read_form
from towpath.api.http.state import AppState, State
from towpath.core.errors import BadInputError, ConflictError, NotFoundError, TowpathError
from towpath.extraction.domain.shapes import find_changes
from towpath.extraction.service.results import load_extraction, load_picture
from towpath.extraction.service.reviews import decide_review, find_pending_review, save_correction
from towpath.extraction.types import EXTRACTION, AnnotateBody, ReviewBody
from towpath.jobs.policy import JobAction
from towpath.jobs.types import ReviewStatus

router = APIRouter(prefix="/console", route_class=PageRoute, include_in_schema=False)
MAX_FIELDS = 20_000
MAX_COMMENT = 4000
KEPT_AN_HOUR = "private, max-age=3600"
DECISIONS = {
    "approve": ReviewStatus.APPROVED,
    "reject": ReviewStatus.REJECTED,
    "withdraw": ReviewStatus.CANCELLED,
}
SAVE = "save"
OVERTAKEN = (
    "somebody else has corrected this meanwhile; what you have typed is still here: repeat it to put it in the place of"
    " that, or open the page anew"
)


@router.get("/review")
async def queue(
    state: State, visitor: PageVisitor, after: UUID | None = None, done: UUID | None = None
) -> Response:  # fmt: skip
    """Leads to the next job that waits, or says that none does.

    Args:
        after: The job that is skipped.
        done: The job that was just decided.
    """
    seen = after or done
    last = None if seen is None else await state.jobs.find(visitor.caller, seen)
    job = await find_pending_review(state.extraction, visitor.caller, after=last)
    if job is not None:
        query = f"?done={done}" if done else ""
        return RedirectResponse(f"/console/jobs/{job.id}/review{query}", 303)
    return await console_page(
        state, visitor, "review_queue.html", done=await _describe_decided(state, visitor, done), skipped=after
    )


async def _describe_decided(state: AppState, visitor: Visitor, job_id: UUID | None) -> dict[str, Any] | None:
    """Return what is said of the job that was decided before; None: nothing."""
    if job_id is None:
        return None
    try:
        job = await state.jobs.find(visitor.caller, job_id)
    except NotFoundError:
        return None
    words = {ReviewStatus.APPROVED: "approved", ReviewStatus.REJECTED: "rejected", ReviewStatus.CANCELLED: "withdrawn"}
    status = words.get(ReviewStatus(job.review_status)) if job.review_status else None
    return None if status is None else {"subject": subject_of(job), "status": status, "job_id": job.id}


@router.get("/jobs/{job_id}/review")
async def show(
    state: State,
    visitor: PageVisitor,
    job_id: UUID,
    page: Annotated[int, Query(ge=1)] = 1,
    done: UUID | None = None,
    saved: bool = False,
) -> Response:
    """The document beside its fields."""
    reviewed = await load_reviewed(state, visitor.caller, job_id)
    decided = await _describe_decided(state, visitor, done)
    return await _page(state, visitor, reviewed, make_form(reviewed), page=page, decided=decided, saved=saved)


async def _page(
    state: AppState,
    visitor: Visitor,
    reviewed: Reviewed,
    form: Node | None,
    *,
    page: int = 1,
    decided: dict[str, Any] | None = None,
    saved: bool = False,
    comment: str = "",
    whole: str = "",
    refused: TowpathError | None = None,
    version: str | None = None,
    typed: bool = False,
    code: int = 200,
) -> HTMLResponse:
    """Show the page.

    Args:
        state: The parts that routes use.
        visitor: Who looks.
        reviewed: What is reviewed.
        form: Its data in a form; None: there is nothing to correct.
        page: The page of the document that is in sight.
        decided: What was decided before, of another job.
        saved: Whether a correction was just saved.
        comment: What stands in the comment.
        whole: What is wrong with the data, and belongs to no field.
        refused: Why what was sent was not taken.
        version: What the form was made of, where it is shown again.
        typed: Whether the form holds something that is not saved.
        code: The status of the answer.
    """
    view = await load_review_view(state, reviewed, form, page=page)
    values: dict[str, Any] = {"view": view, "page": page, "done": decided, "saved": saved, "comment": comment}
    values |= {"whole": whole, "version": reviewed.version if version is None else version, "typed": typed}
    values["wrong"] = [] if form is None else [(node.id, name) for node, name in form.called() if node.error]
    return await console_page(state, visitor, "review.html", refused=refused, code=code, **values)


@router.post("/jobs/{job_id}/review")
async def act(request: Request, state: State, visitor: PageVisitor, job_id: UUID) -> Response:
    """Saves corrections or decides; what is wrong comes back beside what was typed."""
    form_values = await read_form(request, most_fields=MAX_FIELDS)
    visitor.check(request, form_values)
    if any("\x00" in value for value in form_values.values()):
        raise BadInputError("the form holds a NUL character")
    reviewed = await load_reviewed(state, visitor.caller, job_id)
    if "row" in form_values:
        form = await _read_form(state, reviewed, change_rows(form_values, form_values["row"]))
        return await _show_again(state, visitor, reviewed, form_values, form)
    form, act_name = await _read_form(state, reviewed, form_values), form_values.get("act", "")
    data, whole = None, ""
    if form is not None:
        data, whole = await state.checks.run(reviewed.job.organization, read_data, form, reviewed.schema or {})
    # What was extracted may break its schema, and is nobody's mistake here.
    is_changed = data is not None and bool(find_changes(reviewed.data, data))
    is_wrong = is_changed and (bool(whole) or (form is not None and bool(list_wrong_fields(form))))
    if is_wrong and act_name in {SAVE, "approve"}:
        return await _show_again(state, visitor, reviewed, form_values, form, whole=whole, code=400)
    changed = data if is_changed and not is_wrong else None
    if changed is not None and form_values.get("version", "") != reviewed.version:
        return await _show_again(
            state, visitor, reviewed, form_values, form, refused=ConflictError(OVERTAKEN), version=reviewed.version
        )
    try:
        return await _act(state, visitor, reviewed, form_values, changed)
    except TowpathError as refused:
        if not is_shown_on_page(refused):
            raise
        # Somebody else may have been quicker: the page says how it is now, around what was typed.
        now = await load_reviewed(state, visitor.caller, job_id)
        return await _show_again(state, visitor, now, form_values, form, refused=refused)


async def _read_form(state: AppState, reviewed: Reviewed, form_values: Mapping[str, str]) -> Node | None:
    if reviewed.schema is None or reviewed.data is None:
        return None
    return await state.checks.run(reviewed.job.organization, TypedForm(reviewed.schema, form_values).of_form)


async def _show_again(
    state: AppState,
    visitor: Visitor,
    reviewed: Reviewed,
    form_values: Mapping[str, str],
    form: Node | None,
    **more: Any,
) -> HTMLResponse:
    """Show the page with what was typed still in it."""
    number = form_values.get("page", "1")
    more = {"version": form_values.get("version", "")} | more
    page = int(number) if number.isdecimal() and len(number) < 6 else 1
    return await _page(
        state, visitor, reviewed, form, page=page, comment=form_values.get("comment", ""), typed=True, **more
    )  # fmt: skip


async def _act(
    state: AppState,
    visitor: Visitor,
    reviewed: Reviewed,
    form_values: Mapping[str, str],
    changed: dict[str, Any] | None,
) -> Response:
    """Do what was asked for.

    Raises:
        BadInputError: Nothing that is known, or a rejection without a reason.
        ConflictError: Somebody else has decided it.
    """
    act_name, comment = form_values.get("act", ""), form_values.get("comment", "").replace("\r\n", "\n").strip()
    here = f"/console/jobs/{reviewed.job.id}/review"
    if act_name == SAVE:
        if changed is not None:
            await _save(state, visitor, reviewed, changed)
        return RedirectResponse(f"{here}?saved={'true' if changed is not None else 'false'}", 303)
    decision = DECISIONS.get(act_name)
    if decision is None:
        raise BadInputError("choose what to do: save, approve, reject or withdraw", field="act")
    if decision is ReviewStatus.REJECTED and not comment:
        raise BadInputError("say in the comment why it is rejected", field="comment")
    if len(comment) > MAX_COMMENT:
        raise BadInputError(f"the comment has at most {MAX_COMMENT:,} characters", field="comment")
    body = ReviewBody.model_validate({"decision": decision, "comment": comment or None, "annotated_data": changed})
    job = await state.jobs.find(visitor.caller, reviewed.job.id, JobAction.REVIEW)
    await decide_review(state.extraction, visitor.caller, job, body)
    return RedirectResponse(f"/console/review?done={reviewed.job.id}", 303)


async def _save(state: AppState, visitor: Visitor, reviewed: Reviewed, changed: dict[str, Any]) -> None:
    annotation_id = None if reviewed.annotation is None else reviewed.annotation.id
    body = AnnotateBody(job_id=reviewed.job.id, annotated_data=changed, annotation_id=annotation_id)
    job = await state.jobs.find(visitor.caller, reviewed.job.id, JobAction.CORRECT)
    await save_correction(state.extraction, visitor.caller, job, body)


@router.get("/jobs/{job_id}/pages/{number}.jpg")
async def picture(state: State, visitor: PartVisitor, job_id: UUID, number: int) -> Response:
    """A page's picture."""
    job = await state.jobs.find(visitor.caller, job_id)
    image = await load_picture(state.extraction, job, number)
    return Response(image, media_type="image/jpeg", headers={"Cache-Control": KEPT_AN_HOUR})


@router.get("/jobs/{job_id}/pages/{number}")
async def one_sheet(state: State, visitor: PartVisitor, job_id: UUID, number: int) -> HTMLResponse:
    """One page of the document, for the script."""
    job = await state.jobs.find(visitor.caller, job_id)
    if job.kind != EXTRACTION:
        raise NotFoundError("this job has no document")
    extraction = await load_extraction(state.extraction, job)
    sheets = await read_sheets(state, job.organization, job.id, extraction, {number})
    sheet = next((sheet for sheet in sheets if sheet.number == number), None)
    if sheet is None:
        raise NotFoundError("the document has no such page")
    total = len(sheets) if extraction.opened is None else extraction.opened.pages_total
    return HTMLResponse(render("sheet.html", sheet=sheet, total=total, at=f"/console/jobs/{job_id}"))
