"""The descriptor of a count, for everything that serves jobs of all kinds."""

from __future__ import annotations

from typing import Any

from word_count.types import STATUS_OF, WORD_COUNT, WordCountParams

from towpath.core.queues import Queue
from towpath.db.engine import Connection
from towpath.jobs.job_type import JobType
from towpath.jobs.store.tables import JobRow


async def _webhook_fields(_: Connection, job: JobRow) -> dict[str, Any]:
    return {"wordCount": job.result}


JOB_TYPES = (
    JobType(
        kind=WORD_COUNT,
        title="Word count",
        params=WordCountParams,
        subject="title",
        shown_params=frozenset(),
        resource_path="/v1/word-counts/{id}",
        statuses=STATUS_OF,
        activities={Queue.COMPUTE: ("count_words",)},
        webhook_fields=_webhook_fields,
    ),
)
