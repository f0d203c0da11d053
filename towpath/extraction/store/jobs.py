"""Extractions: what is kept of one beside its job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Json

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.extraction.types import Extracted, Extraction, OpenedDocument
from towpath.jobs.store.jobs import create_job
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef, ReviewStatus

OPENED = "kind, sha256, size, pages_total, pages, variant"
COLUMNS = f"job_id, extract_id, file_name, document_url, {OPENED}, request, metadata, extracted, template_id"


async def create_extraction(
    connection: Connection, job: JobRow, extraction: Extraction, *, max_jobs: int = 0
) -> None:  # fmt: skip
    """Accept an extraction, in the caller's transaction; `max_jobs` is `most` of `create_job`."""
    await create_job(connection, job, most=max_jobs)
    await connection.execute(
        """
        INSERT INTO extractions (job_id, extract_id, organization, file_name, document_url, sha256, size, request,
                                 metadata, template_id)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            job.id, extraction.extract_id, job.organization, extraction.file_name, extraction.document_url,
            _bytes(extraction.sha256), extraction.size, Json(extraction.request),
            None if extraction.metadata is None else Json(extraction.metadata), extraction.template_id,
        ),
    )  # fmt: skip
    await connection.execute("UPDATE jobs SET template_id = %s WHERE id = %s", (extraction.template_id, job.id))


def _bytes(sha256: str | None) -> bytes | None:
    return None if sha256 is None else bytes.fromhex(sha256)


async def read_extractions(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Extraction]:
    """Load the extractions of some jobs; jobs of other kinds have none."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"SELECT {COLUMNS} FROM extractions WHERE job_id = ANY(%s)", (list(job_ids),))
        return {row["job_id"]: _extraction(row) for row in await cursor.fetchall()}


def _extraction(row: dict[str, Any]) -> Extraction:
    values = {**row, "sha256": None if row["sha256"] is None else bytes(row["sha256"]).hex()}
    # The variant is written with everything else that opening the document brings.
    opened = None if row["variant"] is None else OpenedDocument.model_validate(values)
    return Extraction.model_validate({**values, "opened": opened})


async def get_extraction(database: Database, organization: str, job_id: UUID) -> Extraction:
    """Load one extraction.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    async with database.transaction() as connection:
        return await read_extraction(connection, organization, job_id)


async def read_extraction(connection: Connection, organization: str, job_id: UUID) -> Extraction:
    """Load one extraction, in the caller's transaction.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM extractions WHERE job_id = %s AND organization = %s", (job_id, organization)
        )
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no extraction {job_id}")
    return _extraction(row)


async def read_opened(connection: Connection, job_id: UUID) -> OpenedDocument | None:
    """Read what the document of a job turned out to be, and nothing else; None: it was not opened yet."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"SELECT {OPENED} FROM extractions WHERE job_id = %s AND variant IS NOT NULL", (job_id,))
        row = await cursor.fetchone()
    return None if row is None else OpenedDocument.model_validate({**row, "sha256": bytes(row["sha256"]).hex()})


async def save_opened(connection: Connection, job_id: UUID, opened: OpenedDocument) -> None:
    """Write what the document turned out to be."""
    await connection.execute(
        """
        UPDATE extractions SET kind = %s, sha256 = %s, size = %s, pages_total = %s, pages = %s, variant = %s
        WHERE job_id = %s
        """,
        (opened.kind, opened.digest, opened.size, opened.pages_total, opened.pages, opened.variant, job_id),
    )
    await connection.execute("UPDATE jobs SET total = %s WHERE id = %s", (len(opened.pages), job_id))


async def save_extracted(connection: Connection, job_id: UUID, extracted: Extracted) -> None:
    """Store what was taken out of the document."""
    await connection.execute(
        "UPDATE extractions SET extracted = %s WHERE job_id = %s", (Json(extracted.model_dump(mode="json")), job_id)
    )


async def begin_review(connection: Connection, ref: JobRef) -> None:
    """Set a job's review to PENDING, unless it was decided already."""
    updated = await connection.execute(
        "UPDATE jobs SET review_status = %s WHERE id = %s AND review_status IS NULL",
        (ReviewStatus.PENDING, ref.job_id),
    )
    if updated.rowcount:
        await connection.execute(
            "INSERT INTO reviews (job_id, number, status) VALUES (%s, 1, %s) ON CONFLICT DO NOTHING",
            (ref.job_id, ReviewStatus.PENDING),
        )


async def get_review_status(connection: Connection, job_id: UUID) -> ReviewStatus | None:
    """Return where a job's review stands; None: it has none."""
    cursor = await connection.execute("SELECT review_status FROM jobs WHERE id = %s", (job_id,))
    row = await cursor.fetchone()
    return None if row is None or row[0] is None else ReviewStatus(row[0])


async def read_notice_fields(connection: Connection, job_id: UUID) -> tuple[dict[str, Any] | None, str | None]:
    """Read what a notice says of an extraction: the client's own data, and where its review is now."""
    cursor = await connection.execute(
        "SELECT e.metadata, j.review_status FROM extractions e JOIN jobs j ON j.id = e.job_id WHERE e.job_id = %s",
        (job_id,),
    )
    return await cursor.fetchone() or (None, None)


async def prepare_restart(connection: Connection, job: JobRow) -> None:
    """Forget what was taken out and how it was reviewed; the pages stay, and are not read again."""
    await connection.execute("UPDATE extractions SET extracted = NULL WHERE job_id = %s", (job.id,))
    await connection.execute(
        "UPDATE jobs SET review_status = NULL, retrying = false, processed = 0, succeeded = 0, fraction = 0"
        " WHERE id = %s",
        (job.id,),
    )
