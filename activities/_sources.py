"""Reads the files that items name: from the web through the guarded client, or under one local folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

from clients.documents import DocumentReader
from clients.http import GuardedClient
from contracts.errors import BadInput, ErrorCode, TooLarge, TowpathError
from domain.vectors.items import Source

TRIES = 3
PAUSE_SECONDS = 0.5
MOST_SHOWN = 300


class Sources:
    """Where items may take their text from.

    Args:
        client: Fetches URLs.
        reader: Reads what is found.
        files_root: The only folder that paths may lead into; None: no paths at all.
        most_bytes: The largest file.
    """

    def __init__(
        self, client: GuardedClient, reader: DocumentReader, *, files_root: Path | None, most_bytes: int
    ) -> None:
        self._client = client
        self._reader = reader
        self._root = None if files_root is None else files_root.resolve()
        self._most_bytes = most_bytes

    async def read(self, source: Source) -> str:
        """The text of a source.

        Raises:
            TowpathError: It cannot be had; a fault that passes has been tried three times.
        """
        if source.url is not None:
            return await self._fetch(source.url)
        return await self._reader.read_text(await asyncio.to_thread(self._found, source.path or ""))

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

    def _found(self, name: str) -> Path:
        if self._root is None:
            raise BadInput("files need TOWPATH_FILES_ROOT", code=ErrorCode.SOURCE_FAILED)
        try:
            path = (self._root / name).resolve()
            if not path.is_relative_to(self._root):
                raise BadInput(f"{name} lies outside the allowed folder", code=ErrorCode.SOURCE_FAILED)
            found = path.is_file()
        except (OSError, ValueError, RuntimeError):
            # Names that no file can have: too long, with a NUL, or links in a circle.
            found = False
        if not found:
            raise BadInput(f"there is no file {name[:MOST_SHOWN]}", code=ErrorCode.SOURCE_FAILED)
        if path.stat().st_size > self._most_bytes:
            raise TooLarge(f"{name} is larger than {self._most_bytes} bytes")
        return path
