"""Bytes that are no file yet, as one that a child can read."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

PIECE = 1 << 20


@asynccontextmanager
async def copy_to_disk(source: BinaryIO) -> AsyncIterator[Path]:
    """Copy what is left to read to disk, for as long as it is needed."""

    def put() -> Path:
        with tempfile.NamedTemporaryFile(prefix="towpath-document-", delete=False) as copy:
            shutil.copyfileobj(source, copy, PIECE)
        return Path(copy.name)

    path = await asyncio.to_thread(put)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
