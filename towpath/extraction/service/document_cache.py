"""Documents on a worker: fetched once, kept on its disk while they are read, read by child processes."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path

from towpath.db.engine import Database
from towpath.documents import DocumentReader
from towpath.documents.kinds import HEAD_BYTES
from towpath.documents.store.blobs import Blob, add_blob, save_blob
from towpath.extraction.types import DocumentRef
from towpath.net.http import GuardedClient
from towpath.secrets.urls import open_url
from towpath.secrets.vault import Vault

MAX_KEPT_BYTES = 2 << 30


class DocumentCache:
    """Keeps the documents that a worker reads on its disk.

    Args:
        database: Holds all documents.
        reader: Reads them.
        client: Fetches them.
        vault: Opens their URLs.
        most_bytes: Largest document.
    """

    def __init__(
        self, database: Database, reader: DocumentReader, client: GuardedClient, vault: Vault, *, most_bytes: int
    ) -> None:
        self.database = database
        self.reader = reader
        self._client = client
        self._vault = vault
        self._most_bytes = most_bytes
        self._folder: Path | None = None
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._lock = asyncio.Lock()

    async def fetch(self, organization: str, document: DocumentRef) -> tuple[Blob, str | None]:
        """Fetch a document from its URL into the store.

        Returns:
            The stored document, and the media type that the server names.

        Raises:
            BadInputError: A refused address, or an answer that a repeat does not change.
            NotFoundError: It is not there.
            TooLargeError: It is beyond the limit.
            UnavailableError: It does not answer now, or no key opens its URL.
        """
        if document.url is None:
            raise ValueError("the document has no URL")
        response = await self._client.fetch(open_url(self._vault, document.url))
        blob = await add_blob(
            self.database,
            organization,
            _single_piece(response.body),
            most_bytes=self._most_bytes,
            name=document.file_name,
        )
        return blob, response.media_type

    async def path_of(self, organization: str, sha256: str) -> Path:
        """Return where a document lies on this disk; it is brought there if it is not.

        Raises:
            NotFoundError: It is not kept any more.
        """
        async with self._lock:
            if self._folder is None:
                self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="towpath-documents-"))
            name = f"{organization}-{sha256}"
            path = self._folder / name
            if name not in self._sizes:
                await save_blob(self.database, organization, bytes.fromhex(sha256), path)
                self._sizes[name] = path.stat().st_size
            self._sizes.move_to_end(name)
            while sum(self._sizes.values()) > MAX_KEPT_BYTES and len(self._sizes) > 1:
                old, _ = self._sizes.popitem(last=False)
                (self._folder / old).unlink(missing_ok=True)
            return path

    async def head_of(self, path: Path) -> bytes:
        """Return the first bytes of a document, enough to tell its kind."""

        def read() -> bytes:
            with path.open("rb") as file:
                return file.read(HEAD_BYTES)

        return await asyncio.to_thread(read)

    async def close(self) -> None:
        """End the readers, and clear the disk."""
        await self.reader.close()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


async def _single_piece(body: bytes) -> AsyncIterator[bytes]:
    yield body
