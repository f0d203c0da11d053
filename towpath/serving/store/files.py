"""Files: a row, and a blob whose key is the file's id, so that one file can go while an equal one stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from psycopg.rows import kwargs_row
from sqlmodel import col, select

from towpath.core.errors import NotFoundError
from towpath.db.engine import Connection, Database
from towpath.documents.store.blobs import delete_blob, read_blob, read_pieces, write_blob
from towpath.serving.store.tables import ServedFileRow
from towpath.serving.types import FilePurpose, show_file_id


def _file_row(**columns: object) -> ServedFileRow:
    return ServedFileRow.model_validate(columns)


async def write_file(
    connection: Connection,
    organization: str,
    pieces: AsyncIterator[bytes],
    *,
    name: str,
    purpose: FilePurpose,
    lifetime: timedelta,
    max_bytes: int | None = None,
) -> ServedFileRow:
    """Store a file as it comes, in the caller's transaction.

    Args:
        connection: The transaction.
        organization: Whose file.
        pieces: Its bytes.
        name: What it is called.
        purpose: What it is for.
        lifetime: How long it is kept.
        max_bytes: How large it may be; None: any size.

    Raises:
        TooLargeError: It is larger; the transaction must roll back.
        BadInputError: It is empty.
    """
    file_id = uuid4()
    blob = await write_blob(connection, organization, pieces, name=name, most_bytes=max_bytes, key=file_id.bytes)
    async with connection.cursor(row_factory=kwargs_row(_file_row)) as cursor:
        await cursor.execute(
            """
            INSERT INTO served_files (id, organization, filename, purpose, size, expires_at)
            VALUES (%s, %s, %s, %s, %s, now() + %s) RETURNING *
            """,
            (file_id, organization, name, purpose.value, blob.size, lifetime),
        )
        row = await cursor.fetchone()
    assert row is not None
    return row


async def get_file(database: Database, organization: str, file_id: UUID) -> ServedFileRow:
    """Load a file.

    Raises:
        NotFoundError: It is not there, another organization's, or has expired.
    """
    query = select(ServedFileRow).where(ServedFileRow.id == file_id, ServedFileRow.organization == organization)
    async with database.session() as session:
        row = (await session.exec(query)).one_or_none()
    if row is None or row.expires_at <= datetime.now(row.expires_at.tzinfo):
        raise NotFoundError(f"no file {show_file_id(file_id)}")
    return row


async def list_files(
    database: Database,
    organization: str,
    *,
    purpose: FilePurpose | None,
    after: ServedFileRow | None,
    ascending: bool,
    limit: int,
) -> list[ServedFileRow]:
    """List files by when they were created, from just behind `after`."""
    moment, number = col(ServedFileRow.created_at), col(ServedFileRow.id)
    query = select(ServedFileRow).where(
        ServedFileRow.organization == organization, col(ServedFileRow.expires_at) > datetime.now().astimezone()
    )
    if purpose is not None:
        query = query.where(ServedFileRow.purpose == purpose)
    if after is not None:
        beyond = moment > after.created_at if ascending else moment < after.created_at
        beside = number > after.id if ascending else number < after.id
        query = query.where(beyond | ((moment == after.created_at) & beside))
    order = (moment.asc(), number.asc()) if ascending else (moment.desc(), number.desc())
    async with database.session() as session:
        return list((await session.exec(query.order_by(*order).limit(limit))).all())


async def delete_file(database: Database, organization: str, file_id: UUID) -> None:
    """Delete a file with its bytes.

    Raises:
        NotFoundError: It is not there, or another organization's.
    """
    async with database.transaction() as connection:
        gone = await connection.execute(
            "DELETE FROM served_files WHERE id = %s AND organization = %s", (file_id, organization)
        )
        if not gone.rowcount:
            raise NotFoundError(f"no file {show_file_id(file_id)}")
        await delete_blob(connection, organization, file_id.bytes)


def read_file(database: Database, organization: str, file_id: UUID) -> AsyncIterator[bytes]:
    """Read a file's bytes, a megabyte at a time.

    Raises:
        NotFoundError: They are not there any more.
    """
    return read_blob(database, organization, file_id.bytes)


async def sweep_files(connection: Connection, *, limit: int) -> int:
    """Delete files that have expired, so many at most.

    Returns:
        How many went.
    """
    gone = await connection.execute(
        """
        WITH old AS (
            DELETE FROM served_files WHERE id IN (
                SELECT id FROM served_files WHERE expires_at <= now() LIMIT %s
            ) RETURNING organization, id
        ), bytes AS (
            DELETE FROM blobs b USING old WHERE b.organization = old.organization AND b.sha256 = uuid_send(old.id)
            RETURNING b.upload_id
        ), pieces AS (
            DELETE FROM blob_chunks WHERE upload_id IN (SELECT upload_id FROM bytes)
        )
        SELECT count(*) FROM old
        """,
        (limit,),
    )
    return int((await gone.fetchone() or (0,))[0])


def read_input(connection: Connection, organization: str, file_id: UUID) -> AsyncIterator[bytes]:
    """Read a file's bytes on the caller's connection.

    Raises:
        NotFoundError: They are not there any more.
    """
    return read_pieces(connection, organization, file_id.bytes)
