"""Reads the files that items name: from the web through the guarded client, or in its own local folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

from towpath.core.errors import BadInputError, ErrorCode, NotFoundError, TooLargeError, TowpathError
from towpath.core.folders import find_own_file
from towpath.documents import DocumentReader
from towpath.net.http import GuardedClient
from towpath.vectors.domain.items import Source

TRIES = 3
PAUSE_SECONDS = 0.5


class Sources:
    """Where items may take their text from.

    Args:
        client: Fetches URLs.
        reader: Reads what is found.
        files_root: The folder that has one for each organization, the only one its paths may lead into; None: no
            paths at all.
        most_bytes: The largest file.
    """

    def __init__(
        self, client: GuardedClient, reader: DocumentReader, *, files_root: Path | None, most_bytes: int
    ) -> None:
        self._client = client
        self._reader = reader
        self._root = files_root
        self._most_bytes = most_bytes

    async def read(self, organization: str, source: Source) -> str:
        """Return the text of a source that an organization names.

        Raises:
            TowpathError: It cannot be had; a fault that passes has been tried three times.
        """
        if source.url is not None:
            return await self._fetch(source.url)
        return await self._reader.read_text(await asyncio.to_thread(self._find_file, organization, source.path or ""))

    async def _fetch(self, url: str) -> str:
        for attempt in range(1, TRIES + 1):
            try:
                fetched = await self._client.fetch(url)
            except TowpathError as error:
                if not error.retryable or attempt == TRIES:
                    raise
                await asyncio.sleep(PAUSE_SECONDS * attempt)
                continue
            name = fetched.url.partition("?")[0]
            return await self._reader.text_of(fetched.body, name=name, media_type=fetched.media_type)
        raise AssertionError("unreachable: the last try returns or raises")

    def _find_file(self, organization: str, name: str) -> Path:
        if self._root is None:
            raise BadInputError("files need TOWPATH_FILES_ROOT", code=ErrorCode.SOURCE_FAILED)
        try:
            path = find_own_file(self._root, organization, name)
        except (BadInputError, NotFoundError) as error:
            raise BadInputError(error.detail, code=ErrorCode.SOURCE_FAILED) from error
        if path.stat().st_size > self._most_bytes:
            raise TooLargeError(f"{name} is larger than {self._most_bytes} bytes")
        return path
