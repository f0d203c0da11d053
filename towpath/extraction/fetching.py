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
from towpath.extraction.store.blobs import Blob, add_blob, save_blob
from towpath.extraction.types import DocumentRef
from towpath.net.http import GuardedClient
from towpath.secrets.urls import open_url
from towpath.secrets.vault import Vault

MAX_KEPT_BYTES = 2 << 30


class Documents:
    """The documents that a worker has on its disk.

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
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._lock = asyncio.Lock()

    async def fetch(self, organization: str, document: DocumentRef) -> tuple[Blob, str | None]:
        """Fetch a document from its URL into the store.

        Returns:
            The stored document, and the media type that was told.

        Raises:
            BadInput: A refused address, or an answer that a repeat does not change.
            NotFound: It is not there.
            TooLarge: It is beyond the limit.
            Unavailable: It does not answer now, or no key opens its URL.
        """
        assert document.url is not None
        found = await self._client.fetch(open_url(self._vault, document.url))
        blob = await add_blob(
            self.database, organization, _once(found.body), most_bytes=self._most_bytes, name=document.file_name
        )
        return blob, found.media_type

    async def path_of(self, organization: str, sha256: str) -> Path:
        """Where a document lies on this disk; it is brought there if it is not.

        Raises:
            NotFound: It is not kept any more.
        """
        async with self._lock:
            if self._folder is None:
                self._folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="towpath-documents-"))
            name = f"{organization}-{sha256}"
            path = self._folder / name
            if name not in self._kept:
                await save_blob(self.database, organization, bytes.fromhex(sha256), path)
                self._kept[name] = path.stat().st_size
            self._kept.move_to_end(name)
            while sum(self._kept.values()) > MAX_KEPT_BYTES and len(self._kept) > 1:
                old, _ = self._kept.popitem(last=False)
                (self._folder / old).unlink(missing_ok=True)
            return path

    async def head_of(self, path: Path) -> bytes:
        """The first bytes of a document."""

        def read() -> bytes:
            with path.open("rb") as file:
                return file.read(HEAD_BYTES)

        return await asyncio.to_thread(read)

    async def close(self) -> None:
        """End the readers, and clear the disk."""
        await self.reader.close()
        if self._folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
