"""Jobs of every kind as `GET /jobs` shows them, and extractions with their results."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from towpath.api.http.responses import moment
from towpath.api.http.state import AppState
from towpath.core.json_values import write_json
from towpath.db.tables import JobRow
from towpath.documents.types import PageContent
from towpath.extraction.store.jobs import extract_id, read_extractions
from towpath.extraction.store.pages import read_pages
from towpath.extraction.types import MAX_SHOWN_BYTES, Annotation, Extraction, job_status
from towpath.jobs.store.ends import plain_warnings
from towpath.jobs.types import JobKind

PAGE_TOLD = re.compile(r"\bpage (\d+)\b")
DOCUMENTS = frozenset({JobKind.EXTRACTION, JobKind.CLASSIFICATION})
HIDDEN = frozenset({"plan", "webhook"})


async def entries(state: AppState, jobs: Sequence[JobRow], *, bodies: bool) -> list[dict[str, Any]]:
    """Jobs in a list.

    Args:
        bodies: Whether requests and responses are shown.
    """
    async with state.db.transaction() as connection:
        known = await read_extractions(connection, [job.id for job in jobs if job.kind in DOCUMENTS])
    return [await entry(state, job, known.get(job.id), bodies=bodies) for job in jobs]


async def entry(state: AppState, job: JobRow, extraction: Extraction | None, *, bodies: bool) -> dict[str, Any]:
    """One job."""
    found: dict[str, Any] = {
        "jobId": str(job.id),
        "kind": job.kind,
        "createdAt": moment(job.created_at),
        "completedAt": moment(job.completed_at),
        "statusUpdatedAt": moment(job.state_changed_at),
        "status": job_status(job.state, retrying=job.retrying),
        "reviewStatus": job.review_status,
        "extractId": str(extraction.extract_id if extraction is not None else extract_id(job.id)),
        "pagesProcessed": job.processed if extraction is not None else 0,
        "templateId": None if job.template_id is None else str(job.template_id),
        "error": error_of(job),
        "warnings": plain_warnings(job),
        "attempt": job.attempt,
    }
    if bodies:
        found["requestBody"] = _request(job, extraction)
        found["responseBody"] = await _response(state, job, extraction)
    return found


def error_of(job: JobRow) -> dict[str, Any] | None:
    """Why a job failed or was stopped, with the page where one is to blame."""
    if job.error_code is None:
        return None
    found: dict[str, Any] = {"code": job.error_code, "message": job.error_message or ""}
    page = PAGE_TOLD.search(job.error_message or "") if job.kind in DOCUMENTS else None
    return found if page is None else {**found, "page": int(page[1])}


def _request(job: JobRow, extraction: Extraction | None) -> Any:
    if extraction is not None:
        return _bounded(extraction.request, job)
    params = {name: value for name, value in job.params.items() if name not in HIDDEN}
    return _bounded({"items": job.total, **params}, job)


def _bounded(body: dict[str, Any], job: JobRow) -> dict[str, Any]:
    raw = write_json(body)
    if len(raw) <= MAX_SHOWN_BYTES:
        return body
    return {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest(), "items": job.total}


async def _response(state: AppState, job: JobRow, extraction: Extraction | None) -> Any:
    if extraction is None or job.kind is JobKind.CLASSIFICATION:
        return job.result
    if not job.state.final and job.review_status is None:
        return None
    return await result_of(state, job, extraction, partial=False)


async def result_of(state: AppState, job: JobRow, extraction: Extraction, *, partial: bool) -> dict[str, Any] | None:
    """What an extraction brought.

    Args:
        partial: Whether pages are shown that a job which still runs has finished.
    """
    if job.kind is JobKind.CLASSIFICATION:
        return job.result
    done = extraction.extracted is not None or job.state.final
    if (not done and not partial) or extraction.sha256 is None or extraction.variant is None:
        return None
    options = job.params.get("options", {})
    pages: list[PageContent] = []
    if not options.get("excludeOCRResult"):
        digest = bytes.fromhex(extraction.sha256)
        pages = await read_pages(state.db, job.organization, digest, extraction.variant, extraction.pages)
    found: dict[str, Any] = {"inputTokens": job.input_tokens, "outputTokens": job.output_tokens}
    if not options.get("excludeOCRResult"):
        found["ocr"] = _ocr(job, extraction, pages)
    if extraction.extracted is not None:
        found["extracted"] = extraction.extracted.data
        if options.get("includeConfidence"):
            found["confidence"] = _confidence(extraction, pages)
            found["sources"] = {
                name: {"page": one.page, "boxes": one.boxes}
                for name, one in extraction.extracted.sources.items()
                if one.page is not None
            }
    elif options.get("includeConfidence"):
        found["confidence"] = _confidence(extraction, pages)
    return found


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
    sure = {} if extraction.extracted is None else extraction.extracted.sources
    return {
        "ocr": [
            {"page": page.page, "confidence": 1.0 if page.confidence is None else round(page.confidence, 4)}
            for page in pages
        ],
        "extracted": {name: one.confidence for name, one in sure.items()},
    }


def _milliseconds(start: datetime | None, end: datetime) -> int:
    return 0 if start is None else max(int((end - start).total_seconds() * 1000), 0)


async def extraction_answer(
    state: AppState, job: JobRow, extraction: Extraction, *, partial: bool = False
) -> dict[str, Any]:
    """What `GET /extract` shows."""
    return {
        "jobId": str(job.id),
        "status": job_status(job.state, retrying=job.retrying),
        "timeElapsed": _milliseconds(job.created_at, job.completed_at or datetime.now(UTC)),
        "metadata": extraction.metadata,
        "reviewStatus": job.review_status,
        "pagesProcessed": job.processed,
        "pagesTotal": None if extraction.pages is None else len(extraction.pages),
        "error": error_of(job),
        "warnings": plain_warnings(job),
        "result": await result_of(state, job, extraction, partial=partial),
    }


def annotation_answer(one: Annotation) -> dict[str, Any]:
    """A correction."""
    return {
        "annotationId": str(one.id),
        "jobId": str(one.job_id),
        "documentUrl": one.document_url,
        "originalData": one.original,
        "annotatedData": one.annotated,
        "changes": [change.model_dump(mode="json", by_alias=True) for change in one.changes],
        "createdAt": moment(one.created_at),
        "updatedAt": moment(one.updated_at),
    }
