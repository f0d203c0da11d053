"""Files by their digest, in pieces: what a façade takes in, any worker can read, without a shared disk."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from towpath.core.errors import BadInputError, ErrorCode, NotFoundError, TooLargeError
from towpath.db.engine import Connection, Database

PIECE = 1 << 20
ORPHAN_HOURS = 24


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file."""

    sha256: bytes
    size: int


async def add_blob(
    database: Database, organization: str, pieces: AsyncIterator[bytes], *, most_bytes: int, name: str
) -> Blob:
    """Store a file as it comes; one that is there already is kept once.

    Args:
        pieces: Of any size; held one megabyte at a time.
        most_bytes: The largest file.
        name: For the message.

    Raises:
        TooLargeError: The file is beyond the limit; nothing of it stays.
        BadInputError: It is empty.
    """
    async with database.transaction() as connection:
        return await write_blob(connection, organization, pieces, most_bytes=most_bytes, name=name)


async def write_blob(
    connection: Connection,
    organization: str,
    pieces: AsyncIterator[bytes],
    *,
    name: str,
    most_bytes: int | None = None,
    key: bytes | None = None,
) -> Blob:
    """Do the same in the caller's transaction.

    Args:
        pieces: Of any size; held one megabyte at a time.
        name: For the message.
        most_bytes: The largest file; None: any.
        key: What the file is found by, where it is to be deleted by itself, whoever else has the same bytes; it must be
            new. None: its digest.

    Raises:
        TooLargeError: The file is beyond the limit; the transaction must roll back.
        BadInputError: It is empty.
    """
    upload, digest, size, number = uuid4(), hashlib.sha256(), 0, 0
    buffer = bytearray()

    async def keep(data: bytes) -> None:
        nonlocal number
        await connection.execute(
            "INSERT INTO blob_chunks (upload_id, number, data) VALUES (%s, %s, %s)", (upload, number, data)
        )
        number += 1

    async for piece in pieces:
        size += len(piece)
        if most_bytes is not None and size > most_bytes:
            raise TooLargeError(f"{name} is larger than {most_bytes:,} bytes")
        digest.update(piece)
        buffer += piece
        while len(buffer) >= PIECE:
            await keep(bytes(buffer[:PIECE]))
            del buffer[:PIECE]
    if buffer:
        await keep(bytes(buffer))
    if not size:
        raise BadInputError(f"{name} is empty", code=ErrorCode.UNREADABLE, field="file")
    inserted = await connection.execute(
        """
        INSERT INTO blobs (organization, sha256, size, chunks, upload_id) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (organization, sha256) DO UPDATE SET used_at = now() RETURNING upload_id
        """,
        (organization, key or digest.digest(), size, number, upload),
    )
    if (await inserted.fetchone() or (None,))[0] != upload:
        await connection.execute("DELETE FROM blob_chunks WHERE upload_id = %s", (upload,))
    return Blob(digest.digest(), size)


async def delete_blob(connection: Connection, organization: str, key: bytes) -> None:
    """Delete a file that was stored under a key of its own."""
    await connection.execute(
        """
        WITH gone AS (DELETE FROM blobs WHERE organization = %s AND sha256 = %s RETURNING upload_id)
        DELETE FROM blob_chunks WHERE upload_id IN (SELECT upload_id FROM gone)
        """,
        (organization, key),
    )


async def get_blob(database: Database, organization: str, sha256: bytes) -> Blob:
    """Load what is known of a file.

    Raises:
        NotFoundError: It is not there any more.
    """
    async with database.statement() as connection:
        cursor = await connection.execute(
            "SELECT size FROM blobs WHERE organization = %s AND sha256 = %s", (organization, sha256)
        )
        row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("the document is not kept any more")
    return Blob(sha256, row[0])


async def read_blob(database: Database, organization: str, sha256: bytes) -> AsyncIterator[bytes]:
    """Read a file's bytes, a megabyte at a time.

    Raises:
        NotFoundError: It is not there any more.
    """
    async with database.statement() as connection:
        async for piece in read_pieces(connection, organization, sha256):
            yield piece


async def read_pieces(connection: Connection, organization: str, sha256: bytes) -> AsyncIterator[bytes]:
    """Do the same on the caller's connection.

    Raises:
        NotFoundError: It is not there any more.
    """
    cursor = await connection.execute(
        "UPDATE blobs SET used_at = now() WHERE organization = %s AND sha256 = %s RETURNING upload_id, chunks",
        (organization, sha256),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("the document is not kept any more")
    for number in range(row[1]):
        piece = await connection.execute(
            "SELECT data FROM blob_chunks WHERE upload_id = %s AND number = %s", (row[0], number)
        )
        data = await piece.fetchone()
        if data is None:
            raise NotFoundError("the document is not kept any more")
        yield bytes(data[0])


async def save_blob(database: Database, organization: str, sha256: bytes, path: Path) -> None:
    """Write a file to disk, whole or not at all.

    Raises:
        NotFoundError: It is not there any more.
    """
    fresh = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with fresh.open("wb") as file:
            async for piece in read_blob(database, organization, sha256):
                file.write(piece)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


async def sweep_blobs(connection: Connection, *, days: int, limit: int) -> int:
    """Delete files that nobody has used for so many days, and pieces of broken uploads.

    Returns:
        How many rows went.
    """
    gone = await connection.execute(
        """
        WITH old AS (
            DELETE FROM blobs WHERE (organization, sha256) IN (
                SELECT organization, sha256 FROM blobs WHERE used_at < now() - make_interval(days => %(days)s)
                LIMIT %(limit)s
            ) RETURNING upload_id
        )
        DELETE FROM blob_chunks WHERE upload_id IN (SELECT upload_id FROM old)
        """,
        {"days": days, "limit": limit},
    )
    orphans = await connection.execute(
        """
        DELETE FROM blob_chunks c WHERE (upload_id, number) IN (
            SELECT upload_id, number FROM blob_chunks WHERE at < now() - make_interval(hours => %s)
            AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.upload_id = blob_chunks.upload_id) LIMIT %s
        )
        """,
        (ORPHAN_HOURS, limit),
    )
    return gone.rowcount + orphans.rowcount
