"""Reviews of extractions: decided and corrected by people."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from towpath.accounts.types import Principal
from towpath.core.errors import BadInputError, ConflictError, ErrorCode, NotFoundError
from towpath.core.json_schema import UncheckableError
from towpath.db.engine import Connection
from towpath.extraction.domain.shapes import changes_between, problems_of
from towpath.extraction.service.parts import ExtractionParts
from towpath.extraction.store.jobs import get_extraction
from towpath.extraction.store.reviews import decide, put_annotation
from towpath.extraction.types import EXTRACTION, AnnotateBody, Annotation, ExtractParams, ReviewBody
from towpath.jobs.params import params_of
from towpath.jobs.store.tables import JobRow


async def decide_review(
    parts: ExtractionParts,
    caller: Principal,
    job: JobRow,
    body: ReviewBody,
    *,
    before: Callable[[Connection], Awaitable[None]] | None = None,
) -> JobRow:
    """Decide a pending review, with a correction if one comes along; a held job goes on.

    Args:
        parts: The façade's parts.
        caller: Who decides.
        job: The job, which the caller may review.
        body: The decision.
        before: Runs first in the same transaction, such as the claim of an `Idempotency-Key`.

    Raises:
        ConflictError: The review is not PENDING.
        BadInputError: The correction breaks the schema.
    """
    decided_by = caller.user_id or caller.key_id
    annotated = body.annotated_data
    original = {} if annotated is None else await _check_correction(parts, job, annotated)

    async def settle(connection: Connection, locked: JobRow) -> None:
        if before is not None:
            await before(connection)
        await decide(connection, locked.id, body.decision, by=decided_by, comment=body.comment)
        if annotated is not None:
            await put_annotation(
                connection,
                locked.organization,
                locked.id,
                original=original,
                annotated=annotated,
                changes=changes_between(original, annotated),
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
        return await put_annotation(
            connection,
            job.organization,
            job.id,
            original=original,
            annotated=body.annotated_data,
            changes=changes_between(original, body.annotated_data),
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
        problems = await parts.checks.run(job.organization, problems_of, data, schema)
    except UncheckableError as error:
        raise BadInputError(f"annotatedData: {error.detail}", field="annotatedData") from error
    if problems:
        place, problem = problems[0]
        raise BadInputError(
            f"annotatedData.{place}: {problem}", code=ErrorCode.INVALID_VALUE, field=f"annotatedData.{place}"
        )
    return extraction.extracted.data
