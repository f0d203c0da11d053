"""Extractions as they are read: what was stored of one, its pages and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from towpath.core.errors import ErrorCode, NotFoundError, TowpathError, UnavailableError
from towpath.documents.types import PageContent
from towpath.extraction.service.parts import ExtractionParts
from towpath.extraction.store import jobs as job_store
from towpath.extraction.store import pages as page_store
from towpath.extraction.types import SYNC_SECONDS, Extraction, OpenedDocument
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState

PROVIDER_AWAY = frozenset({ErrorCode.PROVIDER_DOWN, ErrorCode.PROVIDER_TIMEOUT, ErrorCode.RATE_LIMITED})


class ExtractionFailedError(TowpathError):
    """422: the document gave no result."""

    status = 422
    title = "Unprocessable Content"


async def wait_for_result(parts: ExtractionParts, job: JobRow) -> JobRow:
    """Wait for the end of an extraction.

    Returns:
        The job: completed, or still running after 300 s.

    Raises:
        UnavailableError: It failed because its language model's provider does not answer.
        ExtractionFailedError: It failed for another reason, or was cancelled.
    """
    job = await parts.events.wait_for_end(job, seconds=SYNC_SECONDS)
    if not job.state.final or job.state is JobState.COMPLETED:
        return job
    detail = job.error_message or "the document gave no result"
    code = ErrorCode(job.error_code or ErrorCode.INTERNAL)
    if code in PROVIDER_AWAY:
        raise UnavailableError(detail, code=code)
    raise ExtractionFailedError(detail, code=code)


async def load_extraction(parts: ExtractionParts, job: JobRow) -> Extraction:
    """Load the extraction of a job that the caller may see.

    Raises:
        NotFoundError: There is none: the job is of another kind.
    """
    return await job_store.get_extraction(parts.database, job.organization, job.id)


async def load_extractions(parts: ExtractionParts, jobs: Sequence[JobRow]) -> dict[UUID, Extraction]:
    """Load the extractions of jobs that the caller may see, by the ids of the jobs; other kinds have none."""
    async with parts.database.transaction() as connection:
        return await job_store.read_extractions(connection, [job.id for job in jobs])


async def load_pages(
    parts: ExtractionParts, organization: str, document: OpenedDocument, numbers: Sequence[int] | None = None
) -> list[PageContent]:
    """Load pages of a document that are read, in order.

    Args:
        parts: The façade's parts.
        organization: Whose document.
        document: The document.
        numbers: Which of its pages; None: all that its job has chosen.
    """
    chosen = document.pages if numbers is None else numbers
    return await page_store.read_pages(parts.database, organization, document.digest, document.variant, chosen)


async def list_pictured_pages(parts: ExtractionParts, organization: str, document: OpenedDocument) -> set[int]:
    """Return the numbers of the pages that have a picture."""
    return await page_store.list_pictured_pages(parts.database, organization, document.digest)


async def load_picture(parts: ExtractionParts, job: JobRow, page: int) -> bytes:
    """Load the picture of a page, a JPEG.

    Raises:
        NotFoundError: The job has no such page, or its pages have no pictures.
    """
    document = (await load_extraction(parts, job)).opened
    picture = None
    if document is not None and page in document.pages:
        picture = await page_store.read_picture(parts.database, job.organization, document.digest, page)
    if picture is None:
        raise NotFoundError("this page has no picture")
    return picture
