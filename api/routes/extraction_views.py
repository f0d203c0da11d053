"""Jobs of every kind as `GET /jobs` shows them, and extractions with their results."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from towpath.api.http.links import public_base
from towpath.api.http.responses import moment
from towpath.api.http.state import AppState
from towpath.core.json_values import write_json
from towpath.documents.types import PageContent
from towpath.extraction.service.parts import ExtractionParts
from towpath.extraction.service.results import load_extractions, load_pages
from towpath.extraction.types import (
    CLASSIFICATION,
    MAX_SHOWN_BYTES,
    Annotation,
    Extraction,
    ExtractParams,
    make_extract_id,
)
from towpath.jobs.params import params_of
from towpath.jobs.registry import job_type
from towpath.jobs.rows import plain_warnings
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import job_status

PAGE_NUMBER = re.compile(r"\bpage (\d+)\b")
HIDDEN = frozenset({"plan", "webhook"})


async def load_job_entries(parts: ExtractionParts, jobs: Sequence[JobRow], *, bodies: bool) -> list[dict[str, Any]]:
    """Show jobs in a list.

    Args:
        bodies: Whether requests and responses are shown.
    """
    extractions = await load_extractions(parts, jobs)
    return [await load_job_entry(parts, job, extractions.get(job.id), bodies=bodies) for job in jobs]


async def load_job_entry(
    parts: ExtractionParts, job: JobRow, extraction: Extraction | None, *, bodies: bool
) -> dict[str, Any]:
    """Show one job."""
    answer: dict[str, Any] = {
        "jobId": str(job.id),
        "kind": job.kind,
        "createdAt": moment(job.created_at),
        "completedAt": moment(job.completed_at),
        "statusUpdatedAt": moment(job.state_changed_at),
        "status": job_status(job.state, retrying=job.retrying),
        "reviewStatus": job.review_status,
        "extractId": str(extraction.extract_id if extraction is not None else make_extract_id(job.id)),
        "pagesProcessed": job.processed if extraction is not None else 0,
        "templateId": None if job.template_id is None else str(job.template_id),
        "error": show_error(job, has_pages=extraction is not None),
        "warnings": plain_warnings(job),
        "attempt": job.attempt,
    }
    if bodies:
        answer["requestBody"] = _request(job, extraction)
        answer["responseBody"] = await _response(parts, job, extraction)
    return answer


def show_error(job: JobRow, *, has_pages: bool) -> dict[str, Any] | None:
    """Show why a job failed or was stopped, with the page where one of a document is to blame."""
    if job.error_code is None:
        return None
    answer: dict[str, Any] = {"code": job.error_code, "message": job.error_message or ""}
    page = PAGE_NUMBER.search(job.error_message or "") if has_pages else None
    return answer if page is None else {**answer, "page": int(page[1])}


def _request(job: JobRow, extraction: Extraction | None) -> Any:
    if extraction is not None:
        return _shorten(extraction.request, job)
    params = {name: value for name, value in job.params.items() if name not in HIDDEN}
    return _shorten({"items": job.total, **params}, job)


def _shorten(body: dict[str, Any], job: JobRow) -> dict[str, Any]:
    raw = write_json(body)
    if len(raw) <= MAX_SHOWN_BYTES:
        return body
    return {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest(), "items": job.total}


async def _response(parts: ExtractionParts, job: JobRow, extraction: Extraction | None) -> Any:
    if extraction is None or job.kind == CLASSIFICATION:
        return job.result
    if not job.state.final and job.review_status is None:
        return None
    return await load_result(parts, job, extraction, partial=False)


async def load_result(
    parts: ExtractionParts, job: JobRow, extraction: Extraction, *, partial: bool
) -> dict[str, Any] | None:
    """Show the result of an extraction.

    Args:
        partial: Whether pages are shown that a job which still runs has finished.
    """
    if job.kind == CLASSIFICATION:
        return job.result
    is_complete = extraction.extracted is not None or job.state.final
    document = extraction.opened
    if (not is_complete and not partial) or document is None:
        return None
    options = params_of(job, ExtractParams).options
    pages: list[PageContent] = []
    if not options.exclude_ocr:
        pages = await load_pages(parts, job.organization, document)
    answer: dict[str, Any] = {"inputTokens": job.input_tokens, "outputTokens": job.output_tokens}
    if not options.exclude_ocr:
        answer["ocr"] = _ocr(job, extraction, pages)
    if extraction.extracted is not None:
        answer["extracted"] = extraction.extracted.data
        if options.include_confidence:
            answer["confidence"] = _confidence(extraction, pages)
            answer["sources"] = {
                name: {"page": source.page, "boxes": source.boxes}
                for name, source in extraction.extracted.sources.items()
                if source.page is not None
            }
    elif options.include_confidence:
        answer["confidence"] = _confidence(extraction, pages)
    return answer


def _ocr(job: JobRow, extraction: Extraction, pages: Sequence[PageContent]) -> dict[str, Any]:
    ended = job.completed_at or datetime.now(UTC)
    return {
        "pages": [{"page": page.page, "content": page.content, "contentLength": len(page.content)} for page in pages],
        "fileName": extraction.file_name,
        "inputTokens": 0,
        "outputTokens": 0,
        "completionTime": _milliseconds(job.started_at, ended),
    }


def _confidence(extraction: Extraction, pages: Sequence[PageContent]) -> dict[str, Any]:
    sources = {} if extraction.extracted is None else extraction.extracted.sources
    return {
        "ocr": [
            {"page": page.page, "confidence": 1.0 if page.confidence is None else round(page.confidence, 4)}
            for page in pages
        ],
        "extracted": {name: source.confidence for name, source in sources.items()},
    }


def _milliseconds(start: datetime | None, end: datetime) -> int:
    return 0 if start is None else max(int((end - start).total_seconds() * 1000), 0)


async def load_extraction_answer(
    parts: ExtractionParts, job: JobRow, extraction: Extraction, *, partial: bool = False
) -> dict[str, Any]:
    """Show one extraction as `GET /extract` does."""
    return {
        "jobId": str(job.id),
        "status": job_status(job.state, retrying=job.retrying),
        "timeElapsed": _milliseconds(job.created_at, job.completed_at or datetime.now(UTC)),
        "metadata": extraction.metadata,
        "reviewStatus": job.review_status,
        "pagesProcessed": job.processed,
        "pagesTotal": None if extraction.opened is None else len(extraction.opened.pages),
        "error": show_error(job, has_pages=True),
        "warnings": plain_warnings(job),
        "result": await load_result(parts, job, extraction, partial=partial),
    }


def show_started(state: AppState, request: Request, job: JobRow) -> dict[str, Any]:
    """Show what a start answers: the job, and the address to poll."""
    path = job_type(job.kind).path_of(job)
    return {"jobId": str(job.id), "result": public_base(request, state.settings) + path, "status": "PENDING"}


def show_annotation(annotation: Annotation) -> dict[str, Any]:
    """Show a correction."""
    return {
        "annotationId": str(annotation.id),
        "jobId": str(annotation.job_id),
        "documentUrl": annotation.document_url,
        "originalData": annotation.original,
        "annotatedData": annotation.annotated,
        "changes": [change.model_dump(mode="json", by_alias=True) for change in annotation.changes],
        "createdAt": moment(annotation.created_at),
        "updatedAt": moment(annotation.updated_at),
    }
