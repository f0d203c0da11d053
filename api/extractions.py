"""Extraction jobs behind their routes and pages: accepted, controlled, reviewed, corrected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

from fastapi import Request

from towpath.accounts.types import Principal
from towpath.api.ai_jobs import chosen_llm
from towpath.api.documents import Sent
from towpath.api.http.deadlines import read_deadline
from towpath.api.http.idempotency import Remembered, Slot
from towpath.api.http.links import public_base
from towpath.api.http.state import AppState
from towpath.api.job_control import find_job
from towpath.api.webhook_targets import read_target
from towpath.core.errors import BadInputError, ConflictError, ErrorCode, NotFoundError
from towpath.core.json_schema import UncheckableError
from towpath.core.json_values import write_json
from towpath.db.engine import Connection
from towpath.db.tables import JobRow
from towpath.extraction.domain.shapes import changes_between, check_schema, problems_of
from towpath.extraction.store.catalog import get_template
from towpath.extraction.store.jobs import create_extraction, extract_id, get_extraction
from towpath.extraction.store.reviews import decide, put_annotation
from towpath.extraction.types import (
    AnnotateBody,
    Annotation,
    ClassificationOption,
    DocumentRef,
    ExtractBody,
    Extraction,
    ExtractOptions,
    ExtractParams,
    ReviewBody,
)
from towpath.jobs.policy import JobAction
from towpath.jobs.store import jobs as job_store
from towpath.jobs.types import JobKind
from towpath.llm.types import LOCAL_PROVIDER, split_key
from towpath.net.urls import document_shown, receiver_shown
from towpath.secrets.urls import seal_document, shown_url
from towpath.webhooks.store.endpoints import add_target, get_receiver

MAX_METADATA_BYTES = 16 << 10
DOCUMENT_URLS = ("url", "documentUrl", "document_url")
RECEIVER_URLS = ("webhookUrl", "webhook_url")
SECRET_FIELDS = frozenset({"webhookSigningSecret", "webhook_signing_secret"})


async def settings_of(state: AppState, organization: str, body: ExtractBody) -> tuple[ExtractOptions, Any]:
    """The options and the schema of a start: a template's, with what the request says over them.

    Raises:
        BadInputError: No such template.
    """
    options = body.model_dump(exclude_unset=True, include=set(ExtractOptions.model_fields))
    schema = body.schema_
    if body.template_id is not None:
        try:
            template = await get_template(state.db, organization, body.template_id)
        except NotFoundError as error:
            raise BadInputError(f"templateId: {error.detail}", field="templateId") from error
        kept = ExtractOptions.model_validate(template.options).model_dump(exclude_unset=True)
        options = {**kept, **options}
        schema = schema if schema is not None else template.schema
    return ExtractOptions.model_validate(options), schema


async def checked(state: AppState, caller: Principal, body: ExtractBody, sent: Sent) -> ExtractParams:
    """What a start asks for, after everything that can be refused at once was looked at.

    Raises:
        BadInputError: With the field's name.
    """
    if (body.url is None) == (sent.document is None):
        raise BadInputError(
            "one of file and url is needed" if body.url is None else "file and url: only one", field="url"
        )
    options, schema = await settings_of(state, caller.organization, body)
    if schema is not None:
        await state.checks.run(caller.organization, check_schema, schema)
    llm = chosen_llm(state, options.llm, default=state.settings.extraction_model)
    seeing = options.direct_image_extraction or options.enable_hybrid_extraction
    if seeing and split_key(llm)[0] == LOCAL_PROVIDER:
        field = "directImageExtraction" if options.direct_image_extraction else "enableHybridExtraction"
        raise BadInputError(f"{field} needs a model that sees; {llm} does not", field=field)
    unknown = set(options.extract_per_page) - set((schema or {}).get("properties", {}))
    if unknown:
        raise BadInputError(f"extractPerPage: the schema has no property {min(unknown)}", field="extractPerPage")
    _assert_pages(options, sent.pages)
    if body.metadata is not None and len(write_json(body.metadata)) > MAX_METADATA_BYTES:
        raise BadInputError(f"metadata is larger than {MAX_METADATA_BYTES} bytes", field="metadata")
    if body.webhook_id is not None:
        try:
            await get_receiver(state.db, caller.organization, body.webhook_id)
        except NotFoundError as error:
            raise BadInputError(f"webhookId: {error.detail}", field="webhookId") from error
    document = sent.document
    if document is None:
        assert body.url is not None
        try:
            await state.fetcher.check(body.url)
        except BadInputError as error:
            raise BadInputError(f"url: {error.detail}", code=error.code, field="url") from error
        document = document_at(state, body.url)
    return ExtractParams(document=document, options=options, schema=schema, llm=llm)


def _assert_pages(options: ExtractOptions, pages: int | None) -> None:
    beyond = max(options.page_range or [0])
    if pages is not None and beyond > pages:
        detail = f"pageRange: the document has {pages} pages, not {beyond}"
        raise BadInputError(detail, code=ErrorCode.PAGE_OUT_OF_RANGE, field="pageRange")


def document_at(state: AppState, url: str) -> DocumentRef:
    """A document that is still at its URL; what the URL proves its right by is sealed.

    Raises:
        Unavailable: It has a query, and no key is set to seal it with.
    """
    return DocumentRef(url=seal_document(state.vault, url), file_name=name_in(url))


def name_in(url: str) -> str:
    """The file name that a URL tells."""
    return unquote(urlsplit(url).path.rsplit("/", 1)[-1])[:255] or "document"


def shown_request(given: Mapping[str, Any], document: DocumentRef) -> dict[str, Any]:
    """A request as it is shown: credentials blanked, a file by its name, size and digest."""
    found = {name: value for name, value in given.items() if name not in SECRET_FIELDS and name != "file"}
    for names, shown in ((DOCUMENT_URLS, document_shown), (RECEIVER_URLS, receiver_shown)):
        found |= {name: shown(found[name]) for name in names if isinstance(found.get(name), str)}
    if document.sha256 is not None:
        found["file"] = {"fileName": document.file_name, "sizeBytes": document.size, "sha256": document.sha256}
    return found


async def start(
    request: Request,
    state: AppState,
    caller: Principal,
    params: ExtractParams,
    sent: Sent,
    *,
    kind: JobKind = JobKind.EXTRACTION,
    metadata: dict[str, Any] | None = None,
    template_id: UUID | None = None,
    idempotency_key: str | None,
) -> JobRow | Remembered:
    """Accept a job and start it, or give the first answer to a repeated request."""
    job = JobRow(
        id=uuid4(),
        organization=caller.organization,
        kind=kind,
        params=params.model_dump(mode="json", by_alias=True),
        deadline=read_deadline(request),
        created_by=caller.key_id,
        window_size=1 if params.options.maintain_format else state.settings.window,
    )
    document = params.document
    extraction = Extraction(
        job_id=job.id,
        extract_id=extract_id(job.id),
        file_name=document.file_name,
        document_url=None if document.url is None else shown_url(document.url, document_shown),
        kind=None,
        sha256=document.sha256,
        size=document.size,
        pages_total=None,
        request=shown_request(sent.given, document),
        metadata=metadata,
        extracted=None,
        template_id=template_id,
    )
    target = await read_target(request, state, sent.webhook)
    slot = Slot(caller.organization, f"POST {request.url.path}", idempotency_key)
    async with state.db.transaction() as connection:
        if known := await slot.open(connection):
            return known
        await create_extraction(connection, job, extraction, most=state.limits.most_jobs(caller.organization))
        if target is not None:
            await add_target(connection, job.id, target)
        await slot.keep(connection, sent.digest, 200, started_answer(state, request, job))
        stored = await job_store.lock_job(connection, caller.organization, job.id)
    state.gateway.start_soon(stored)
    return stored


def started_answer(state: AppState, request: Request, job: JobRow) -> dict[str, Any]:
    """What a start answers."""
    path = f"/extract?jobId={job.id}" if job.kind is JobKind.EXTRACTION else f"/jobs/{job.id}"
    return {"jobId": str(job.id), "result": public_base(request, state.settings) + path, "status": "PENDING"}


def classification_params(state: AppState, document: DocumentRef, options: list[dict[str, Any]]) -> ExtractParams:
    """What the run of a classification asks for."""
    choices = [ClassificationOption.model_validate(one) for one in options]
    llm = chosen_llm(state, None, default=state.settings.extraction_model)
    return ExtractParams(document=document, options=ExtractOptions(), choices=choices, llm=llm, schema=None)


async def decide_review(
    state: AppState, caller: Principal, job_id: UUID, body: ReviewBody, slot: Slot | None = None, digest: bytes = b""
) -> JobRow:
    """Decide a pending review, with a correction if one comes along; a held job goes on.

    Args:
        state: The parts that routes use.
        caller: Who decides.
        job_id: The job.
        body: The decision.
        slot: A repeat of a request with a key finds it decided, and changes nothing.
        digest: Of the request.

    Raises:
        ConflictError: The review is not PENDING.
        BadInputError: The correction breaks the schema.
    """
    who = caller.user_id or caller.key_id
    job = await find_job(state, caller, job_id, JobAction.REVIEW)
    original = await _original(state, job) if body.annotated_data is not None else {}
    if body.annotated_data is not None:
        await _assert_fits(state, job, body.annotated_data)

    async def settle(connection: Connection, locked: JobRow) -> None:
        if slot is not None:
            await slot.keep(connection, digest, 200, {"job": str(locked.id)})
        await decide(connection, locked.id, body.decision, by=who, comment=body.comment)
        if body.annotated_data is not None:
            await put_annotation(
                connection,
                caller.organization,
                locked.id,
                original=original,
                annotated=body.annotated_data,
                changes=changes_between(original, body.annotated_data),
                by=who,
            )

    if slot is not None:
        async with state.db.transaction() as connection:
            if known := await slot.open(connection):
                known.check(digest)
                return job
    return await state.gateway.decide(caller.organization, job_id, settle)


async def annotate(state: AppState, caller: Principal, body: AnnotateBody) -> Annotation:
    """Save a person's correction; the review stays as it is.

    Raises:
        NotFoundError: No such job or annotation.
        ConflictError: The job has no result yet.
        BadInputError: The correction breaks the schema.
    """
    job = await find_job(state, caller, body.job_id, JobAction.CORRECT)
    original = await _original(state, job)
    await _assert_fits(state, job, body.annotated_data)
    async with state.db.transaction() as connection:
        return await put_annotation(
            connection,
            caller.organization,
            job.id,
            original=original,
            annotated=body.annotated_data,
            changes=changes_between(original, body.annotated_data),
            by=caller.user_id or caller.key_id,
            annotation_id=body.annotation_id,
        )


async def _original(state: AppState, job: JobRow) -> dict[str, Any]:
    if job.kind is not JobKind.EXTRACTION:
        raise NotFoundError(f"no extraction {job.id}")
    extraction = await get_extraction(state.db, job.organization, job.id)
    if extraction.extracted is None:
        raise ConflictError("the job has no extracted data yet")
    return extraction.extracted.data


async def _assert_fits(state: AppState, job: JobRow, data: dict[str, Any]) -> None:
    schema = ExtractParams.model_validate(job.params).schema_ or {}
    try:
        problems = await state.checks.run(job.organization, problems_of, data, schema)
    except UncheckableError as error:
        raise BadInputError(f"annotatedData: {error.detail}", field="annotatedData") from error
    if problems:
        place, what = problems[0]
        raise BadInputError(
            f"annotatedData.{place}: {what}", code=ErrorCode.INVALID_VALUE, field=f"annotatedData.{place}"
        )
