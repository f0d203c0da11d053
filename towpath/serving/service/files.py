"""What can be done with files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from towpath.db.engine import Connection, Database
from towpath.serving.store import files as store
from towpath.serving.store.tables import ServedFileRow
from towpath.serving.types import FilePurpose, read_file_id, show_file_id


@dataclass(frozen=True, slots=True)
class FilePage:
    """Some files, in their order, and whether there are more."""

    files: list[ServedFileRow]
    has_more: bool


class FileService:
    """The use cases of files.

    Args:
        database: Where they are.
        retention_days: How long a file is kept at the most.
        max_bytes: How large an uploaded one may be.
    """

    def __init__(self, database: Database, *, retention_days: int, max_bytes: int) -> None:
        self._database = database
        self._lifetime = timedelta(days=retention_days)
        self._max_bytes = max_bytes

    async def store(
        self,
        connection: Connection,
        organization: str,
        pieces: AsyncIterator[bytes],
        *,
        name: str,
        seconds: int | None,
    ) -> ServedFileRow:
        """Store the input of a batch, in the caller's transaction.

        Args:
            connection: The transaction.
            organization: Whose file.
            pieces: Its bytes, as they come.
            name: What it is called.
            seconds: When it is to expire; None: with finished jobs, which is also the latest.

        Raises:
            TooLargeError: It is larger than a file may be; the transaction must roll back.
            BadInputError: It is empty.
        """
        return await store.write_file(
            connection,
            organization,
            pieces,
            name=name,
            purpose=FilePurpose.BATCH,
            lifetime=self._lifetime if seconds is None else min(self._lifetime, timedelta(seconds=seconds)),
            max_bytes=self._max_bytes,
        )

    async def get(self, organization: str, file_id: str) -> ServedFileRow:
        """Find a file by the id that clients know.

        Raises:
            NotFoundError: It is not there, or another organization's.
        """
        return await store.get_file(self._database, organization, read_file_id(file_id))

    async def list_page(
        self,
        organization: str,
        *,
        purpose: FilePurpose | None,
        after: str | None,
        ascending: bool,
        limit: int,
    ) -> FilePage:
        """List files by when they were created.

        Args:
            organization: Whose files.
            purpose: Only files for this.
            after: The last file of the page before.
            ascending: Whether the oldest comes first.
            limit: How many at most.

        Raises:
            NotFoundError: There is no such file to go on behind.
        """
        last = None if after is None else await self.get(organization, after)
        rows = await store.list_files(
            self._database, organization, purpose=purpose, after=last, ascending=ascending, limit=limit + 1
        )
        return FilePage(rows[:limit], len(rows) > limit)

    async def delete(self, organization: str, file_id: str) -> None:
        """Delete a file with its bytes; batches that have read it go on.

        Raises:
            NotFoundError: It is not there, or another organization's.
        """
        await store.delete_file(self._database, organization, read_file_id(file_id))

    def read(self, row: ServedFileRow) -> AsyncIterator[bytes]:
        """Read a file's bytes."""
        return store.read_file(self._database, row.organization, row.id)


def show_file(row: ServedFileRow) -> dict[str, Any]:
    """Return a file as its API shows it."""
    return {
        "id": show_file_id(row.id),
        "object": "file",
        "bytes": row.size,
        "created_at": int(row.created_at.timestamp()),
        "expires_at": int(row.expires_at.timestamp()),
        "filename": row.filename,
        "purpose": row.purpose.value,
        "status": "processed",
        "status_details": None,
    }


def id_of(file_id: UUID | None) -> str | None:
    """Return the id of a file as clients know it; None: there is none."""
    return None if file_id is None else show_file_id(file_id)
