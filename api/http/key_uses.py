"""How often keys are used: counted in the process, and written for all of them together every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from towpath.accounts.store.auth import note_uses
from towpath.db.engine import Database, is_away

logger = logging.getLogger(__name__)

WRITTEN_EVERY = 5.0


class KeyUses:
    """Counts the calls with each key.

    Args:
        database: Where the counts are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._uses: Counter[UUID] = Counter()
        self._writer: asyncio.Task[None] | None = None

    def note(self, key_id: UUID) -> None:
        """Count one call; it is written within seconds."""
        self._uses[key_id] += 1
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_later())

    async def _write_later(self) -> None:
        # The first use is seen soon, those that follow it together.
        while self._uses:
            await self.flush()
            await asyncio.sleep(WRITTEN_EVERY)

    async def flush(self) -> None:
        """Write what was counted. Where the database is away it is kept for the next time."""
        uses, self._uses = self._uses, Counter()
        if not uses:
            return
        try:
            await note_uses(self._database, uses)
        except BaseException as error:
            self._uses += uses
            if not is_away(error) and not isinstance(error, SQLAlchemyError):
                raise
            logger.warning("uses of keys are not written: %s", error)

    async def close(self) -> None:
        """Write the rest."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self.flush()
