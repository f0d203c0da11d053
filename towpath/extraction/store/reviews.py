"""Corrections by people, and what they decide: with all that was said before."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from psycopg.rows import dict_row
from psycopg.types.json import Json

from towpath.core.errors import ConflictError, NotFoundError
from towpath.db.engine import Connection, Database
from towpath.extraction.store.jobs import get_review_status
from towpath.extraction.types import Annotation, Change, ReviewNote
from towpath.jobs.store.jobs import ACTIVE
from towpath.jobs.types import ReviewStatus

ANNOTATION = """
SELECT a.id, a.job_id, e.document_url, a.original, a.annotated, a.changes, a.created_at, a.updated_at
FROM annotations a LEFT JOIN extractions e ON e.job_id = a.job_id
"""


async def decide(
    connection: Connection, job_id: UUID, status: ReviewStatus, *, by: UUID | None, comment: str | None
) -> None:
    """Decide a review that is PENDING; the job's row is locked by the caller.

    Args:
        connection: The transaction.
        job_id: The job.
        status: The decision.
        by: The user or key that decides.
        comment: What they say to it.

    Raises:
        ConflictError: It is not PENDING.
    """
    updated = await connection.execute(
        "UPDATE jobs SET review_status = %s WHERE id = %s AND review_status = %s",
        (status, job_id, ReviewStatus.PENDING),
    )
    if not updated.rowcount:
        cursor = await connection.execute(
            "SELECT review_status, state = ANY(%s) FROM jobs WHERE id = %s", (ACTIVE, job_id)
        )
        now, runs = await cursor.fetchone() or (None, False)
        if now is not None:
            raise ConflictError(f"the review is {now}")
        later = "the job is not at its review yet" if runs else "no review of this job is wanted"
        raise ConflictError(later)
    await connection.execute(
        """
        INSERT INTO reviews (job_id, number, status, by, comment)
        SELECT %(job)s, coalesce(max(number), 0) + 1, %(status)s, %(by)s, %(comment)s
        FROM reviews WHERE job_id = %(job)s
        """,
        {"job": job_id, "status": status, "by": by, "comment": comment},
    )


async def withdraw(connection: Connection, job_id: UUID, *, by: UUID | None) -> None:
    """Withdraw a pending review with its cancelled job."""
    if await get_review_status(connection, job_id) is ReviewStatus.PENDING:
        await decide(connection, job_id, ReviewStatus.CANCELLED, by=by, comment="the job was cancelled")


async def read_review_history(database: Database, job_id: UUID) -> list[ReviewNote]:
    """Read what was decided and when, oldest first; the caller has checked whose job it is."""
    async with database.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute("SELECT at, status, by, comment FROM reviews WHERE job_id = %s ORDER BY number", (job_id,))
        return [ReviewNote.model_validate(row) for row in await cursor.fetchall()]


async def put_annotation(
    connection: Connection,
    organization: str,
    job_id: UUID,
    *,
    original: dict[str, Any],
    annotated: dict[str, Any],
    changes: list[Change],
    by: UUID | None,
    annotation_id: UUID | None = None,
) -> Annotation:
    """Save a correction, new or in the place of an earlier one, whose data stay in the history.

    Args:
        connection: The transaction.
        organization: Whose job.
        job_id: The job.
        original: What was extracted.
        annotated: The corrected data.
        changes: What the correction changes.
        by: The user or key that corrects.
        annotation_id: The correction whose place it takes; None: a new one.

    Raises:
        NotFoundError: No such annotation of this job.
    """
    changes_json = Json([change.model_dump(mode="json", by_alias=True) for change in changes])
    saved_id = annotation_id or uuid4()
    if annotation_id is None:
        await connection.execute(
            "INSERT INTO annotations (id, organization, job_id, original, annotated, changes)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (saved_id, organization, job_id, Json(original), Json(annotated), changes_json),
        )
    else:
        updated = await connection.execute(
            "UPDATE annotations SET annotated = %s, changes = %s, updated_at = now()"
            " WHERE id = %s AND job_id = %s AND organization = %s",
            (Json(annotated), changes_json, annotation_id, job_id, organization),
        )
        if not updated.rowcount:
            raise NotFoundError(f"no annotation {annotation_id} of this job")
    await connection.execute(
        """
        INSERT INTO annotation_revisions (annotation_id, revision, annotated, changes, by)
        SELECT %(id)s, coalesce(max(revision), 0) + 1, %(annotated)s, %(changes)s, %(by)s
        FROM annotation_revisions WHERE annotation_id = %(id)s
        """,
        {"id": saved_id, "annotated": Json(annotated), "changes": changes_json, "by": by},
    )
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(f"{ANNOTATION} WHERE a.id = %s", (saved_id,))
        return Annotation.model_validate(await cursor.fetchone())


async def list_annotations(database: Database, organization: str, job_id: UUID) -> list[Annotation]:
    """List the corrections of a job, oldest first."""
    async with database.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            f"{ANNOTATION} WHERE a.organization = %s AND a.job_id = %s ORDER BY a.created_at, a.id",
            (organization, job_id),
        )
        return [Annotation.model_validate(row) for row in await cursor.fetchall()]


async def read_annotation_history(database: Database, job_id: UUID) -> list[dict[str, Any]]:
    """Read every revision of a job's corrections, oldest first; the caller has checked whose job it is."""
    async with database.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            """
            SELECT r.annotation_id, r.revision, r.annotated, r.changes, r.by, r.at FROM annotation_revisions r
            JOIN annotations a ON a.id = r.annotation_id WHERE a.job_id = %s ORDER BY r.at, r.revision
            """,
            (job_id,),
        )
        return await cursor.fetchall()
