"""Documents: extraction, its list of jobs, control, review, corrections, templates, classification."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from towpath.accounts.types import Principal
from towpath.api.http.auth import Editor, Operator, Reader
from towpath.api.http.bodies import body_of, read_body
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import IdempotencyKey, replay, respond_once, slot_of
from towpath.api.http.ids import ClassificationId, JobId, TemplateId
from towpath.api.http.responses import json_answer, moment
from towpath.api.http.routing import ApiRoute, make_validation_error, refuse_unknown
from towpath.api.http.state import AppState, State
from towpath.api.http.webhook_fields import read_job_endpoint
from towpath.api.routes.extraction_bodies import StartRequest, read_start
from towpath.api.routes.extraction_views import load_extraction_answer, load_job_entries, show_annotation, show_started
from towpath.core.bodies import field_names
from towpath.core.errors import BadInputError
from towpath.core.json_values import parse_json
from towpath.core.values import Moment
from towpath.extraction.service import retries, templates
from towpath.extraction.service.results import load_extraction, wait_for_result
from towpath.extraction.service.reviews import decide_review, list_corrections, load_review_history, save_correction
from towpath.extraction.service.starts import (
    ExtractionDraft,
    accept_job,
    check_classification,
    check_start,
    draft_job,
)
from towpath.extraction.types import (
    CLASSIFICATION,
    AnnotateBody,
    Classification,
    ClassificationBody,
    ExtractBody,
    ExtractOptions,
    ReviewBody,
    Template,
    TemplateBody,
)
from towpath.jobs.lists import JobFilter
from towpath.jobs.policy import JobAction
from towpath.jobs.registry import kinds
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobStatus, ReviewStatus, read_kind

router = APIRouter(tags=["extraction"], route_class=ApiRoute)
DOCUMENT = body_of(ExtractBody, file=True)


@router.get("/jobs", summary="List jobs of every kind")
async def list_jobs(
    state: State,
    caller: Reader,
    status: Annotated[str | None, Query(description="One or several, comma-separated.")] = None,
    review_status: Annotated[str | None, Query(alias="reviewStatus", description="As `status`.")] = None,
    template_id: Annotated[UUID | None, Query(alias="templateId")] = None,
    kind: Annotated[str | None, Query(description="As `status`.")] = None,
    page: Annotated[int, Query(ge=1, le=10_000_000)] = 1,
    size: Annotated[int, Query(ge=1, le=1000)] = 100,
    created_after: Annotated[Moment | None, Query(alias="createdAfter")] = None,
    created_before: Annotated[Moment | None, Query(alias="createdBefore")] = None,
    include_bodies: Annotated[bool, Query(alias="includeBodies")] = True,
) -> Response:
    """Newest first, counted exactly, stable while jobs come in."""
    job_filter = JobFilter(
        kinds=_kinds(kind),
        statuses=_words(JobStatus, status, "status"),
        review_statuses=_words(ReviewStatus, review_status, "reviewStatus"),
        template_id=template_id,
        created_after=created_after,
        created_before=created_before,
    )
    listed = await state.jobs.list_page(caller, job_filter, page=page, size=size)
    pages = -(-listed.total // size)
    return json_answer(
        {
            "jobs": await load_job_entries(state.extraction, listed.jobs, bodies=include_bodies),
            "pagination": {
                "currentPage": page,
                "pageSize": size,
                "totalCount": listed.total,
                "totalPages": pages,
                "nextPage": page + 1 if page < pages else None,
                "previousPage": min(page - 1, pages) or None if page > 1 else None,
            },
        }
    )


def _kinds(text: str | None) -> tuple[str, ...]:
    known = []
    for word in (text or "").split(","):
        if not word.strip():
            continue
        try:
            known.append(read_kind(word.strip()))
        except ValueError as error:
            raise BadInputError(
                f"kind: {word.strip()[:40]!r} is not one of {', '.join(kinds())}", field="kind"
            ) from error
    return tuple(known)


def _words(enumeration: Any, text: str | None, field: str) -> tuple[Any, ...]:
    members = []
    for word in (text or "").split(","):
        if not word.strip():
            continue
        try:
            members.append(enumeration(word.strip().upper()))
        except ValueError as error:
            raise BadInputError(
                f"{field}: {word.strip()[:40]!r} is not one of {', '.join(enumeration)}", field=field
            ) from error
    return tuple(members)


@router.get("/jobs/{jobId}", summary="One job")
async def get_job(state: State, caller: Reader, job_id: JobId) -> Response:
    """The shape of a list entry."""
    return await _entry(state, await state.jobs.find(caller, job_id))


async def _entry(state: AppState, job: JobRow) -> Response:
    return json_answer((await load_job_entries(state.extraction, [job], bodies=True))[0])


@router.post("/jobs/{jobId}/cancel", summary="Stop a job")
async def cancel_job(state: State, caller: Operator, job_id: JobId) -> Response:
    """What is finished stays; a pending review is withdrawn."""
    return await _entry(state, await state.jobs.cancel(caller, job_id, wait=True))


@router.post("/jobs/{jobId}/pause", summary="Pause a job")
async def pause_job(state: State, caller: Operator, job_id: JobId) -> Response:
    """No new page starts; repeats change nothing."""
    return await _entry(state, await state.jobs.pause(caller, job_id))


@router.post("/jobs/{jobId}/resume", summary="Let a paused job go on")
async def resume_job(state: State, caller: Operator, job_id: JobId) -> Response:
    """Goes on where the pause began; a job that is held for its review goes on by the review."""
    return await _entry(state, await state.jobs.resume(caller, job_id))


@router.post("/jobs/{jobId}/retry", summary="Run a failed job again")
async def retry_job(
    request: Request, state: State, caller: Operator, job_id: JobId, idempotency_key: IdempotencyKey = None
) -> Response:
    """From ERROR or CANCELLED; finished pages are kept."""
    slot, deadline = slot_of(request, caller, idempotency_key), read_deadline(request)
    job = await retries.retry_job(state.extraction, state.jobs, caller, job_id, slot=slot, deadline=deadline)
    return await _entry(state, job)


@router.post("/jobs/{jobId}/review", summary="Decide a review", openapi_extra=body_of(ReviewBody))
async def review_job(
    request: Request, state: State, caller: Operator, job_id: JobId, idempotency_key: IdempotencyKey = None
) -> Response:
    """APPROVED, REJECTED or CANCELLED, with a correction if one comes along; a held job goes on."""
    body, digest = await read_body(request, state, ReviewBody)
    slot = slot_of(request, caller, idempotency_key)
    job = await state.jobs.find(caller, job_id, JobAction.REVIEW)
    return await _entry(state, await decide_review(state.extraction, caller, job, body, slot=slot, digest=digest))


@router.get("/jobs/{jobId}/review", summary="The history of a review")
async def get_review(state: State, caller: Reader, job_id: JobId) -> Response:
    """Who decided what, and every revision of the corrections."""
    job = await state.jobs.find(caller, job_id)
    notes, revisions = await load_review_history(state.extraction, job)
    return json_answer(
        {
            "jobId": str(job.id),
            "reviewStatus": job.review_status,
            "decisions": [note.model_dump(mode="json") for note in notes],
            "revisions": revisions,
        }
    )


@router.post("/extract", summary="Extract a document", openapi_extra=DOCUMENT)
async def extract(request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None) -> Response:
    """By its URL, or as a file of a form; the answer is the address to poll."""
    started = await _start_extraction(request, state, caller, idempotency_key)
    return started if isinstance(started, Response) else json_answer(show_started(state, request, started))


async def _start_extraction(
    request: Request,
    state: AppState,
    caller: Principal,
    idempotency_key: str | None,
    *,
    is_waited_for: bool = False,
) -> JobRow | Response:
    body, start = await read_start(request, state, caller.organization, ExtractBody)
    params = await check_start(
        state.extraction,
        caller.organization,
        body,
        start.document,
        is_waited_for=is_waited_for,
        deadline=read_deadline(request),
    )
    draft = draft_job(
        state.extraction, caller, params, start.members, metadata=body.metadata, template_id=body.template_id
    )
    return await _accept(request, state, caller, start, draft, idempotency_key)


async def _accept(
    request: Request,
    state: AppState,
    caller: Principal,
    start: StartRequest,
    draft: ExtractionDraft,
    idempotency_key: str | None,
) -> JobRow | Response:
    """Store a job and start it, or give the first answer to a repeated request."""
    draft.job.deadline = read_deadline(request)
    target = await read_job_endpoint(request, state, start.webhook)
    slot = slot_of(request, caller, idempotency_key)
    async with state.db.transaction() as connection:
        if first := await slot.claim(connection):
            return replay(first, start.digest)
        job = await accept_job(connection, draft, target, max_jobs=state.limits.max_jobs(caller.organization))
        await slot.save(connection, start.digest, 200, show_started(state, request, draft.job))
    state.gateway.start_soon(job)
    return job


@router.get("/extract", summary="One extraction")
async def get_extract(
    state: State,
    caller: Reader,
    job_id: Annotated[UUID, Query(alias="jobId")],
    partial: Annotated[bool, Query(alias="includePartial", description="Show pages that are finished.")] = False,
) -> Response:
    """Its status, and its result once there is one."""
    job = await state.jobs.find(caller, job_id)
    extraction = await load_extraction(state.extraction, job)
    return json_answer(await load_extraction_answer(state.extraction, job, extraction, partial=partial))


@router.post("/extract/sync", summary="Extract a document and wait", openapi_extra=DOCUMENT)
async def extract_sync(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> Response:
    """The result as one answer; after 300 s a 202 with the address to poll, and the job goes on."""
    started = await _start_extraction(request, state, caller, idempotency_key, is_waited_for=True)
    if isinstance(started, Response):
        job = await state.jobs.find(caller, UUID(parse_json(bytes(started.body))["jobId"]))
    else:
        job = started
    job = await wait_for_result(state.extraction, job)
    if not job.state.final:
        return json_answer(show_started(state, request, job), 202)
    extraction = await load_extraction(state.extraction, job)
    answer = await load_extraction_answer(state.extraction, job, extraction)
    return json_answer({name: answer[name] for name in ("result", "jobId", "status", "reviewStatus")})


@router.post("/annotate", summary="Save a correction", openapi_extra=body_of(AnnotateBody))
@router.post("/extract-annotations", include_in_schema=False, openapi_extra=body_of(AnnotateBody))
async def post_annotation(
    request: Request, state: State, caller: Operator, idempotency_key: IdempotencyKey = None
) -> Response:
    """Creates one, or changes that of `annotationId`; the review stays as it is."""
    body, digest = await read_body(request, state, AnnotateBody)

    async def save(inside: AppState) -> dict[str, Any]:
        job = await inside.jobs.find(caller, body.job_id, JobAction.CORRECT)
        annotation = await save_correction(inside.extraction, caller, job, body)
        return {"success": True, "annotation": show_annotation(annotation)}

    return await respond_once(state, slot_of(request, caller, idempotency_key), digest, save)


@router.get("/annotations", summary="Corrections of a job")
async def get_annotations(state: State, caller: Reader, job_id: Annotated[UUID, Query(alias="jobId")]) -> Response:
    """Oldest first."""
    job = await state.jobs.find(caller, job_id)
    annotations = await list_corrections(state.extraction, job)
    return json_answer({"annotations": [show_annotation(annotation) for annotation in annotations]})


def _template(row: Template) -> dict[str, Any]:
    return {
        "templateId": str(row.id),
        "name": row.name,
        "schema": row.schema,
        "options": row.options,
        "createdAt": moment(row.created_at),
        "updatedAt": moment(row.updated_at),
    }


async def _template_body(
    request: Request, state: AppState, caller: Principal
) -> tuple[TemplateBody, dict[str, Any], bytes]:
    body, digest = await read_body(request, state, TemplateBody)
    if body.schema_ is not None:
        await templates.assert_schema(state.extraction, caller.organization, body.schema_)
    refuse_unknown(body.options, field_names(ExtractOptions), within="options")
    try:
        options = ExtractOptions.model_validate(body.options)
    except ValidationError as error:
        raise make_validation_error(TemplateBody, error, "options") from error
    return body, options.model_dump(mode="json", by_alias=True, exclude_unset=True), digest


@router.post("/templates", status_code=201, summary="Store settings", openapi_extra=body_of(TemplateBody))
async def create_template(
    request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """A start names them by `templateId`; what it says itself overrides them."""
    body, options, digest = await _template_body(request, state, caller)

    async def put(inside: AppState) -> dict[str, Any]:
        row = await templates.add_template(
            inside.db, caller.organization, name=body.name, schema=body.schema_, options=options
        )
        return _template(row)

    return await respond_once(state, slot_of(request, caller, idempotency_key), digest, put, status=201)


@router.get("/templates", summary="List templates")
async def list_templates(state: State, caller: Reader) -> Response:
    """In the order of their making."""
    rows = await templates.list_templates(state.extraction, caller)
    return json_answer({"templates": [_template(row) for row in rows]})


@router.get("/templates/{templateId}", summary="One template")
async def get_template(state: State, caller: Reader, template_id: TemplateId) -> Response:
    """As it is now."""
    return json_answer(_template(await templates.get_template(state.extraction, caller, template_id)))


@router.put("/templates/{templateId}", summary="Change a template", openapi_extra=body_of(TemplateBody))
async def put_template(request: Request, state: State, caller: Editor, template_id: TemplateId) -> Response:
    """As a whole; jobs that run keep what they took from it."""
    body, options, _ = await _template_body(request, state, caller)
    row = await templates.change_template(
        state.extraction, caller, template_id, name=body.name, schema=body.schema_, options=options
    )
    return json_answer(_template(row))


@router.delete("/templates/{templateId}", status_code=204, summary="Delete a template")
async def delete_template(state: State, caller: Editor, template_id: TemplateId) -> None:
    """Jobs that used it stay."""
    await templates.delete_template(state.extraction, caller, template_id)


@router.post(
    "/classification",
    status_code=201,
    summary="Name classes of documents",
    openapi_extra=body_of(ClassificationBody),
)
async def create_classification(
    request: Request, state: State, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Each class with examples of what is written in its documents."""
    body, digest = await read_body(request, state, ClassificationBody)
    templates.assert_class_names(body)

    async def add(inside: AppState) -> dict[str, Any]:
        return _classification(await templates.add_classification(inside.db, caller.organization, body))

    return await respond_once(state, slot_of(request, caller, idempotency_key), digest, add, status=201)


def _classification(row: Classification) -> dict[str, Any]:
    return {"id": str(row.id), "name": row.name, "options": row.options, "createdAt": moment(row.created_at)}


@router.get("/classification/{classificationId}", summary="Classes of documents")
async def get_classification(state: State, caller: Reader, classification_id: ClassificationId) -> Response:
    """With their examples."""
    return json_answer(_classification(await templates.get_classification(state.extraction, caller, classification_id)))


@router.post("/classification/{classificationId}/run", summary="Classify a document", openapi_extra=DOCUMENT)
async def run_classification(
    request: Request,
    state: State,
    caller: Operator,
    classification_id: ClassificationId,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """A job whose result is the class, how sure it is, and why."""
    row = await templates.get_classification(state.extraction, caller, classification_id)
    body, start = await read_start(request, state, caller.organization, ExtractBody)
    params = await check_classification(
        state.extraction,
        caller.organization,
        body,
        start.document,
        row.options,
        deadline=read_deadline(request),
    )
    draft = draft_job(state.extraction, caller, params, start.members, kind=CLASSIFICATION, metadata=body.metadata)
    started = await _accept(request, state, caller, start, draft, idempotency_key)
    return started if isinstance(started, Response) else json_answer(show_started(state, request, started))
