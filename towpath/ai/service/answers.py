"""Reads what questions were answered."""

from __future__ import annotations

from towpath.ai.store.jobs import read_details
from towpath.db.engine import Database
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobState


async def load_summary(database: Database, job: JobRow) -> str | None:
    """Load the answer of a question in words; None: there is none yet."""
    if job.state is not JobState.COMPLETED:
        return None
    async with database.transaction() as connection:
        return (await read_details(connection, [job.id]))[job.id].summary
