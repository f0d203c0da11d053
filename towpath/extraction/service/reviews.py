"""Reviews of extractions: found, decided and corrected by people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError, ConflictError, ErrorCode, NotFoundError
from towpath.core.json_schema import UncheckableError
from towpath.db.engine import Connection
from towpath.extraction.domain.shapes import find_changes, find_problems
from towpath.extraction.service.parts import ExtractionParts
from towpath.extraction.store import reviews as store
from towpath.extraction.store.jobs import get_extraction
from towpath.extraction.types import EXTRACTION, AnnotateBody, Annotation, ExtractParams, ReviewBody, ReviewNote
from towpath.jobs.idempotency import Slot
from towpath.jobs.lists import JobFilter
from towpath.jobs.params import params_of
from towpath.jobs.policy import seer_of
from towpath.jobs.store.listing import list_page
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import ReviewStatus

SEARCH_PAGE = 50


async def find_pending_review(parts: ExtractionParts, caller: Principal, *, after: JobRow | None) -> JobRow | None:
    """Find the oldest job that waits for its review and that a caller may review.

    Args:
        parts: The façade's parts.
        caller: Who reviews.
        after: A job that was looked at before: the first one behind it is found, else the oldest of all but it.
    """
    pending = JobFilter(review_statuses=[ReviewStatus.PENDING], user_id=seer_of(caller))
    if after is not None:
        newer = replace(pending, created_after=after.created_at)
        job = await _find_oldest(parts, caller.organization, newer, behind=after)
        if job is not None:
            return job
    return await _find_oldest(parts, caller.organization, pending, without=after)


async def _find_oldest(
    parts: ExtractionParts,
    organization: str,
    pending: JobFilter,
    *,
    behind: JobRow | None = None,
    without: JobRow | None = None,
) -> JobRow | None:
    total = (await list_page(parts.database, organization, pending, page=1, size=1)).total
    last = ceil(total / SEARCH_PAGE)
    # The newest come first; what was just reviewed may fill the last page alone.
    for number in range(last, max(last - 2, 0), -1):
        page = await list_page(parts.database, organization, pending, page=number, size=SEARCH_PAGE)
        for job in reversed(page.jobs):
            is_behind = behind is None or (job.created_at, job.id) > (behind.created_at, behind.id)
            if is_behind and (without is None or job.id != without.id):
                return job
    return None


async def load_review_history(
    parts: ExtractionParts, job: JobRow
) -> tuple[Sequence[ReviewNote], Sequence[dict[str, Any]]]:
    """Load what was decided about a job and when, and every revision of its corrections; both oldest first."""
    return (
        await store.read_review_history(parts.database, job.id),
        await store.read_annotation_history(parts.database, job.id),
    )


async def list_corrections(parts: ExtractionParts, job: JobRow) -> Sequence[Annotation]:
    """List the corrections of a job that the caller may see, the oldest first."""
    return await store.list_annotations(parts.database, job.organization, job.id)


async def decide_review(
    parts: ExtractionParts,
    caller: Principal,
    job: JobRow,
    body: ReviewBody,
    *,
    slot: Slot | None = None,
    digest: bytes = b"",
) -> JobRow:
    """Decide a pending review, with a correction if one comes along; a held job goes on.

    Args:
        parts: The façade's parts.
        caller: Who decides.
        job: The job, which the caller may review.
        body: The decision.
        slot: The place of the request's `Idempotency-Key`: a repeat decides nothing.
        digest: Of the request.

    Raises:
        UnprocessableError: The key came with another decision.
        ConflictError: The review is not PENDING.
        BadInputError: The correction breaks the schema.
    """
    if slot is not None and slot.key is not None:
        async with parts.database.transaction() as connection:
            if first := await slot.claim(connection):
                first.check(digest)
                return job
    decided_by = caller.user_id or caller.key_id
    annotated = body.annotated_data
    original = {} if annotated is None else await _check_correction(parts, job, annotated)

    async def settle(connection: Connection, locked: JobRow) -> None:
        if slot is not None:
            await slot.save(connection, digest, 200, {"job": str(job.id)})
        await store.decide(connection, locked.id, body.decision, by=decided_by, comment=body.comment)
        if annotated is not None:
            await store.put_annotation(
                connection,
                locked.organization,
                locked.id,
                original=original,
                annotated=annotated,
                changes=find_changes(original, annotated),
                by=decided_by,
            )

    return await parts.gateway.decide(job.organization, job.id, settle)


async def save_correction(parts: ExtractionParts, caller: Principal, job: JobRow, body: AnnotateBody) -> Annotation:
    """Save a person's correction; the review stays as it is.

    Args:
        parts: The façade's parts.
        caller: Who corrects.
        job: The job, which the caller may correct.
        body: The correction.

    Raises:
        NotFoundError: No such annotation, or a job that extracts nothing.
        ConflictError: The job has no result yet.
        BadInputError: The correction breaks the schema.
    """
    original = await _check_correction(parts, job, body.annotated_data)
    async with parts.database.transaction() as connection:
        return await store.put_annotation(
            connection,
            job.organization,
            job.id,
            original=original,
            annotated=body.annotated_data,
            changes=find_changes(original, body.annotated_data),
            by=caller.user_id or caller.key_id,
            annotation_id=body.annotation_id,
        )


async def _check_correction(parts: ExtractionParts, job: JobRow, data: dict[str, Any]) -> dict[str, Any]:
    """Check corrected data against the schema of its job.

    Returns:
        What was extracted.

    Raises:
        NotFoundError: The job extracts nothing.
        ConflictError: The job has no result yet.
        BadInputError: With the place that breaks the schema.
    """
    if job.kind != EXTRACTION:
        raise NotFoundError(f"no extraction {job.id}")
    extraction = await get_extraction(parts.database, job.organization, job.id)
    if extraction.extracted is None:
        raise ConflictError("the job has no extracted data yet")
    schema = params_of(job, ExtractParams).schema_ or {}
    try:
        problems = await parts.checks.run(job.organization, find_problems, data, schema)
    except UncheckableError as error:
        raise BadInputError(f"annotatedData: {error.detail}", field="annotatedData") from error
    if problems:
        path, problem = problems[0]
        raise BadInputError(
            f"annotatedData.{path}: {problem}", code=ErrorCode.INVALID_VALUE, field=f"annotatedData.{path}"
        )
    return extraction.extracted.data
