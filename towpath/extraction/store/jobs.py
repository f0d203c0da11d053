"""Extractions: what is kept of one beside its job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from psycopg.rows import dict_row
from psycopg.types.json import Json

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.db.tables import JobRow
from towpath.extraction.types import Extracted, Extraction, ReviewStatus
from towpath.jobs.store.jobs import create_job
from towpath.jobs.types import JobRef

COLUMNS = (
    "job_id, extract_id, file_name, document_url, kind, sha256, size, pages_total, pages, variant, request, metadata,"
    " extracted, template_id"
)


def extract_id(job_id: UUID) -> UUID:
    """The id of a job's extraction, the same over all attempts."""
    return uuid5(job_id, "extract")


async def create_extraction(
    connection: Connection, job: JobRow, extraction: Extraction, *, most: int = 0
) -> None:  # fmt: skip
    """Accept an extraction, in the caller's transaction; `most` as for `create_job`."""
    await create_job(connection, job, most=most)
    await connection.execute(
        """
        INSERT INTO extractions (job_id, extract_id, organization, file_name, document_url, kind, sha256, size, pages,
                                 request, metadata, template_id)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            job.id, extraction.extract_id, job.organization, extraction.file_name, extraction.document_url,
            extraction.kind, _bytes(extraction.sha256), extraction.size, extraction.pages, Json(extraction.request),
            None if extraction.metadata is None else Json(extraction.metadata), extraction.template_id,
        ),
    )  # fmt: skip
    await connection.execute("UPDATE jobs SET template_id = %s WHERE id = %s", (extraction.template_id, job.id))


def _bytes(sha256: str | None) -> bytes | None:
    return None if sha256 is None else bytes.fromhex(sha256)


async def read_extractions(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Extraction]:
    """The extractions of some jobs; jobs of other kinds have none."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"SELECT {COLUMNS} FROM extractions WHERE job_id = ANY(%s)", (list(job_ids),))
        return {row["job_id"]: _extraction(row) for row in await cursor.fetchall()}


def _extraction(row: dict[str, Any]) -> Extraction:
    sha = row["sha256"]
    return Extraction.model_validate({**row, "sha256": None if sha is None else bytes(sha).hex()})


async def get_extraction(database: Database, organization: str, job_id: UUID) -> Extraction:
    """One extraction.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    async with database.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM extractions WHERE job_id = %s AND organization = %s", (job_id, organization)
        )
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no extraction {job_id}")
    return _extraction(row)


async def note_document(
    connection: Connection,
    job_id: UUID,
    *,
    kind: str,
    sha256: str,
    size: int,
    pages_total: int,
    pages: list[int],
    variant: str,
) -> None:
    """Write what the document turned out to be."""
    await connection.execute(
        """
        UPDATE extractions SET kind = %s, sha256 = %s, size = %s, pages_total = %s, pages = %s, variant = %s
        WHERE job_id = %s
        """,
        (kind, _bytes(sha256), size, pages_total, pages, variant, job_id),
    )
    await connection.execute("UPDATE jobs SET total = %s WHERE id = %s", (len(pages), job_id))


async def keep_extracted(connection: Connection, job_id: UUID, extracted: Extracted) -> None:
    """Store what was taken out of the document."""
    await connection.execute(
        "UPDATE extractions SET extracted = %s WHERE job_id = %s", (Json(extracted.model_dump(mode="json")), job_id)
    )


async def begin_review(connection: Connection, ref: JobRef) -> None:
    """Set a job's review to PENDING, unless it was decided already."""
    done = await connection.execute(
        "UPDATE jobs SET review_status = %s WHERE id = %s AND review_status IS NULL",
        (ReviewStatus.PENDING, ref.job_id),
    )
    if done.rowcount:
        await connection.execute(
            "INSERT INTO reviews (job_id, number, status) VALUES (%s, 1, %s) ON CONFLICT DO NOTHING",
            (ref.job_id, ReviewStatus.PENDING),
        )


async def review_status_of(connection: Connection, job_id: UUID) -> ReviewStatus | None:
    """Where a job's review is."""
    found = await connection.execute("SELECT review_status FROM jobs WHERE id = %s", (job_id,))
    row = await found.fetchone()
    return None if row is None or row[0] is None else ReviewStatus(row[0])


async def prepare_restart(connection: Connection, job: JobRow) -> None:
    """Forget what was taken out and how it was reviewed; the pages stay, and are not read again."""
    await connection.execute("UPDATE extractions SET extracted = NULL WHERE job_id = %s", (job.id,))
    await connection.execute(
        "UPDATE jobs SET review_status = NULL, retrying = false, processed = 0, succeeded = 0, fraction = 0"
        " WHERE id = %s",
        (job.id,),
    )
