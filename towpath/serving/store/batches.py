"""Batches beside their jobs: what their API shows, and the moments at which they moved."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from psycopg.types.json import Json
from sqlmodel import col, select

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.jobs.store.jobs import create_job
from towpath.jobs.store.tables import JobRow
from towpath.serving.store.tables import ServedBatchRow
from towpath.serving.types import FINAL, BatchStatus, LineProblem, read_window, show_batch_id

SHOWN = list[tuple[ServedBatchRow, JobRow]]


def _batch_row(**columns: Any) -> ServedBatchRow:
    return ServedBatchRow.model_validate({**columns, "metadata_": columns.pop("metadata")})


async def create_batch(connection: Connection, job: JobRow, batch: ServedBatchRow, *, max_jobs: int) -> None:
    """Store a batch with its job, in the caller's transaction.

    Raises:
        LimitReachedError: The organization has as many jobs as it may.
    """
    await create_job(connection, job, most=max_jobs)
    await connection.execute(
        """
        INSERT INTO served_batches (job_id, organization, endpoint, input_file_id, completion_window, metadata,
                                    output_seconds, status, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            job.id, batch.organization, batch.endpoint, batch.input_file_id, batch.completion_window,
            None if batch.metadata_ is None else Json(batch.metadata_), batch.output_seconds, batch.status.value,
            batch.expires_at,
        ),
    )  # fmt: skip


async def get_batch(database: Database, organization: str, batch_id: UUID) -> tuple[ServedBatchRow, JobRow]:
    """Load a batch and its job.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    query = (
        select(ServedBatchRow, JobRow)
        .join(JobRow, col(JobRow.id) == col(ServedBatchRow.job_id))
        .where(ServedBatchRow.job_id == batch_id, ServedBatchRow.organization == organization)
    )
    async with database.session() as session:
        row = (await session.exec(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"no batch {show_batch_id(batch_id)}")
    return row[0], row[1]


async def list_batches(database: Database, organization: str, *, after: ServedBatchRow | None, limit: int) -> SHOWN:
    """List batches, newest first, from just behind `after`."""
    moment, number = col(ServedBatchRow.created_at), col(ServedBatchRow.job_id)
    query = (
        select(ServedBatchRow, JobRow)
        .join(JobRow, col(JobRow.id) == number)
        .where(ServedBatchRow.organization == organization)
    )
    if after is not None:
        query = query.where((moment < after.created_at) | ((moment == after.created_at) & (number < after.job_id)))
    async with database.session() as session:
        rows = (await session.exec(query.order_by(moment.desc(), number.desc()).limit(limit))).all()
    return [(row[0], row[1]) for row in rows]


async def load_batch(database: Database, batch_id: UUID) -> ServedBatchRow:
    """Load a batch by its job alone.

    Raises:
        NotFoundError: It is not there.
    """
    async with database.session() as session:
        row = await session.get(ServedBatchRow, batch_id)
    if row is None:
        raise NotFoundError(f"no batch {show_batch_id(batch_id)}")
    return row


async def lock_batch(connection: Connection, batch_id: UUID) -> ServedBatchRow:
    """Load a batch, and hold its row until the transaction ends.

    Raises:
        NotFoundError: It is not there.
    """
    async with connection.cursor(row_factory=kwargs_row(_batch_row)) as cursor:
        await cursor.execute("SELECT * FROM served_batches WHERE job_id = %s FOR UPDATE", (batch_id,))
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"no batch {show_batch_id(batch_id)}")
    return row


async def begin_requests(connection: Connection, batch_id: UUID, *, model: str | None) -> None:
    """Move a batch whose file is right on; one that is being cancelled stays where it is.

    Args:
        connection: The transaction.
        batch_id: The batch.
        model: The model of all its requests; None: there are several.
    """
    await connection.execute(
        """
        UPDATE served_batches SET model = %s, in_progress_at = coalesce(in_progress_at, now()),
               status = CASE WHEN status = 'validating' THEN 'in_progress' ELSE status END
        WHERE job_id = %s
        """,
        (model, batch_id),
    )


async def refuse_input(database: Database, batch_id: UUID, problems: list[LineProblem]) -> None:
    """End a batch whose file is wrong."""
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE served_batches SET status = 'failed', ended_at = now(), errors = %s WHERE job_id = %s",
            (Json([problem.model_dump() for problem in problems]), batch_id),
        )


async def begin_writing(database: Database, batch_id: UUID) -> None:
    """Show that a batch's files are written; one that is being cancelled shows that instead."""
    async with database.transaction() as connection:
        await connection.execute(
            """
            UPDATE served_batches SET finalizing_at = coalesce(finalizing_at, now()),
                   status = CASE WHEN status = 'in_progress' THEN 'finalizing' ELSE status END
            WHERE job_id = %s
            """,
            (batch_id,),
        )


async def end_batch(
    connection: Connection, batch_id: UUID, status: BatchStatus, *, output: UUID | None, error: UUID | None
) -> None:
    """End a batch with its files."""
    await connection.execute(
        """
        UPDATE served_batches SET status = %s, ended_at = now(), output_file_id = %s, error_file_id = %s
        WHERE job_id = %s
        """,
        (status.value, output, error, batch_id),
    )


async def mark_cancelling(connection: Connection, batch_id: UUID) -> None:
    """Note that a batch is to end; one that has ended stays as it is."""
    await connection.execute(
        """
        UPDATE served_batches SET status = 'cancelling', cancelling_at = now()
        WHERE job_id = %s AND status <> ALL(%s) AND status <> 'cancelling'
        """,
        (batch_id, [status.value for status in FINAL]),
    )


async def prepare_restart(connection: Connection, job: JobRow) -> None:
    """Set a batch back for another attempt: what has failed or was not asked is asked again, for a whole window."""
    batch = await lock_batch(connection, job.id)
    window = read_window(batch.completion_window) or timedelta(hours=24)
    await connection.execute(
        """
        UPDATE served_batches SET status = 'validating', errors = NULL, output_file_id = NULL, error_file_id = NULL,
               in_progress_at = NULL, finalizing_at = NULL, cancelling_at = NULL, ended_at = NULL,
               expires_at = now() + %s
        WHERE job_id = %s
        """,
        (window, job.id),
    )
    await connection.execute(
        """
        UPDATE served_lines SET status = NULL, request_id = NULL, response = NULL
        WHERE job_id = %s AND status NOT BETWEEN 200 AND 299
        """,
        (job.id,),
    )
    await connection.execute("DELETE FROM job_failures WHERE job_id = %s", (job.id,))


async def load_end(connection: Connection, batch_id: UUID) -> tuple[str, UUID | None, UUID | None]:
    """Load what a notice says of a batch: its status, output file and error file."""
    cursor = await connection.execute(
        "SELECT status, output_file_id, error_file_id FROM served_batches WHERE job_id = %s", (batch_id,)
    )
    row = await cursor.fetchone()
    return (BatchStatus.FAILED.value, None, None) if row is None else (row[0], row[1], row[2])


async def read_clock(connection: Connection) -> datetime:
    """Return the database's time, by which batches expire whichever machine looks."""
    row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    moment: datetime = (row or (None,))[0]
    return moment


async def is_cancelling(connection: Connection, batch_id: UUID) -> bool:
    """Return whether a batch is to end."""
    cursor = await connection.execute("SELECT cancelling FROM jobs WHERE id = %s", (batch_id,))
    row = await cursor.fetchone()
    return row is not None and row[0] is True
