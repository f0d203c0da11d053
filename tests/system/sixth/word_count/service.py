"""What may be counted, and the counting."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from uuid import uuid4

from word_count.types import MAX_CHARACTERS, WORD_COUNT, WordCountBody, WordCountParams, WordCountResult

from towpath.accounts.types import Principal
from towpath.core.errors import TooLargeError
from towpath.db.engine import Connection, Database
from towpath.jobs.params import load_params
from towpath.jobs.store.jobs import create_job, record_chunk, reset_counts
from towpath.jobs.store.runs import lock_run
from towpath.jobs.store.tables import JobRow
from towpath.jobs.types import JobRef, Progress
from towpath.webhooks.store.endpoints import add_job_endpoint
from towpath.webhooks.types import JobEndpoint

WORD = re.compile(r"\w+")
PHASE = "count"


class WordCounts:
    """The use cases of counting words.

    Args:
        database: Where the jobs are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def draft(caller: Principal, body: WordCountBody) -> JobRow:
        """Draft the job of a body; nothing is stored yet.

        Raises:
            TooLargeError: A text is too long.
        """
        for place, text in enumerate(body.texts):
            if len(text) > MAX_CHARACTERS:
                raise TooLargeError(f"texts[{place}] is longer than {MAX_CHARACTERS:,} characters")
        params = WordCountParams(title=body.title, texts=body.texts)
        return JobRow(
            id=uuid4(),
            organization=caller.organization,
            kind=WORD_COUNT,
            params=params.model_dump(mode="json"),
            total=len(body.texts),
            created_by=caller.key_id,
        )

    @staticmethod
    async def store(connection: Connection, job: JobRow, *, endpoint: JobEndpoint | None, max_jobs: int) -> None:
        """Store a drafted job and where its end is told, in the transaction that accepts it."""
        await create_job(connection, job, most=max_jobs)
        if endpoint is not None:
            await add_job_endpoint(connection, job.id, endpoint)

    async def count(self, ref: JobRef) -> dict[str, Any]:
        """Count the words of a job's texts; a repeat counts anew.

        Raises:
            JobNotActiveError: The run has ended: nothing is written.
        """
        async with self._database.transaction() as connection:
            params = await load_params(connection, ref, WordCountParams)
        words = Counter(word.lower() for text in params.texts for word in WORD.findall(text))
        counted = len(params.texts)
        async with self._database.transaction() as connection:
            await lock_run(connection, ref)
            await reset_counts(connection, ref, total=counted, params={})
            change = Progress(processed=counted, succeeded=counted)
            await record_chunk(connection, ref, PHASE, change, fraction=1.0, phase=PHASE)
        return WordCountResult(words=words.total(), different=len(words)).model_dump()
